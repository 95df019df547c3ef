"""Progress of an iteration."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from aistore._progress import progress
from aistore.pytorch._sharding import worker_share

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

T = TypeVar("T")


def counted(items: Iterable[T], *, show: bool, unit: str) -> Iterator[T]:
    """Passes items on and shows how many there were; in one line per worker."""
    share = worker_share()
    label = "read" if share.count == 1 else f"read, worker {share.index}"
    with progress(0, label, show=show, unit=unit) as advance_to:
        for done, item in enumerate(items, 1):
            yield item
            advance_to(done)
