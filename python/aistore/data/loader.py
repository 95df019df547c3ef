"""A DataLoader that knows which samples it has delivered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch.utils.data

from aistore.data.sampler import SnapshotSampler

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aistore.data.dataset import SnapshotDataset
    from aistore.data.shuffle import Shuffle


class DataLoader(torch.utils.data.DataLoader[Any]):
    """PyTorch's DataLoader over a snapshot; its order and state do not depend on workers.

    The state counts samples that were delivered, not those that workers have fetched ahead. It can
    be loaded with another number of ranks and workers, and another batch size.

    Each pass goes from where the last one ended to the end of the epoch; after a `break` the next
    pass begins with the next sample that was not delivered.

    Args:
        dataset: The samples.
        batch_size: Samples per batch and rank.
        shuffle: True for a full shuffle, False for none, or a `Windowed` one.
        seed: Seed of the shuffle.
        rank: This rank; by default that of `torch.distributed`.
        world_size: Number of ranks; goes with `rank`.
        drop_last: Whether to leave out the last samples of an epoch that do not fill a step.
        options: What else `torch.utils.data.DataLoader` takes, such as `num_workers`.

    Raises:
        ValueError: A number is out of range.
    """

    def __init__(
        self,
        dataset: SnapshotDataset,
        batch_size: int = 1,
        *,
        shuffle: Shuffle | bool = True,
        seed: int = 0,
        rank: int | None = None,
        world_size: int | None = None,
        drop_last: bool = False,
        **options: Any,
    ) -> None:
        sampler = SnapshotSampler(
            dataset.snapshot,
            batch_size,
            shuffle=shuffle,
            seed=seed,
            rank=rank,
            world_size=world_size,
            drop_last=drop_last,
        )
        super().__init__(dataset, batch_sampler=sampler, **options)  # type: ignore[arg-type]
        self._order = sampler
        self._delivered = sampler.begins_at

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """Delivers batches to the end of the epoch."""
        begun = self._delivered
        self._order.begin_at(*begun)
        for count, batch in enumerate(super().__iter__(), 1):
            self._delivered = self._order.after(*begun, count)
            yield batch
        self._delivered = (begun[0] + 1, 0)

    def state_dict(self) -> dict[str, Any]:
        """Where this rank, and thereby all ranks, stand: after the last batch delivered."""
        return self._order.position(*self._delivered).to_state()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Begins the next pass where a state says, whatever ranks and workers it was saved with.

        Raises:
            ValueError: It belongs to other samples or another order.
        """
        position = self._order.read(state)
        self._delivered = (position.epoch, position.position)
        self._order.begin_at(*self._delivered)

    def set_epoch(self, epoch: int) -> None:
        """Begins the next pass at the start of an epoch, unless it begins within that one already.

        Not needed: epochs count themselves.
        """
        if epoch != self._delivered[0]:
            self._delivered = (epoch, 0)
