"""An object's bytes as they arrive."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aistore.aio._calls import wait
from aistore.sdk._headers import CaseInsensitiveDict
from aistore.sdk.obj.object_attributes import ObjectAttributes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import TracebackType

    from typing_extensions import Self

    from aistore import _native


class AsyncObjectStream:
    """One object's bytes as they arrive; leaving `async with` early drops the connection.

    Attributes:
        status: HTTP status.
        headers: Headers, by name in any case.
    """

    def __init__(self, stream: _native.AioStream, chunk_size: int) -> None:
        self._stream = stream
        self._chunk_size = chunk_size
        self.status = stream.status
        self.headers = CaseInsensitiveDict(stream.headers)

    @property
    def attributes(self) -> ObjectAttributes:
        """What the answer told about the object."""
        return ObjectAttributes(self.headers)

    async def read(self, size: int = 0) -> bytes:
        """The next `size` bytes, fewer only at the end; with 0 a chunk as it arrived.

        A read that is cancelled closes the stream: what it had taken is lost.
        """
        if size < 0:
            raise ValueError(f"size {size}: expected 0 or more")
        try:
            chunk: bytes = await wait(lambda done: self._stream.read(done, size))
        except asyncio.CancelledError:
            self.close()
            raise
        return chunk

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._chunks()

    async def _chunks(self) -> AsyncIterator[bytes]:
        while chunk := await self.read(self._chunk_size):
            yield chunk

    def close(self) -> None:
        """Drops the connection if bytes are left."""
        self._stream.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
