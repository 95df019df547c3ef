"""Common part of data sets that are accessed by index."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, TypeVar

from torch.utils.data import Dataset

from aistore.pytorch._sources import list_objects, with_prefixes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aistore.pytorch._sources import Prefixes, Sources
    from aistore.sdk.obj.object import Object

T = TypeVar("T")


class AISBaseMapDataset(Dataset[T], ABC):
    """Lists all objects when it is made; reads them by index.

    Args:
        ais_source_list: A source or several.
        prefix_map: Prefixes to list, by source; everything of sources that are not in it.

    Raises:
        ValueError: There is no source.
    """

    def __init__(self, ais_source_list: Sources, prefix_map: Prefixes = None) -> None:
        self._objects = list(list_objects(with_prefixes(ais_source_list, prefix_map)))

    def get_obj_list(self) -> list[Object]:
        """All objects, by index."""
        return self._objects

    def __len__(self) -> int:
        return len(self._objects)

    @abstractmethod
    def __getitem__(self, index: int) -> T:
        """Reads one item.

        Raises:
            IndexError: There is no such index.
        """

    def __getitems__(self, indices: Sequence[int]) -> list[T]:
        """Reads several items, in the order of the indices."""
        return [self[index] for index in indices]
