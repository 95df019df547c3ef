"""What all selections of names have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


class ObjectCollection(ABC):
    """Names of objects."""

    @abstractmethod
    def get_value(self) -> dict[str, Any]:
        """The form that requests carry."""

    @abstractmethod
    def __iter__(self) -> Iterator[str]:
        """Iterates over the names."""
