"""Batches of indices in the order of a shuffle, shared by ranks, with an exact state."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from aistore.data.position import Position
from aistore.data.shuffle import as_shuffle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aistore import _native
    from aistore.data.shuffle import Shuffle
    from aistore.data.snapshot import Snapshot


def current_rank() -> tuple[int, int]:
    """(rank, number of ranks) of `torch.distributed`, if it is in use."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.distributed.is_available():
        return 0, 1
    if not torch.distributed.is_initialized():
        return 0, 1
    return torch.distributed.get_rank(), torch.distributed.get_world_size()


class SnapshotSampler:
    """A batch sampler. All ranks share one order; a step takes the next `batch_size` x ranks of it.

    Rank r of R takes samples r, r+R, … of each step. When fewer are left than a step needs, ranks
    get shorter batches and the last ranks perhaps none; use `drop_last` where every rank must take
    part in every step.

    An epoch that ends begins the next one. `state_dict()` counts the batches that were taken from
    the sampler; `state_dict(batches)` counts those delivered, where a loader takes ahead.

    Args:
        snapshot: The samples.
        batch_size: Samples per batch and rank.
        shuffle: True for a full shuffle, False for none, or a `Windowed` one.
        seed: Seed of the shuffle.
        rank: This rank; by default that of `torch.distributed`.
        world_size: Number of ranks; goes with `rank`.
        drop_last: Whether to leave out the last samples of an epoch that do not fill a step.

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
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size {batch_size}: expected at least 1")
        if (rank is None) != (world_size is None):
            raise ValueError("rank and world_size go together: give both or neither")
        if rank is not None and world_size is not None and not 0 <= rank < world_size:
            raise ValueError(f"rank {rank} of {world_size}: expected 0 to {world_size - 1}")
        if not 0 <= seed < 1 << 64:
            raise ValueError(f"seed {seed}: expected 0 to {(1 << 64) - 1}")
        self.snapshot = snapshot
        self.batch_size = batch_size
        self.drop_last = drop_last
        self._shuffle = as_shuffle(shuffle)
        self._seed = seed
        self._given_rank = None if rank is None or world_size is None else (rank, world_size)
        # Where the next pass begins, where the current one began, and up to where it has taken.
        self._start = self._begun = (0, 0)
        self._taken = (0, 0)

    @property
    def shuffle(self) -> Shuffle:
        """The shuffle."""
        return self._shuffle

    def share(self) -> tuple[int, int]:
        """(rank, number of ranks)."""
        return self._given_rank or current_rank()

    def fix_share(self) -> None:
        """Keeps the rank that this process has, for processes that do not know it."""
        self._given_rank = self.share()

    def __len__(self) -> int:
        """Batches of this rank from where the next pass begins to the end of its epoch."""
        rank, ranks = self.share()
        left = len(self.snapshot) - self._start[1]
        full, rest = divmod(left, self.batch_size * ranks)
        return full + (not self.drop_last and rest > rank)

    def __iter__(self) -> Iterator[list[int]]:
        """Goes from where the last pass ended, or a loaded state says, to the end of an epoch."""
        self._begun = epoch, position = self._start
        order = self.order(epoch)
        rank, ranks = self.share()
        while self.is_step(position):
            stop = min(position + self.batch_size * ranks, len(self.snapshot))
            self._taken = self.after(epoch, position, 1)
            if self._taken[0] != epoch:
                self._start = self._taken
            if indices := order.slice(position + rank, stop, ranks):
                yield indices
            position = stop
        self._start = self._taken = (epoch + 1, 0)

    def order(self, epoch: int) -> _native.Order:
        """The order of an epoch."""
        return self._shuffle.order(len(self.snapshot), self._seed, epoch)

    def is_step(self, position: int) -> bool:
        """Whether there are samples for a step at this position."""
        least = self.batch_size * self.share()[1] if self.drop_last else 1
        return len(self.snapshot) - position >= least

    def after(self, epoch: int, position: int, steps: int) -> tuple[int, int]:
        """Where one stands some steps later; the end of an epoch is the start of the next."""
        position += steps * self.batch_size * self.share()[1]
        return (epoch, position) if self.is_step(position) else (epoch + 1, 0)

    def begin_at(self, epoch: int, position: int) -> None:
        """Begins the next pass there."""
        self._start = self._taken = self._begun = (epoch, position)

    @property
    def begins_at(self) -> tuple[int, int]:
        """(epoch, position) where the next pass begins."""
        return self._start

    def position(self, epoch: int, position: int) -> Position:
        """A place in this sampler's order."""
        return Position(self.snapshot.id, self._seed, epoch, position, self._shuffle.settings())

    def read(self, state: dict[str, Any]) -> Position:
        """Reads a state.

        Raises:
            ValueError: It belongs to other samples or another order.
        """
        position = Position.from_state(state)
        position.check(self.snapshot.id, self._seed, self._shuffle.settings())
        return position

    def set_epoch(self, epoch: int) -> None:
        """Begins the next pass at the start of an epoch, unless it begins within that one already.

        Not needed: epochs count themselves.
        """
        if epoch != self._start[0]:
            self.begin_at(epoch, 0)

    def state_dict(self, batches: int | None = None) -> dict[str, Any]:
        """Where this rank, and thereby all ranks, stand.

        Args:
            batches: Batches delivered since the current pass began; None counts those taken.
        """
        return self.position(
            *(self._taken if batches is None else self.after(*self._begun, batches))
        ).to_state()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Begins the next pass where a state says, whatever ranks and workers it was saved with.

        Raises:
            ValueError: It belongs to other samples or another order.
        """
        position = self.read(state)
        self.begin_at(position.epoch, position.position)
