"""Objects as files."""

from __future__ import annotations

from io import BufferedIOBase
from typing import TYPE_CHECKING

from aistore.sdk.obj.obj_file.object_file_writer import ObjectFileWriter
from aistore.sdk.obj.obj_file.stream import ResumableStream

if TYPE_CHECKING:
    from typing_extensions import Buffer, Self

    from aistore.sdk.obj.content_iterator.base import BaseContentIterProvider

__all__ = ["ObjectFileReader", "ObjectFileWriter"]

# A line is looked for in steps of this size; larger steps copy more than lines are long.
_PEEK = 1 << 10
_NOTHING = memoryview(b"")


class ObjectFileReader(BufferedIOBase):
    """Reads an object from start to end; goes on by itself after the connection broke.

    Entering `with` starts over at byte 0. The first request is sent by the first read.

    Args:
        content_provider: Opens streams.
        max_resume: How often one pass may go on after a break.
    """

    def __init__(self, content_provider: BaseContentIterProvider, max_resume: int) -> None:
        super().__init__()
        self._stream = ResumableStream(content_provider, max_resume)
        self._rest = memoryview(b"")

    def __enter__(self) -> Self:
        self._check_open()
        self._stream.restart()
        self._rest = memoryview(b"")
        return self

    def readable(self) -> bool:
        """Always."""
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Reads up to `size` bytes, fewer only at the end; the rest if negative or None.

        Raises:
            ValueError: The file is closed.
            ObjectFileReaderMaxResumeError: The connection broke too often.
            ObjectFileReaderStreamError: The object was replaced in the middle of reading.
        """
        self._check_open()
        wanted = None if size is None or size < 0 else size
        parts: list[memoryview] = []
        have = 0
        try:
            while wanted is None or have < wanted:
                if not self._rest:
                    self._rest = next(self._stream, _NOTHING)
                    if not self._rest:
                        break
                take = len(self._rest) if wanted is None else wanted - have
                part, self._rest = self._rest[:take], self._rest[take:]
                parts.append(part)
                have += len(part)
        except BaseException:
            self.close()
            raise
        return parts[0].tobytes() if len(parts) == 1 else b"".join(parts)

    def read1(self, size: int | None = -1, /) -> bytes:
        """Reads what is at hand, up to `size` bytes, with at most one wait."""
        at_hand = len(self.peek())
        return self.read(at_hand if size is None or size < 0 else min(size, at_hand))

    def readinto(self, buffer: Buffer, /) -> int:
        """Fills a buffer; returns the number of bytes, fewer than its size only at the end."""
        with memoryview(buffer) as view, view.cast("B") as target:
            content = self.read(len(target))
            target[: len(content)] = content
            return len(content)

    def peek(self, size: int = 0, /) -> bytes:
        """The next bytes without taking them; empty at the end."""
        self._check_open()
        if not self._rest:
            self._rest = next(self._stream, _NOTHING)
        return self._rest[: max(size, _PEEK)].tobytes()

    def close(self) -> None:
        """Drops the connection; closing again does nothing."""
        if not self.closed:
            self._stream.close()
            self._rest = memoryview(b"")
        super().close()

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")
