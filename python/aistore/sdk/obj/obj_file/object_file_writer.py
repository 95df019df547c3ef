"""Writing an object as a file."""

from __future__ import annotations

import io
import shutil
import tempfile
from io import BufferedIOBase
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Buffer, Self

    from aistore.sdk.obj.object_writer import ObjectWriter

# What a file being replaced keeps in memory before it goes to a temporary file.
_IN_MEMORY = 32 << 20
# What is sent at once to an object that grows.
_APPEND_BYTES = 8 << 20
_COPY_CHUNK = 1 << 20


class ObjectFileWriter(BufferedIOBase):
    """Writes an object as a file; what is written appears, whole, with `flush` or `close`.

    Leaving `with` through an exception leaves the object as it was at the last flush, and so does
    losing the file without closing it.

    Args:
        obj_writer: Writes the object.
        mode: `w` replaces the object, `a` adds to what it holds.

    Raises:
        ValueError: Another mode.
    """

    def __init__(self, obj_writer: ObjectWriter, mode: str) -> None:
        super().__init__()
        if mode not in {"w", "a"}:
            raise ValueError(f"Invalid mode {mode!r}: expected 'w' (replace) or 'a' (append)")
        self._size = 0
        self._sink: _Replacing | _Appending = (
            _Replacing(obj_writer) if mode == "w" else _Appending(obj_writer)
        )
        self._writer = obj_writer

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
        written = self._sink.write(content)
        self._size += written
        return written

    def flush(self) -> None:
        """Makes the object show what was written so far; what is written later is added to it.

        Raises:
            ValueError: The file is closed.
        """
        self._check_open()
        self._sink.finish()
        if isinstance(self._sink, _Replacing):
            self._sink = _Appending(self._writer)

    def close(self) -> None:
        """Makes the object show all that was written; closing again does nothing."""
        if self.closed:
            return
        try:
            self._sink.finish()
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
        if hasattr(self, "_sink"):
            self._discard()

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")

    def _discard(self) -> None:
        self._sink.discard()
        # The base class would flush; there is nothing left that may be.
        self._sink = _Nothing()
        super().close()


class _Appending:
    """Adds to an object in a session of the cluster's, which copies what the object holds first."""

    def __init__(self, writer: ObjectWriter) -> None:
        self._writer = writer
        self._pending = bytearray()
        self._handle = ""

    def write(self, content: Buffer) -> int:
        before = len(self._pending)
        self._pending += content
        written = len(self._pending) - before
        if len(self._pending) >= _APPEND_BYTES:
            self._send()
        return written

    def _send(self) -> None:
        self._handle = self._writer.append_content(self._pending, self._handle)
        self._pending.clear()

    def finish(self) -> None:
        if self._pending:
            self._send()
        if self._handle:
            handle, self._handle = self._handle, ""
            self._writer.append_content(b"", handle, flush=True)

    def discard(self) -> None:
        """Leaves the session behind; the cluster removes those that nobody goes on with."""
        self._pending.clear()
        self._handle = ""


class _Replacing:
    """Collects the new content, in memory and then in a temporary file."""

    def __init__(self, writer: ObjectWriter) -> None:
        self._writer = writer
        self._memory = io.BytesIO()
        self._file: IO[bytes] | None = None

    def write(self, content: Buffer) -> int:
        if self._file is None and self._memory.tell() > _IN_MEMORY:
            self._move_to_disk()
        return (self._file or self._memory).write(content)

    def finish(self) -> None:
        if self._file is None:
            self._writer.put_content(self._memory.getvalue())
            return
        self._file.flush()
        self._writer.put_file(self._file.name)

    def discard(self) -> None:
        self._memory.close()
        if self._file is not None:
            self._file.close()

    def _move_to_disk(self) -> None:
        # Closed, and thereby removed, by discard.
        self._file = tempfile.NamedTemporaryFile(prefix="aistore-")  # noqa: SIM115
        self._memory.seek(0)
        shutil.copyfileobj(self._memory, self._file, _COPY_CHUNK)
        self._memory.close()


class _Nothing(_Appending):
    """Of a closed file."""

    def __init__(self) -> None:
        self._pending = bytearray()
        self._handle = ""
