"""Objects as files, for reading and for writing."""

from __future__ import annotations

import io
import shutil
import tempfile
from io import BufferedIOBase
from typing import IO, TYPE_CHECKING

from aistore.sdk.errors import AISError, ErrBckNotFound
from aistore.sdk.obj.obj_file.stream import ResumableStream

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Buffer, Self

    from aistore.sdk.obj.content_iterator.base import BaseContentIterProvider
    from aistore.sdk.obj.object_client import ObjectClient
    from aistore.sdk.obj.object_writer import ObjectWriter

# A line is looked for in steps of this size; larger steps copy more than lines are long.
_PEEK = 1 << 10
# What a file being written keeps in memory before it goes to a temporary file.
_IN_MEMORY = 32 << 20
_COPY_CHUNK = 1 << 20
_NOT_FOUND = 404
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


class ObjectFileWriter(BufferedIOBase):
    """Collects what is written; the object appears, whole, when the file is closed.

    Leaving `with` through an exception leaves the object as it was, and so does losing the file
    without closing it.

    Args:
        obj_writer: Writes the object.
        mode: `w` replaces the object, `a` adds to what it holds.
        current: Reads the object as it is.

    Raises:
        ValueError: Another mode.
    """

    def __init__(self, obj_writer: ObjectWriter, mode: str, current: ObjectClient) -> None:
        super().__init__()
        if mode not in {"w", "a"}:
            raise ValueError(f"Invalid mode {mode!r}: expected 'w' (replace) or 'a' (append)")
        self._writer, self._mode, self._current = obj_writer, mode, current
        self._memory = io.BytesIO()
        self._file: IO[bytes] | None = None
        self._size = 0

    def writable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """Bytes written so far."""
        return self._size

    def write(self, content: Buffer | str, /) -> int:
        """Adds bytes; returns their number.

        Text is taken as UTF-8: code exists that opens such a file for text, and writes lines.

        Raises:
            ValueError: The file is closed.
        """
        self._check_open()
        if isinstance(content, str):
            content = content.encode()
        if self._file is None and self._size > _IN_MEMORY:
            self._move_to_disk()
        written = (self._file or self._memory).write(content)
        self._size += written
        return written

    def flush(self) -> None:
        """Does nothing: a partial object is never visible."""

    def close(self) -> None:
        """Writes the object; closing again does nothing."""
        if self.closed:
            return
        try:
            if self._mode == "w" or self._size:
                self._finish()
        finally:
            self._discard()

    def __enter__(self) -> Self:
        self._check_open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._discard()
        self.close()

    def __del__(self) -> None:
        # Replaces the inherited finaliser, which would close the file and so write the object.
        if hasattr(self, "_file"):
            self._discard()

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")

    def _discard(self) -> None:
        self._memory.close()
        if self._file is not None:
            self._file.close()
        super().close()

    def _finish(self) -> None:
        before = self._read_current() if self._mode == "a" else b""
        if self._file is None:
            self._writer.put_content(before + self._memory.getvalue())
            return
        if before:
            self._move_to_disk(before)
        self._file.flush()
        self._writer.put_file(self._file.name)

    def _move_to_disk(self, before: bytes = b"") -> None:
        """Goes on in a new file that holds `before` and what was written so far."""
        written = self._file or self._memory
        written.seek(0)
        # Closed, and thereby removed, by _discard.
        self._file = tempfile.NamedTemporaryFile(prefix="aistore-")  # noqa: SIM115
        self._file.write(before)
        shutil.copyfileobj(written, self._file, _COPY_CHUNK)
        written.close()

    def _read_current(self) -> bytes:
        try:
            return self._current.get()[1]
        except AISError as error:
            if error.status_code != _NOT_FOUND or isinstance(error, ErrBckNotFound):
                raise
            return b""
