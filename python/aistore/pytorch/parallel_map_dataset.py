"""Large objects by index."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aistore.pytorch.base_map_dataset import AISBaseMapDataset
from aistore.sdk.obj.content_iterator import ParallelBuffer

if TYPE_CHECKING:
    from aistore.pytorch._sources import Prefixes, Sources

_DEFAULT_WORKERS = 16


class AISParallelMapDataset(AISBaseMapDataset[tuple[str, ParallelBuffer]]):
    """Pairs of name and content, each object read by parallel ranges; works in DataLoader workers.

    The content is a `ParallelBuffer`, which the caller closes. It does not leave the process: in a
    worker, the collate function must turn it into tensors or bytes.

    Args:
        ais_source_list: A source or several.
        prefix_map: Prefixes to list, by source; everything of sources that are not in it.
        num_workers: Ranges at a time, 2 or more.

    Raises:
        ValueError: There is no source, or `num_workers` is too small.
    """

    def __init__(
        self,
        ais_source_list: Sources = None,
        prefix_map: Prefixes = None,
        num_workers: int = _DEFAULT_WORKERS,
    ) -> None:
        if num_workers < 2:  # noqa: PLR2004 - one reader is no parallel read
            raise ValueError(f"num_workers {num_workers}: expected at least 2")
        super().__init__(ais_source_list, prefix_map)
        self._num_workers = num_workers

    @property
    def num_workers(self) -> int:
        """Ranges at a time."""
        return self._num_workers

    def __getitem__(self, index: int) -> tuple[str, ParallelBuffer]:
        """Reads one object.

        Raises:
            IndexError: There is no such index.
        """
        obj = self._objects[index]
        return obj.name, obj.get_reader(num_workers=self._num_workers).read_all()
