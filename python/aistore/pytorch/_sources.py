"""What datasets are made of: the lists of sources and prefixes that users give."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from aistore.sdk.ais_source import AISSource

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aistore.sdk.obj.object import Object

    Sources: TypeAlias = AISSource | list[AISSource] | None
    Prefixes: TypeAlias = Mapping[AISSource, str | list[str] | None] | None
    SourceList: TypeAlias = list[tuple[AISSource, tuple[str, ...]]]


def with_prefixes(sources: Sources, prefix_map: Prefixes) -> SourceList:
    """Pairs each source with the prefixes to list.

    Raises:
        ValueError: There is no source, or a prefix is for something else than a given source.
    """
    given = [sources] if isinstance(sources, AISSource) else list(sources or ())
    if not given:
        raise ValueError("ais_source_list is empty: give a bucket or a list of buckets")
    prefixes = dict(prefix_map or {})
    paired: SourceList = []
    for source in given:
        chosen = prefixes.pop(source, None)
        texts = ("",) if not chosen else (chosen,) if isinstance(chosen, str) else tuple(chosen)
        paired.append((source, texts))
    if prefixes:
        raise ValueError(
            f"prefix_map has {len(prefixes)} key(s) that are not in ais_source_list:"
            " use the same bucket object in both"
        )
    return paired


def list_objects(sources: SourceList, props: str = "name,size") -> Iterator[Object]:
    """Lists the objects of all sources, in the order given."""
    for source, prefixes in sources:
        for prefix in prefixes:
            yield from source.list_all_objects_iter(prefix, props)
