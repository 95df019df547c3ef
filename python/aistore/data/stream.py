"""Batches of samples one after the other, read ahead, and shared by workers and ranks."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from torch.utils.data import IterableDataset, get_worker_info

from aistore.data._samples import PendingBatch
from aistore.data.position import Position
from aistore.data.sampler import SnapshotSampler

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aistore.data.dataset import Transform
    from aistore.data.shuffle import Shuffle
    from aistore.data.snapshot import Snapshot

_PREFETCH = 2


class SnapshotStream(IterableDataset[list[Any]]):
    """An iterable data set of whole batches; give it to a DataLoader with `batch_size=None`.

    Worker w of W gives batches w, w+W, …, so that a DataLoader, which takes from its workers in
    turn, gives the same batches in the same order with any number of them.

    Args:
        snapshot: The samples.
        batch_size: Samples per batch and rank.
        shuffle: True for a full shuffle, False for none, or a `Windowed` one.
        seed: Seed of the shuffle.
        rank: This rank; by default that of `torch.distributed`.
        world_size: Number of ranks; goes with `rank`.
        drop_last: Whether to leave out the last samples of an epoch that do not fill a step.
        transform: Takes a sample as read, and gives what is in the batch.
        prefetch: Batches requested before they are asked for.

    Raises:
        ValueError: A number is out of range.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        batch_size: int = 1,
        *,
        shuffle: Shuffle | bool = True,
        seed: int = 0,
        rank: int | None = None,
        world_size: int | None = None,
        drop_last: bool = False,
        transform: Transform | None = None,
        prefetch: int = _PREFETCH,
    ) -> None:
        if prefetch < 0:
            raise ValueError(f"prefetch {prefetch}: expected 0 or more")
        self.snapshot = snapshot
        self._sampler = SnapshotSampler(
            snapshot,
            batch_size,
            shuffle=shuffle,
            seed=seed,
            rank=rank,
            world_size=world_size,
            drop_last=drop_last,
        )
        self._transform = transform
        self._prefetch = prefetch
        # (epoch, position) of this process's next batch; `own` if a worker's share is counted in.
        self._next = (0, 0)
        self._own: tuple[int, int] | None = None

    def __len__(self) -> int:
        """Batches of this rank from where the next pass begins to the end of its epoch."""
        return len(self._sampler)

    def __iter__(self) -> Iterator[list[Any]]:
        """Goes from where the last pass ended, or a loaded state says, to the end of an epoch."""
        worker, workers = _worker()
        epoch, position = self._next
        own = (worker, workers) if workers > 1 else None
        if own and self._own is None:
            position = self._advance(position, worker)
        elif self._own not in {own, None}:
            raise ValueError(
                f"a state of worker {self._own} was loaded in worker {own}: pass it through"
                " aistore.data.position_of and load it before there are workers"
            )
        self._own = own
        pending: deque[tuple[int, PendingBatch]] = deque()
        asked = position
        try:
            while pending or self._sampler.is_step(asked):
                while len(pending) <= self._prefetch and self._sampler.is_step(asked):
                    following = self._advance(asked, workers)
                    pending.append((following, self._request(epoch, asked)))
                    asked = following
                following, batch = pending.popleft()
                samples = batch.samples()
                self._next = (
                    (epoch, following)
                    if self._sampler.is_step(following)
                    else (epoch + 1, self._advance(0, worker))
                )
                if samples:
                    yield self._transformed(samples)
        finally:
            for _, batch in pending:
                batch.close()
        self._next = (epoch + 1, self._advance(0, worker))

    def state_dict(self) -> dict[str, Any]:
        """Where this process stands: after the batch that it gave last."""
        place = self._sampler.position(*self._next)
        return Position(
            place.snapshot, place.seed, place.epoch, place.position, place.shuffle, self._own
        ).to_state()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Begins the next pass where a state says.

        Raises:
            ValueError: It belongs to other samples or another order.
        """
        position = self._sampler.read(state)
        self._next = (position.epoch, position.position)
        self._own = position.own
        self._sampler.begin_at(*self._next)

    def set_epoch(self, epoch: int) -> None:
        """Begins the next pass at the start of an epoch, unless it begins within that one already.

        Needed before each pass with workers that do not persist: they end with what they counted.
        """
        if epoch != self._next[0]:
            self._next, self._own = (epoch, 0), None
            self._sampler.begin_at(epoch, 0)

    def _advance(self, position: int, steps: int) -> int:
        return position + steps * self._sampler.batch_size * self._sampler.share()[1]

    def _request(self, epoch: int, position: int) -> PendingBatch:
        rank, ranks = self._sampler.share()
        stop = min(self._advance(position, 1), len(self.snapshot))
        indices = self._sampler.order(epoch).slice(position + rank, stop, ranks)
        return PendingBatch(self.snapshot, indices)

    def _transformed(self, samples: list[dict[str, Any]]) -> list[Any]:
        return samples if self._transform is None else [self._transform(s) for s in samples]

    def __getstate__(self) -> dict[str, Any]:
        # A spawned worker does not know the process group; it is told the rank.
        self._sampler.fix_share()
        return self.__dict__


def _worker() -> tuple[int, int]:
    info = get_worker_info()
    return (0, 1) if info is None else (info.id, info.num_workers)
