"""Objects by index."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aistore.pytorch._fetch import read_in_order, read_one
from aistore.pytorch.base_map_dataset import AISBaseMapDataset

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aistore.pytorch._sources import Prefixes, Sources


class AISMapDataset(AISBaseMapDataset[tuple[str, bytes]]):
    """Pairs of name and content, by index. A DataLoader gets each batch with one request.

    Args:
        ais_source_list: A source or several.
        prefix_map: Prefixes to list, by source; everything of sources that are not in it.
        etl_name: Transformer that objects pass through.

    Raises:
        ValueError: There is no source.
    """

    def __init__(
        self,
        ais_source_list: Sources = None,
        prefix_map: Prefixes = None,
        etl_name: str | None = None,
    ) -> None:
        super().__init__(ais_source_list, prefix_map)
        self._etl_name = etl_name

    def __getitem__(self, index: int) -> tuple[str, bytes]:
        """Reads one object.

        Raises:
            IndexError: There is no such index.
        """
        obj = self._objects[index]
        return obj.name, read_one(obj, self._etl_name)

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[str, bytes]]:
        """Reads several objects, in the order of the indices."""
        wanted = [self._objects[index] for index in indices]
        return [(obj.name, content) for obj, content in read_in_order(wanted, self._etl_name)]
