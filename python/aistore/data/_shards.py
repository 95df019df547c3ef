"""Files inside shards, read from the shards themselves, for servers that do not list archives."""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING

from aistore.data._samples import extension
from aistore.data.entry import Entry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aistore.sdk.obj.object import Object


def entries_of(shard: Object) -> Iterator[Entry]:
    """Reads a tar, compressed or not, once from front to back, and groups its files by key."""
    groups: dict[str, tuple[list[str], int]] = {}
    with (
        shard.get_reader().as_file() as file,
        tarfile.open(fileobj=file, mode="r|*") as archive,
    ):
        for member in archive:
            if not member.isfile():
                continue
            members, size = groups.get(key_of(member.name), ([], 0))
            members.append(member.name)
            groups[key_of(member.name)] = members, size + member.size
    for key, (members, size) in groups.items():
        yield Entry(shard.name, f"{shard.name}/{key}", members, None, None, size)


def key_of(name: str) -> str:
    """A file's name up to the first dot of its base name, leaving aside one in front."""
    base = name.rpartition("/")[2]
    ext = base[1:].partition(".")
    return name.removesuffix(f".{extension(name)}") if ext[1] and ext[2] else name
