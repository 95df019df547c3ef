"""Fetching many objects in order: GetBatch for small ones, parallel reads for large ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aistore.sdk.batch.batch import Batch
from aistore.sdk.etl import ETLConfig

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from aistore.sdk.obj.object import Object

# Entries and bytes of one request: enough to hide its latency, few enough to start early and to
# bound what is held at a time.
BATCH_ENTRIES = 64
BATCH_BYTES = 64 << 20
# Larger objects are faster read by parallel ranges, and one at a time.
LARGE_BYTES = 16 << 20


def read_one(obj: Object, etl_name: str | None = None) -> bytes:
    """Reads an object whole."""
    etl = ETLConfig(etl_name) if etl_name else None
    return obj.get_reader(etl=etl).read_all()


def read_in_order(
    objects: Iterable[Object], etl_name: str | None = None
) -> Iterator[tuple[Object, bytes]]:
    """Reads objects whole, in order.

    Raises:
        ErrObjNotFound: One of them does not exist.
    """
    if etl_name:
        for obj in objects:
            yield obj, read_one(obj, etl_name)
        return
    for group in group_small(objects):
        yield from read_group(group)


def group_small(objects: Iterable[Object]) -> Iterator[list[Object]]:
    """Splits objects into runs that one request may read; a large object is a run by itself."""
    group: list[Object] = []
    size = 0
    for obj in objects:
        props = obj.props_cached
        bytes_of_it = props.size if props else 0
        full = len(group) >= BATCH_ENTRIES or size + bytes_of_it > BATCH_BYTES
        other = bool(group) and group[0].client is not obj.client
        if group and (full or other or bytes_of_it > LARGE_BYTES):
            yield group
            group, size = [], 0
        group.append(obj)
        size += bytes_of_it
        if bytes_of_it > LARGE_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def read_group(group: list[Object]) -> Iterator[tuple[Object, bytes]]:
    """Reads one run of objects."""
    if len(group) == 1:
        yield group[0], read_one(group[0])
        return
    result = Batch(group[0].client, list(group), cont_on_err=False).get()
    for obj, (_, content) in zip(group, result, strict=True):
        yield obj, content
