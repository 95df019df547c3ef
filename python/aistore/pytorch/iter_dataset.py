"""Objects one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aistore.pytorch._fetch import read_in_order
from aistore.pytorch._show import counted
from aistore.pytorch.base_iter_dataset import AISBaseIterDataset

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aistore.pytorch._sources import Prefixes, Sources


class AISIterDataset(AISBaseIterDataset[tuple[str, bytes]]):
    """Pairs of name and content.

    Args:
        ais_source_list: A source or several.
        prefix_map: Prefixes to list, by source; everything of sources that are not in it.
        etl_name: Transformer that objects pass through.
        show_progress: Whether to show progress on the terminal.
        partition_sources_by_worker: Whether workers share sources instead of objects.
        shard_by_rank: Whether the ranks of `torch.distributed` share the objects too.

    Raises:
        ValueError: There is no source.
    """

    def __init__(
        self,
        ais_source_list: Sources,
        prefix_map: Prefixes = None,
        etl_name: str | None = None,
        show_progress: bool = False,
        partition_sources_by_worker: bool = False,
        *,
        shard_by_rank: bool = False,
    ) -> None:
        super().__init__(
            ais_source_list, prefix_map, partition_sources_by_worker, shard_by_rank=shard_by_rank
        )
        self._etl_name = etl_name
        self._show_progress = show_progress

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        """Reads this worker's objects in order."""
        items = (
            (obj.name, content)
            for obj, content in read_in_order(self._own_objects(), self._etl_name)
        )
        return counted(items, show=self._show_progress, unit="object")
