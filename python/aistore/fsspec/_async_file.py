"""Open files for those who await."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fsspec.asyn import AbstractAsyncStreamedFile

from aistore.fsspec._paths import os_errors

if TYPE_CHECKING:
    from aistore.aio.stream import AsyncObjectStream
    from aistore.fsspec.filesystem import AISFileSystem
    from aistore.sdk.obj.multipart_upload import MultipartUpload


class AsyncReadFile(AbstractAsyncStreamedFile):  # type: ignore[misc]
    """An object that is read as it arrives; after a `seek` it is asked for again from there.

    Args:
        fs: The file system.
        path: The object.
        size: Its size.
        block_size: Bytes of a block; nothing is read ahead but by the connection.
    """

    def __init__(self, fs: AISFileSystem, path: str, size: int, block_size: int) -> None:
        super().__init__(fs, path, "rb", block_size, cache_type="none", size=size)
        self._object = fs.native()[1].object(path)
        self._stream: AsyncObjectStream | None = None
        self._at = 0

    async def _fetch_range(self, start: int, end: int) -> bytes:
        with os_errors(self.path):
            if self._stream is None or self._at != start:
                self._drop()
                self._stream = await self._object.stream(f"bytes={start}-" if start else None)
            content = await self._stream.read(min(end, self.size) - start)
        self._at = start + len(content)
        return content

    async def close(self) -> None:
        """Drops the connection if bytes are left."""
        self._drop()
        self.closed = True

    def _drop(self) -> None:
        if self._stream is not None:
            self._stream.close()
        self._stream = None

    def __del__(self) -> None:
        self._drop()


class AsyncWriteFile(AbstractAsyncStreamedFile):  # type: ignore[misc]
    """An object that is written from start to end, and appears, whole, when the file is closed.

    Leaving `async with` through an exception, and losing the file without closing it, leaves
    nothing.

    Args:
        fs: The file system.
        path: The object.
        mode: `wb`.
        block_size: Bytes of a part.
    """

    def __init__(self, fs: AISFileSystem, path: str, mode: str, block_size: int) -> None:
        self._upload: MultipartUpload | None = None
        super().__init__(fs, path, mode, block_size)
        self._object = fs.native()[1].object(path)

    async def _upload_chunk(self, final: bool = False) -> bool:
        content = bytes(self.buffer.getbuffer())
        with os_errors(self.path):
            if final and self._upload is None:
                await self._object.put(content)
                return True
            if self._upload is None:
                begun = self._object.blocking().multipart_upload()
                self._upload = await asyncio.to_thread(begun.create)
            if content:
                part = self._upload.add_part(len(self._upload.parts) + 1)
                await self._object.put(content, params=part.query_params)
            if final:
                await asyncio.to_thread(self._upload.complete)
                self._upload = None
        return True

    async def discard(self) -> None:
        """Gives up: nothing appears, and the parts sent so far go away."""
        self.closed = True
        upload, self._upload = self._upload, None
        if upload is not None:
            await asyncio.to_thread(upload.abort)

    async def __aexit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        if kind is None:
            await self.close()
        else:
            await self.discard()

    def __del__(self) -> None:
        # The inherited one would begin to close the file.
        upload, self._upload = self._upload, None
        if upload is not None:
            upload.abort()
