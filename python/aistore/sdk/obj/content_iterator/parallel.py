"""Several ranges at a time."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from aistore.sdk import const
from aistore.sdk.errors import AISError
from aistore.sdk.obj.content_iterator.base import BaseContentIterProvider, StreamBounds
from aistore.sdk.obj.content_iterator.buffer import ParallelBuffer
from aistore.sdk.obj.object_attributes import ObjectAttributes
from aistore.sdk.obj.object_client import identity_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from aistore.sdk._headers import CaseInsensitiveDict
    from aistore.sdk.obj.object_client import ObjectClient


class ParallelContentIterProvider(BaseContentIterProvider):
    """Reads several ranges of an object at a time, in threads that wait without the GIL.

    Unlike a pool of processes it works in daemonic processes too, such as DataLoader workers.

    Args:
        client: What to read.
        chunk_size: Bytes per range; None takes the object's own chunk size, else 8 MiB.
        num_workers: Ranges at a time.
    """

    def __init__(self, client: ObjectClient, chunk_size: int | None, num_workers: int) -> None:
        super().__init__(client, chunk_size)
        self._num_workers = num_workers

    def read_all(self) -> ParallelBuffer:
        """Reads everything into one buffer, which the caller closes.

        Raises:
            AISError: The object shrank meanwhile.
        """
        if self._client.selects_part:
            return self._read_selection()
        size = ObjectAttributes(self._client.head(const.PROPS_CHUNKED)).size
        buffer = ParallelBuffer(size)
        try:
            read = self._client.get_into(buffer.buf, 0, self._num_workers) if size else 0
        except BaseException:
            buffer.close()
            raise
        if read != size:
            buffer.close()
            raise self._changed()
        return buffer

    def _changed(self) -> AISError:
        return AISError(0, f"{self._client.path} changed while being read: read it again")

    def _read_selection(self) -> ParallelBuffer:
        _, content = self._client.read_all()
        buffer = ParallelBuffer(len(content))
        buffer.buf[:] = content
        return buffer

    def create_iter(self, offset: int = 0, bounds: StreamBounds | None = None) -> Iterator[bytes]:
        """Starts reading in chunks; as many as there are workers are under way or waiting."""
        if self._client.selects_part:
            return self._selection(bounds)
        attributes = ObjectAttributes(self._client.head(const.PROPS_CHUNKED))
        size, chunks = attributes.size, attributes.chunks
        chunk = (
            self._chunk_size
            or (chunks.max_chunk_size if chunks else 0)
            or const.DEFAULT_PARALLEL_CHUNK_SIZE
        )
        if bounds is not None:
            bounds.start, bounds.expected_end = offset, size
        return self._ranges(offset, size, chunk)

    def _selection(self, bounds: StreamBounds | None) -> Iterator[bytes]:
        _, content = self._client.read_all()
        if bounds is not None:
            bounds.start, bounds.expected_end = 0, len(content)
        yield content

    def _ranges(self, offset: int, size: int, chunk: int) -> Iterator[bytes]:
        identity: tuple[str, ...] = ()
        pending: deque[Future[tuple[CaseInsensitiveDict, bytes]]] = deque()
        starts = iter(range(offset, size, chunk))
        pool = ThreadPoolExecutor(self._num_workers, "aistore-range")
        try:
            while True:
                while (
                    len(pending) < self._num_workers and (start := next(starts, None)) is not None
                ):
                    end = min(start + chunk, size)
                    pending.append(pool.submit(self._client.get_chunk, start, end))
                if not pending:
                    return
                headers, content = pending.popleft().result()
                found = identity_of(headers)
                if identity and found != identity:
                    raise self._changed()
                identity = found
                yield content
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
