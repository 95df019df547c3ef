"""One stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aistore.sdk import const
from aistore.sdk._headers import CaseInsensitiveDict
from aistore.sdk.obj.content_iterator.base import BaseContentIterProvider, StreamBounds
from aistore.sdk.obj.object_client import identity_of, strong_etag

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aistore import _native

_PARTIAL = 206
# Most bytes of a chunk that is taken as it arrives.
_ARRIVING = 1 << 20


class ContentIterProvider(BaseContentIterProvider):
    """Reads one stream from start to end.

    Args:
        client: What to read.
        chunk_size: Bytes per chunk; None takes chunks as they arrive.
    """

    def read_all(self) -> bytes:
        """Reads everything."""
        return self._client.read_all()[1]

    def create_iter(self, offset: int = 0, bounds: StreamBounds | None = None) -> Iterator[bytes]:
        """Starts reading in chunks; the request is sent here."""
        stream = self._client.open(offset, bounds.etag if bounds and offset else "")
        if bounds is not None:
            headers = CaseInsensitiveDict(stream.headers)
            bounds.start = offset if stream.status == _PARTIAL else 0
            length = headers.get(const.HEADER_CONTENT_LENGTH)
            bounds.expected_end = None if length is None else bounds.start + int(length)
            bounds.identity = identity_of(headers)
            bounds.etag = strong_etag(headers)
        return self._chunks(stream)

    def _chunks(self, stream: _native.ObjectStream) -> Iterator[bytes]:
        size = self._chunk_size
        try:
            while chunk := stream.next_chunk(_ARRIVING) if size is None else stream.read(size):
                yield chunk
        finally:
            stream.close()
