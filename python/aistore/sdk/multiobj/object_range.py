"""Names by a range of numbers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from aistore.sdk.errors import InvalidObjectRangeIndex
from aistore.sdk.multiobj.object_collection import ObjectCollection
from aistore.sdk.utils import expand_braces

if TYPE_CHECKING:
    from collections.abc import Iterator

_FORM = re.compile(
    r"(?P<prefix>[^{}]*)\{(?P<low>\d+)\.\.(?P<high>\d+)(?:\.\.(?P<step>\d+))?\}(?P<suffix>[^{}]*)"
)


class ObjectRange(ObjectCollection):
    """Names with a number in them.

    Args:
        prefix: Text before the number.
        min_index: First number.
        max_index: Last number, included.
        pad_width: Least number of digits.
        step: Distance between numbers.
        suffix: Text after the number.

    Raises:
        InvalidObjectRangeIndex: The bounds contradict each other.
        ValueError: A suffix without bounds.
    """

    def __init__(
        self,
        prefix: str,
        min_index: int | None = None,
        max_index: int | None = None,
        pad_width: int = 0,
        step: int = 1,
        suffix: str = "",
    ) -> None:
        self._prefix, self._suffix = prefix, suffix
        self._bounds = _bounds(min_index, max_index, pad_width)
        self._step = step
        if suffix and self._bounds is None:
            raise ValueError("a suffix needs min_index and max_index")

    @classmethod
    def from_string(cls, range_string: str) -> ObjectRange:
        """Reads `prefix{first..last..step}suffix`.

        Raises:
            ValueError: Another form.
        """
        found = _FORM.fullmatch(range_string)
        if found is None:
            raise ValueError(f"{range_string!r}: expected prefix{{first..last[..step]}}suffix")
        low = found["low"]
        return cls(
            found["prefix"],
            int(low),
            int(found["high"]),
            len(low) if low.startswith("0") and len(low) > 1 else 0,
            int(found["step"] or 1),
            found["suffix"],
        )

    def get_value(self) -> dict[str, Any]:
        """The form that requests carry."""
        return {"template": str(self)}

    def __str__(self) -> str:
        if self._bounds is None:
            return self._prefix
        low, high = self._bounds
        return f"{self._prefix}{{{low}..{high}..{self._step}}}{self._suffix}"

    def __iter__(self) -> Iterator[str]:
        if self._bounds is None:
            raise RuntimeError("an ObjectRange without min_index and max_index has no names")
        return expand_braces(str(self))


def _bounds(low: int | None, high: int | None, width: int) -> tuple[str, str] | None:
    """Checks the bounds and writes them with leading zeros."""
    if low is None and high is None:
        return None
    if low is None or high is None:
        raise InvalidObjectRangeIndex("provide both min_index and max_index, or neither")
    if low >= high:
        raise InvalidObjectRangeIndex(f"min_index {low} must be less than max_index {high}")
    if width and width < len(str(low)):
        raise InvalidObjectRangeIndex(f"pad_width {width} has no room for min_index {low}")
    return f"{low:0{width}d}", f"{high:0{width}d}"
