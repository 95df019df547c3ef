"""Answers with several parts, decoded."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from aistore.sdk.batch.errors import MultipartDecodeError
from aistore.sdk.batch.multipart.stateful_streaming_parser import StatefulStreamingParser

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aistore.sdk.batch.multipart.body_stream_reader import BodyStreamReader

_BOUNDARY = re.compile(r'boundary=(?:"([^"]+)"|([^\s;]+))', re.IGNORECASE)


class MultipartDecoder:
    """Splits an answer into its parts.

    Args:
        encoding: Of the boundary.
        parse_as_stream: Whether bodies are files to be read, one at a time, instead of bytes.
        chunk_size: Bytes that are read at a time.
        max_buffer_size: Bytes that are handed out at a time, at most.
    """

    def __init__(
        self,
        encoding: str = "utf-8",
        parse_as_stream: bool = False,
        chunk_size: int = 32 << 10,
        max_buffer_size: int = 64 << 10,
    ) -> None:
        self._encoding = encoding
        self._parse_as_stream = parse_as_stream
        self._chunk_size = chunk_size
        self._max_buffer_size = max_buffer_size

    def decode(self, response: Any) -> Iterator[tuple[bytes, bytes | BodyStreamReader]]:
        """Headers and body of each part.

        Args:
            response: As of `requests`: `headers` and `iter_content`.

        Raises:
            MultipartDecodeError: The answer does not have several parts.
        """
        content_type = response.headers.get("Content-Type") or ""
        found = _BOUNDARY.search(content_type)
        if not content_type.lower().startswith("multipart/") or found is None:
            raise MultipartDecodeError(
                f"expected an answer of type multipart with a boundary, got {content_type!r}"
            )
        boundary = (found[1] or found[2]).encode(self._encoding)
        chunks = response.iter_content(chunk_size=self._chunk_size)
        parser = StatefulStreamingParser(chunks, boundary, self._max_buffer_size)
        return self._parts(parser)

    def _parts(
        self, parser: StatefulStreamingParser
    ) -> Iterator[tuple[bytes, bytes | BodyStreamReader]]:
        while (part := parser.get_next_part()) is not None:
            headers, body = part
            yield headers, body if self._parse_as_stream else body.read()
