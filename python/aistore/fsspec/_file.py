"""Open files."""

from __future__ import annotations

import asyncio
import errno
import io
import os
from collections import deque
from typing import TYPE_CHECKING, Any, cast

from fsspec.asyn import get_loop
from fsspec.compression import compr
from fsspec.core import get_compression
from fsspec.spec import AbstractBufferedFile

from aistore.fsspec._paths import BEYOND_THE_END, PRECONDITION_FAILED, os_errors, split
from aistore.sdk import const
from aistore.sdk._headers import CaseInsensitiveDict
from aistore.sdk.errors import AISError

if TYPE_CHECKING:
    from concurrent.futures import Future

    from aistore.fsspec.filesystem import AISFileSystem
    from aistore.sdk.obj.multipart_upload import MultipartUpload

# Parts on their way while the next one is written: each is a block in memory.
_PARTS_AT_ONCE = 4


class ReadFile(AbstractBufferedFile):  # type: ignore[misc]
    """An object that is read by ranges, with readahead; all bytes are of one version of it.

    Args:
        fs: The file system.
        path: The object.
        mode: `rb`.
        block_size: Bytes to read ahead.
        options: What `AbstractBufferedFile` takes: `cache_type`, `cache_options`, `size`.
    """

    def __init__(
        self,
        fs: AISFileSystem,
        path: str,
        mode: str = "rb",
        block_size: int | str = "default",
        **options: Any,
    ) -> None:
        bucket, self._name = split(path)
        self._bucket_path = fs.native()[1].bucket(bucket).get_path()
        self._etag = ""
        if options.get("size") is None:
            # Asked for now: a file that is not there is told when it is opened.
            details = fs.info(path)
            if details["type"] != "file":
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), f"ais://{path}")
            self._details, self._etag = details, details["ETag"]
            options["size"] = details["size"]
        super().__init__(fs, path, mode, block_size, **options)

    def _fetch_range(self, start: int, end: int) -> bytes:
        if end <= start:
            return b""
        headers = [(const.HEADER_IF_MATCH, f'"{self._etag}"')] if self._etag else []
        headers.append((const.HEADER_RANGE, f"bytes={start}-{end - 1}"))
        if (start, end) == (0, self.size):
            # Without headers it is read by parallel ranges, of one version too.
            headers = []
        native, _ = self.fs.native()
        content: bytes
        with os_errors(self.path):
            try:
                _, told, content = native.get(self._bucket_path, self._name, [], headers)
            except AISError as error:
                if error.status_code == BEYOND_THE_END:
                    return b""
                if error.status_code == PRECONDITION_FAILED:
                    raise self._replaced() from error
                raise
        if not headers and self._etag:
            found = CaseInsensitiveDict(told).get(const.HEADER_ETAG, "")
            if found.strip('"') != self._etag:
                raise self._replaced()
        return content

    def _replaced(self) -> OSError:
        text = f"ais://{self.path} was replaced while it was read: open it again"
        return OSError(errno.ESTALE, text)

    def read(self, length: int | None = -1) -> bytes:
        """Reads up to `length` bytes; with -1 all that is left."""
        left = max(self.size - self.loc, 0)
        wanted = left if (length := _count(length)) < 0 else min(length, left)
        if self.closed or wanted <= self.blocksize:
            content: bytes = super().read(length)
            return content
        # Nothing is gained by passing much through the readahead.
        content = self._fetch_range(self.loc, self.loc + wanted)
        self.loc += len(content)
        return content


class WriteFile(AbstractBufferedFile):  # type: ignore[misc]
    """An object that is written from start to end; small ones at once, others in parts.

    It appears, whole, when the file is closed. Leaving `with` through an exception, and losing the
    file without closing it, leaves nothing.

    Args:
        fs: The file system.
        path: The object.
        mode: `wb`, `xb` (the object must not exist) or `ab` (adds to what it holds).
        block_size: Bytes of a part.
        options: What `AbstractBufferedFile` takes: `autocommit`.
    """

    def __init__(
        self,
        fs: AISFileSystem,
        path: str,
        mode: str = "wb",
        block_size: int | str = "default",
        **options: Any,
    ) -> None:
        self._parts: deque[Future[Any]] = deque()
        self._upload: MultipartUpload | None = None
        self._whole: bytes | None = None
        self._discarded = False
        super().__init__(fs, path, mode, block_size, **options)
        self._object = fs.native()[1].object(path)
        if mode == "xb" and fs.exists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), f"ais://{path}")
        if mode == "ab" and fs.exists(path):
            self.buffer.write(fs.cat_file(path))
            self.loc = self.buffer.tell()

    def write(self, data: Any) -> int:
        """Adds bytes; returns their number."""
        view = memoryview(data).cast("B")
        if self._discarded:
            return view.nbytes
        written: int = super().write(view)
        return written

    def _upload_chunk(self, final: bool = False) -> bool:
        content = self.buffer.getbuffer()
        with os_errors(self.path):
            if final and self._upload is None and len(content) <= self.blocksize:
                self._whole = bytes(content)
            else:
                for start in range(0, len(content), self.blocksize):
                    self._send(bytes(content[start : start + self.blocksize]))
            if final and self.autocommit:
                self.commit()
        return True

    def _send(self, content: bytes) -> None:
        if self._upload is None:
            self._upload = self._object.blocking().multipart_upload().create()
        while len(self._parts) >= _PARTS_AT_ONCE:
            self._parts.popleft().result()
        params = self._upload.add_part(len(self._upload.parts) + 1).query_params
        put = self._object.put(content, params=params)
        self._parts.append(asyncio.run_coroutine_threadsafe(put, self.fs.loop or get_loop()))

    def commit(self) -> None:
        """Makes the object appear."""
        headers = {"If-None-Match": "*"} if self.mode == "xb" else {}
        with os_errors(self.path):
            if self._upload is None:
                self.fs.pipe_file(
                    self.path, self._whole or b"", mode="create" if headers else "overwrite"
                )
            else:
                try:
                    while self._parts:
                        self._parts.popleft().result()
                    self._upload.complete()
                except BaseException:
                    self.discard()
                    raise
                self._upload = None
        self._whole = None
        self.fs.invalidate_cache(self.path)

    def discard(self) -> None:
        """Gives up: nothing appears, and the parts sent so far go away."""
        self._discarded, self._whole = True, None
        upload, self._upload = self._upload, None
        for part in self._parts:
            part.cancel()
        self._parts.clear()
        if upload is not None:
            with os_errors(self.path):
                upload.abort()

    def close(self) -> None:
        """Makes the object appear, unless it was given up."""
        if self._discarded:
            self.closed = True
        if self.closed:
            return
        try:
            super().close()
        except BaseException:
            self.discard()
            raise

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        if kind is not None:
            self.discard()
        self.close()

    def __del__(self) -> None:
        # The inherited one would close the file, and so write the object.
        if not self.closed:
            self.discard()
            self.closed = True


def _count(length: int | None) -> int:
    return -1 if length is None else int(length)


class CompressedWriteFile(io.BufferedIOBase):
    """Compresses into a file, and ends it: what fsspec makes leaves that to the garbage collector.

    Args:
        raw: Where to.
        compression: A name that fsspec knows, or `infer`.
    """

    def __init__(self, raw: WriteFile, compression: str) -> None:
        super().__init__()
        self._raw = raw
        name = get_compression(raw.path, compression)
        self._packed = compr[name](raw, mode=raw.mode[0]) if name else raw

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, data: Any) -> int:
        """Adds bytes; returns their number."""
        self._packed.write(data)
        return memoryview(data).nbytes

    def discard(self) -> None:
        """Gives up: nothing appears."""
        self._raw.discard()

    def close(self) -> None:
        """Makes the object appear, unless it was given up."""
        if self.closed:
            return
        try:
            self._packed.close()
            self._raw.close()
        except BaseException:
            self.discard()
            raise
        finally:
            super().close()

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        if kind is not None:
            self.discard()
        self.close()

    def __del__(self) -> None:
        if not self.closed:
            self.discard()
            self.close()


class TextWriteFile(io.TextIOWrapper):
    """Text that is written; leaving `with` through an exception leaves nothing."""

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        if kind is not None:
            self._discard()
        self.close()

    def __del__(self) -> None:
        if not self.closed:
            self._discard()
            self.close()

    def _discard(self) -> None:
        cast("WriteFile", self.buffer).discard()
