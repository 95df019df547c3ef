"""Headers whose names ignore case."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping


class CaseInsensitiveDict(MutableMapping[str, str]):
    """Headers by name in any case; keeps the spelling that was set last.

    A header that comes several times is joined with `, `.
    """

    def __init__(self, data: Mapping[str, str] | Iterable[tuple[str, str]] = ()) -> None:
        self._items: dict[str, tuple[str, str]] = {}
        for name, value in data.items() if isinstance(data, Mapping) else data:
            known = self._items.get(name.lower())
            self[name] = f"{known[1]}, {value}" if known else value

    def __getitem__(self, name: str) -> str:
        return self._items[name.lower()][1]

    def __setitem__(self, name: str, value: str) -> None:
        self._items[name.lower()] = (name, value)

    def __delitem__(self, name: str) -> None:
        del self._items[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._items.values())

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        return repr(dict(self.items()))

    def copy(self) -> CaseInsensitiveDict:
        """An independent copy."""
        return CaseInsensitiveDict(self)
