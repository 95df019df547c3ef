"""Names, one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aistore.sdk.multiobj.object_collection import ObjectCollection

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class ObjectNames(ObjectCollection):
    """A list of names.

    Args:
        names: The names.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = list(names)

    def get_value(self) -> dict[str, Any]:
        """The form that requests carry."""
        return {"objnames": self._names}

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
