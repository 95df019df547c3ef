"""One part of an answer as a file."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aistore.sdk.batch.multipart.multipart_stream_buffer import MultipartStreamBuffer


class BodyStreamReader(io.BufferedIOBase):
    """Reads up to the next boundary, once.

    Args:
        buffer_reader: The stream.
    """

    def __init__(self, buffer_reader: MultipartStreamBuffer) -> None:
        super().__init__()
        self._pieces: Iterator[bytes] = buffer_reader.read_until_boundary()
        self._rest = b""

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Never."""
        return False

    def writable(self) -> bool:
        """Never."""
        return False

    def read(self, size: int | None = -1, /) -> bytes:
        """Up to `size` bytes, fewer only at the end; everything if negative or None."""
        wanted = -1 if size is None else size
        parts = [self._rest]
        have = len(self._rest)
        while wanted < 0 or have < wanted:
            piece = next(self._pieces, None)
            if piece is None:
                break
            parts.append(piece)
            have += len(piece)
        whole = b"".join(parts)
        if wanted < 0:
            self._rest = b""
            return whole
        self._rest = whole[wanted:]
        return whole[:wanted]
