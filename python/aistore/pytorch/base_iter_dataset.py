"""Common part of data sets that are iterated over."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, TypeVar

from torch.utils.data import IterableDataset

from aistore.pytorch._sharding import Share, current_share, rank_share
from aistore.pytorch._sources import list_objects, with_prefixes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aistore.pytorch._sources import Prefixes, Sources
    from aistore.sdk.obj.object import Object

T = TypeVar("T")


class AISBaseIterDataset(IterableDataset[T], ABC):
    """Lists its sources anew at each iteration; DataLoader workers share the objects.

    Worker i of W takes the objects i, i+W, … of the listing.

    Args:
        ais_source_list: A source or several.
        prefix_map: Prefixes to list, by source; everything of sources that are not in it.
        partition_sources_by_worker: Whether workers share the sources instead: worker i of W lists
            only sources i, i+W, …; workers in excess get nothing.
        shard_by_rank: Whether the ranks of `torch.distributed` share the objects too. Off, every
            rank gets everything.

    Raises:
        ValueError: There is no source.
    """

    def __init__(
        self,
        ais_source_list: Sources,
        prefix_map: Prefixes = None,
        partition_sources_by_worker: bool = False,
        *,
        shard_by_rank: bool = False,
    ) -> None:
        self._sources = with_prefixes(ais_source_list, prefix_map)
        self._partition_sources = partition_sources_by_worker
        self._shard_by_rank = shard_by_rank
        self._pickled_rank: Share | None = None

    @abstractmethod
    def __iter__(self) -> Iterator[T]:
        """Iterates over the items of this worker."""

    def __len__(self) -> int:
        """Number of objects of all workers together; lists everything."""
        return sum(1 for _ in list_objects(self._sources, "name"))

    def _own_objects(self) -> Iterator[Object]:
        """Lists the objects of this worker."""
        share = current_share(self._rank())
        if self._partition_sources:
            return list_objects(list(share.of_sequence(self._sources)))
        return share.of(list_objects(self._sources))

    def _rank(self) -> Share:
        if not self._shard_by_rank:
            return Share()
        return self._pickled_rank or rank_share()

    def __getstate__(self) -> dict[str, Any]:
        # A spawned worker does not know the process group; it is told the rank.
        return {**self.__dict__, "_pickled_rank": self._rank() if self._shard_by_rank else None}
