"""Bytes that are read at one end and consumed at the other."""

from __future__ import annotations


class SlidingWindowBuffer:
    """A window of a stream.

    Args:
        max_size: Bytes that are kept, at most, by `append`.
        boundary_size: Bytes of the boundary that is looked for.
    """

    def __init__(self, max_size: int, boundary_size: int) -> None:
        self._max_size = max(max_size, 2 * boundary_size)
        self._data = bytearray()

    def __len__(self) -> int:
        return len(self._data)

    def append(self, data: bytes) -> None:
        """Adds bytes; what exceeds the window is dropped at the front."""
        self._data += data
        del self._data[: max(0, len(self._data) - self._max_size)]

    def append_no_slide(self, data: bytes) -> None:
        """Adds bytes and drops none."""
        self._data += data

    def find(self, pattern: bytes, start: int = 0) -> int:
        """Position of a pattern, -1 if it is not there."""
        return self._data.find(pattern, start)

    def find_relative(self, pattern: bytes, start: int = 0) -> int:
        """Position of a pattern counted from `start`, -1 if it is not there."""
        found = self._data.find(pattern, start)
        return found if found < 0 else found - start

    def get_data_bytes(self, start: int = 0, end: int | None = None) -> bytes:
        """A copy of some bytes."""
        return bytes(self._data[start:end])

    def consume(self, length: int) -> bytes:
        """Takes bytes off the front."""
        taken = bytes(self._data[:length])
        del self._data[:length]
        return taken

    def discard(self, length: int) -> None:
        """Drops bytes at the front."""
        del self._data[:length]

    def skip_leading_whitespace(self) -> int:
        """Drops white space at the front; returns how much it was."""
        before = len(self._data)
        self._data = self._data.lstrip()
        return before - len(self._data)

    def clear(self) -> None:
        """Drops everything."""
        self._data.clear()
