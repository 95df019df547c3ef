"""Batches of a bounded number of bytes."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import Sampler

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aistore.pytorch.base_map_dataset import AISBaseMapDataset


class DynamicBatchSampler(Sampler[list[int]]):
    """Indices in batches, each filled in order while it stays within a number of bytes.

    Empty samples are skipped with a warning.

    Args:
        data_source: The data set.
        max_batch_size: Bytes per batch.
        drop_last: Whether to leave out a last batch that `saturation_factor` is not reached by.
        allow_oversized_samples: Whether samples larger than a batch come alone; else they are
            left out.
        saturation_factor: Share of `max_batch_size`, 0 to 1.
        shuffle: Whether each iteration has an order of its own, from torch's random generator.

    Raises:
        ValueError: `saturation_factor` or `max_batch_size` is out of range.
    """

    def __init__(
        self,
        data_source: AISBaseMapDataset[Any],
        max_batch_size: float,
        drop_last: bool = False,
        allow_oversized_samples: bool = False,
        saturation_factor: float = 0.8,
        shuffle: bool = False,
    ) -> None:
        if not 0 <= saturation_factor <= 1:
            raise ValueError(f"saturation_factor {saturation_factor}: expected 0 to 1")
        if not max_batch_size > 0:
            raise ValueError(f"max_batch_size {max_batch_size}: expected bytes, more than 0")
        self._sizes = [
            obj.props_cached.size if obj.props_cached else obj.props.size
            for obj in data_source.get_obj_list()
        ]
        self._max_batch_size = max_batch_size
        self._drop_last = drop_last
        self._allow_oversized = allow_oversized_samples
        self._saturation = saturation_factor
        self._shuffle = shuffle

    def __len__(self) -> int:
        """Number of samples, not of batches, which is known only after an iteration."""
        return len(self._sizes)

    def __iter__(self) -> Iterator[list[int]]:
        """Yields batches of indices."""
        count = len(self._sizes)
        order = torch.randperm(count).tolist() if self._shuffle else range(count)
        batch: list[int] = []
        filled = 0
        for index in order:
            size = self._sizes[index]
            if size == 0:
                warnings.warn(f"sample {index} is empty and is left out", stacklevel=2)
                continue
            if size > self._max_batch_size:
                if self._allow_oversized:
                    yield [index]
                continue
            if filled + size > self._max_batch_size:
                yield batch
                batch, filled = [], 0
            batch.append(index)
            filled += size
            if filled == self._max_batch_size:
                yield batch
                batch, filled = [], 0
        if batch and (not self._drop_last or filled > self._saturation * self._max_batch_size):
            yield batch
