"""Reading an object."""

from __future__ import annotations

import errno
import os
import stat
import threading
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Generic, TypeVar, cast, overload

from aistore._progress import reporting
from aistore.sdk._headers import CaseInsensitiveDict
from aistore.sdk.const import DEFAULT_CHUNK_SIZE
from aistore.sdk.errors import AISError
from aistore.sdk.obj.content_iterator import (
    ContentIterProvider,
    ParallelBuffer,
    ParallelContentIterProvider,
)
from aistore.sdk.obj.obj_file.object_file import ObjectFileReader
from aistore.sdk.obj.object_attributes import ObjectAttributes
from aistore.sdk.obj.object_client import checksum_of
from aistore.sdk.obj.raw_stream import RawStream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    from aistore.sdk.obj.content_iterator import BaseContentIterProvider
    from aistore.sdk.obj.object_client import ObjectClient, WritableBuffer

    Destination: TypeAlias = "WritableBuffer | str | PathLike[str] | BinaryIO"

# Bytes that are written to a file at a time.
_FILE_CHUNK = 1 << 20

Content_co = TypeVar("Content_co", bound="bytes | ParallelBuffer", covariant=True)


class ObjectReader(Generic[Content_co]):
    """Reads an object whole, in chunks, as a file, or into memory of the caller.

    Args:
        object_client: What to read.
        chunk_size: Bytes per chunk.
        num_workers: Ranges read at a time; None reads one stream.
    """

    def __init__(
        self,
        object_client: ObjectClient,
        chunk_size: int | None = None,
        num_workers: int | None = None,
    ) -> None:
        if chunk_size is not None and chunk_size < 1:
            raise ValueError(f"chunk_size {chunk_size}: expected at least 1")
        self._object_client = object_client
        self._chunk_size = chunk_size
        self._num_workers = num_workers
        self._attributes: ObjectAttributes | None = None

    def __repr__(self) -> str:
        return f"ObjectReader({self._object_client.cname})"

    def head(self) -> ObjectAttributes:
        """Asks for the object's attributes.

        Raises:
            AISError: There is no such object, with status 404.
        """
        self._attributes = ObjectAttributes(self._object_client.head())
        return self._attributes

    @property
    def attributes(self) -> ObjectAttributes:
        """Attributes; asked for once."""
        return self._attributes or self.head()

    @overload
    def read_all(self) -> Content_co: ...

    @overload
    def read_all(self, *, out: Destination, verify: bool = False) -> int: ...

    def read_all(self, *, out: Destination | None = None, verify: bool = False) -> Content_co | int:
        """Reads everything.

        Args:
            out: Where to: a writable buffer (bytearray, numpy array, shared memory), the path of a
                file, or a file that is open for writing. None returns the content.
            verify: With a buffer as `out`, compare the checksum of what came with the object's.

        Returns:
            The content; with `num_workers` a `ParallelBuffer`, which the caller closes. With `out`
            the number of bytes.

        Raises:
            ValueError: `out` is too small, or cannot be verified.
            ErrObjNotFound: There is no such object.
            AISConnectionError: The transfer broke.
            AISError: The checksum differs.
        """
        if out is not None:
            return self._read_to(out, verify=verify)
        if verify:
            raise ValueError("verify goes with out")
        # Which of the two it is, is decided together with the type, in Object.get_reader.
        if self._num_workers is not None:
            return cast(Content_co, self._parallel(self._num_workers).read_all())
        return cast(Content_co, self._object_client.read_all()[1])

    def _read_to(self, out: Destination, *, verify: bool) -> int:
        if isinstance(out, str | PathLike):
            _refuse_to_verify(verify)
            return self.to_file(out)
        if hasattr(out, "write") and not _is_buffer(out):
            _refuse_to_verify(verify)
            file = cast("BinaryIO", out)
            return sum(
                _write_all(file, chunk) for chunk in self._provider(_FILE_CHUNK).create_iter()
            )
        buffer = cast("WritableBuffer", out)
        size = self.head().size
        with memoryview(buffer) as view:
            room = view.nbytes
        if not self._object_client.is_whole:
            _refuse_to_verify(verify)
            return self.read_into(buffer)
        if room < size:
            raise ValueError(
                f"{self._object_client.cname} has {size} bytes, the buffer {room}:"
                " give a larger one"
            )
        read = self.read_into(buffer)
        if verify:
            self._verify(buffer, read)
        return read

    def _verify(self, buffer: WritableBuffer, length: int) -> None:
        # Asked anew: it may have been overwritten since the size was asked for.
        attributes = self.head()
        kind, wanted = attributes.checksum_type, attributes.checksum_value
        if not kind or kind == "none":
            raise ValueError(
                f"{self._object_client.cname} has no checksum: do not ask to verify it"
            )
        if attributes.size != length or checksum_of(buffer, length, kind) != wanted:
            raise AISError(
                0, f"{self._object_client.cname}: what was read has another {kind}: read it again"
            )

    def read_into(self, buffer: WritableBuffer, offset: int = 0) -> int:
        """Reads into memory of the caller, large objects by parallel ranges.

        Args:
            buffer: Writable and C-contiguous: a bytearray, numpy array, shared memory.
            offset: First byte to read.

        Returns:
            Bytes read: the size of the buffer, or less where the object ends.

        Raises:
            TypeError: The buffer is read-only or not contiguous.
            ErrObjNotFound: There is no such object.
        """
        return self._object_client.get_into(buffer, offset, self._num_workers or 0)

    def to_file(
        self, path: str | PathLike[str], *, progress: Callable[[int], None] | bool | None = None
    ) -> int:
        """Downloads to a file, which appears when it is whole; goes on after the connection broke.

        Pipes and devices are written to as the bytes come; a symbolic link is followed.

        Args:
            path: The file; replaced if it exists.
            progress: Called now and then with the bytes read so far; True shows a bar, which
                `AIS_PROGRESS=0` turns off.

        Returns:
            Bytes read.

        Raises:
            ErrObjNotFound: There is no such object.
            OSError: The file cannot be written.
        """
        final, part = _destination(path)
        total = self.attributes.size if progress is True else 0
        read = 0
        try:
            with (
                reporting(progress, total, f"get {Path(path).name}") as report,
                self.as_file() as source,
                _open(part or final, path) as out,
            ):
                while chunk := source.read(_FILE_CHUNK):
                    out.write(chunk)
                    read += len(chunk)
                    if report is not None:
                        report(read)
            if part is not None:
                part.replace(final)
        finally:
            if part is not None:
                part.unlink(missing_ok=True)
        return read

    def raw(self) -> RawStream:
        """Opens the stream; the caller closes it."""
        stream = self._object_client.open()
        self._attributes = ObjectAttributes(CaseInsensitiveDict(stream.headers))
        return RawStream(stream)

    def __iter__(self) -> Iterator[bytes]:
        """Reads anew, in chunks."""
        return self._provider(self._chunk_size or DEFAULT_CHUNK_SIZE).create_iter()

    def as_file(self, buffer_size: int | None = None, max_resume: int = 5) -> ObjectFileReader:
        """Reads as a file that goes on by itself after the connection broke.

        Args:
            buffer_size: Accepted for compatibility; transfers are buffered natively.
            max_resume: How often it may go on; more breaks are an error.

        Raises:
            ValueError: A number is negative.
        """
        if (buffer_size or 0) < 0 or max_resume < 0:
            raise ValueError(
                f"max_resume {max_resume}, buffer_size {buffer_size}: expected 0 or more"
            )
        return ObjectFileReader(self._provider(self._chunk_size), max_resume)

    def _provider(self, chunk_size: int | None) -> BaseContentIterProvider:
        if self._num_workers is not None:
            return self._parallel(self._num_workers)
        return ContentIterProvider(self._object_client, chunk_size)

    def _parallel(self, workers: int) -> ParallelContentIterProvider:
        return ParallelContentIterProvider(self._object_client, self._chunk_size, workers)


def _is_buffer(out: object) -> bool:
    try:
        memoryview(cast("WritableBuffer", out)).release()
    except TypeError:
        return False
    return True


def _refuse_to_verify(verify: bool) -> None:
    if verify:
        raise ValueError("verify is for whole objects that are read into a buffer")


def _write_all(file: BinaryIO, chunk: bytes) -> int:
    """Writes to a file that may take less at a time, as a raw one does."""
    left = memoryview(chunk)
    while left:
        left = left[file.write(left) :]
    return len(chunk)


def _destination(path: str | PathLike[str]) -> tuple[Path, Path | None]:
    """What to write, and the file beside it to write first, if a rename can put that in its place.

    Raises:
        IsADirectoryError: It is a directory.
    """
    final = Path(path)
    try:
        mode = final.stat().st_mode
    except FileNotFoundError:
        mode = stat.S_IFREG
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not stat.S_ISREG(mode):
        return final, None
    final = Path(os.path.realpath(final))
    own = f"{os.getpid()}-{threading.get_ident()}"
    return final, final.with_name(f".{final.name}.{own}.part")


def _open(file: Path, asked: str | PathLike[str]) -> BinaryIO:
    """Opens for writing; errors name the path that was asked for."""
    try:
        return file.open("wb")
    except OSError as error:
        error.filename = os.fspath(asked)
        raise
