"""A stream in which a boundary is looked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aistore.sdk.batch.multipart.sliding_window_buffer import SlidingWindowBuffer

if TYPE_CHECKING:
    from collections.abc import Iterator


class MultipartStreamBuffer:
    """Chunks of a stream, read when they are needed.

    Args:
        content_iter: The stream.
        boundary: What separates its parts.
        max_buffer_size: Bytes that are handed out at a time, at most.
    """

    def __init__(
        self, content_iter: Iterator[bytes], boundary: bytes, max_buffer_size: int
    ) -> None:
        self._chunks = iter(content_iter)
        self._boundary = boundary
        self._max = max(max_buffer_size, 2 * len(boundary))
        self._window = SlidingWindowBuffer(self._max, len(boundary))
        self._ended = False

    @property
    def boundary(self) -> bytes:
        """What separates the parts."""
        return self._boundary

    def get_boundary_size(self) -> int:
        """Its length."""
        return len(self._boundary)

    def get_buffer_size(self) -> int:
        """Bytes that were read and not consumed."""
        return len(self._window)

    def read_chunk(self) -> bytes | None:
        """The next chunk of the stream, which is not buffered; None at the end."""
        chunk = next(self._chunks, None)
        self._ended = chunk is None
        return chunk

    def append_chunk(self, chunk: bytes, no_slide: bool = False) -> None:
        """Buffers a chunk; without `no_slide` only the last bytes of the window are kept."""
        if no_slide:
            self._window.append_no_slide(chunk)
        else:
            self._window.append(chunk)

    def force_read_chunk(self) -> int:
        """Reads and buffers a chunk; returns its length, 0 at the end."""
        chunk = self.read_chunk()
        if chunk:
            self.append_chunk(chunk, no_slide=True)
        return len(chunk or b"")

    def ensure_data_available(self, min_bytes: int = 0) -> bool:
        """Reads until so many bytes, or any, are buffered; whether they are."""
        wanted = max(min_bytes, 1)
        while len(self._window) < wanted and not self._ended:
            self.force_read_chunk()
        return len(self._window) >= wanted

    def has_data(self) -> bool:
        """Whether bytes are buffered."""
        return len(self._window) > 0

    def is_exhausted(self) -> bool:
        """Whether the stream is at its end and nothing is buffered."""
        return self._ended and not self.has_data()

    def find_pattern(self, pattern: bytes, start: int = 0) -> int:
        """Position of a pattern among the buffered bytes, -1 if it is not there."""
        return self._window.find(pattern, start)

    def find_boundary_position(self) -> int:
        """Position of the boundary among the buffered bytes, -1 if it is not there."""
        return self.find_pattern(self._boundary)

    def has_boundary(self) -> bool:
        """Whether the boundary is among the buffered bytes."""
        return self.find_boundary_position() >= 0

    def get_data_slice(self, start: int = 0, end: int | None = None) -> bytes:
        """A copy of buffered bytes."""
        return self._window.get_data_bytes(start, end)

    def consume_data(self, length: int) -> bytes:
        """Takes buffered bytes."""
        return self._window.consume(length)

    def skip_whitespace(self) -> int:
        """Drops white space; returns how much it was."""
        return self._window.skip_leading_whitespace()

    def consume_before_pattern(self, pos: int, pattern: bytes, clean_endings: bool = True) -> bytes:
        """Takes the bytes before position `pos`, and drops the pattern that is there."""
        taken = self._window.consume(pos)
        self._window.discard(len(pattern))
        return taken.removesuffix(b"\r\n") if clean_endings else taken

    def get_safe_content_size(self) -> int:
        """Buffered bytes that cannot be the beginning of a line end and a boundary."""
        return max(0, len(self._window) - len(self._boundary) - 1)

    def read_until_boundary(self, clean_endings: bool = True) -> Iterator[bytes]:
        """Yields what comes before the boundary, and consumes the boundary."""
        while True:
            found = self.find_boundary_position()
            if found >= 0:
                rest = self.consume_before_pattern(found, self._boundary, clean_endings)
                if rest:
                    yield rest
                return
            safe = min(self.get_safe_content_size(), self._max)
            if safe > 0:
                yield self.consume_data(safe)
            elif not self.force_read_chunk() and self._ended:
                if rest := self.consume_data(len(self._window)):
                    yield rest
                return
