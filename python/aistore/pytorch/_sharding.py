"""Which part of a data set a DataLoader worker, and optionally a rank, takes.

Read when iteration starts, never earlier: a dataset is built before workers and process groups are.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import torch.distributed
from torch.utils.data import get_worker_info

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

T = TypeVar("T")


@dataclass(frozen=True)
class Share:
    """Share `index` of `count` equal ones: items index, index + count, and so on."""

    index: int = 0
    count: int = 1

    def of(self, items: Iterable[T]) -> Iterator[T]:
        """The items of this share."""
        return islice(iter(items), self.index, None, self.count)

    def of_sequence(self, items: Sequence[T]) -> Sequence[T]:
        """The items of this share; may be none."""
        return items[self.index :: self.count]


def worker_share() -> Share:
    """This DataLoader worker's share; everything outside of workers."""
    info = get_worker_info()
    return Share() if info is None else Share(info.id, info.num_workers)


def rank_share() -> Share:
    """This rank's share; everything where `torch.distributed` is not in use."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return Share(torch.distributed.get_rank(), torch.distributed.get_world_size())
    return Share()


def current_share(rank: Share) -> Share:
    """This worker's share within a rank's: by rank first, then by worker."""
    worker = worker_share()
    return Share(rank.index + rank.count * worker.index, rank.count * worker.count)
