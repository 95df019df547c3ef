"""Parts of an answer, one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aistore.sdk.batch.multipart.body_stream_reader import BodyStreamReader
from aistore.sdk.batch.multipart.multipart_stream_buffer import MultipartStreamBuffer

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK = 64 << 10
# Longest headers of a part.
_MAX_HEADERS = 64 << 10
_BLANK_LINE = b"\r\n\r\n"


class StatefulStreamingParser:
    """Finds the parts of a stream.

    Args:
        content_iter: The stream.
        boundary: The boundary, without the dashes before it.
        max_buffer_size: Bytes that are handed out at a time, at most.
    """

    def __init__(
        self, content_iter: Iterator[bytes], boundary: bytes, max_buffer_size: int
    ) -> None:
        self._buffer = MultipartStreamBuffer(content_iter, b"--" + boundary, max_buffer_size)
        self._body: BodyStreamReader | None = None

    def get_next_part(self) -> tuple[bytes, BodyStreamReader] | None:
        """Headers and body of the next part, None after the last.

        What is left of the body before is dropped.
        """
        if self._body is None:
            for _ in self._buffer.read_until_boundary():
                pass
        else:
            while self._body.read(_CHUNK):
                pass
        if not self._buffer.ensure_data_available(2) or self._buffer.get_data_slice(0, 2) == b"--":
            return None
        self._buffer.consume_data(2)
        while (end := self._buffer.find_pattern(_BLANK_LINE)) < 0:
            too_long = self._buffer.get_buffer_size() > _MAX_HEADERS
            if too_long or not self._buffer.force_read_chunk():
                return None
        headers = self._buffer.consume_before_pattern(end, _BLANK_LINE, clean_endings=False)
        self._body = BodyStreamReader(self._buffer)
        return headers, self._body
