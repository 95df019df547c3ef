"""A streamed answer as a file."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from aistore.sdk._headers import CaseInsensitiveDict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Buffer

    from aistore import _native

_STREAM_CHUNK = 1 << 16


class RawStream(io.RawIOBase):
    """Bytes as they arrive; closing it early drops the connection.

    Attributes:
        status: HTTP status.
        headers: Headers, by name in any case.
    """

    def __init__(self, stream: _native.ObjectStream) -> None:
        super().__init__()
        self._stream = stream
        self.status = stream.status
        self.headers = CaseInsensitiveDict(stream.headers)

    def readable(self) -> bool:
        """Always."""
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Up to `size` bytes, fewer only at the end; everything if negative or None."""
        return self._stream.read(-1 if size is None else size)

    def readall(self) -> bytes:
        """Everything that is left."""
        return self._stream.read(-1)

    def readinto(self, buffer: Buffer, /) -> int:
        """Fills a buffer; returns the number of bytes, 0 at the end."""
        with memoryview(buffer) as view, view.cast("B") as target:
            part = self._stream.next_chunk(len(target))
            target[: len(part)] = part
            return len(part)

    def stream(self, amt: int = _STREAM_CHUNK) -> Iterator[bytes]:
        """Yields chunks of `amt` bytes."""
        while chunk := self._stream.read(amt):
            yield chunk

    def close(self) -> None:
        """Drops the connection if bytes are left."""
        if not self.closed:
            self._stream.close()
        super().close()
