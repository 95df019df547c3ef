"""A stream that goes on after its connection broke, without losing or doubling a byte."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from aistore.sdk.errors import AISConnectionError, AISError, AISTimeoutError
from aistore.sdk.obj.content_iterator.base import StreamBounds
from aistore.sdk.obj.obj_file.errors import (
    ObjectFileReaderMaxResumeError,
    ObjectFileReaderStreamError,
    ObjectFileReaderUnexpectedEOF,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aistore.sdk.obj.content_iterator.base import BaseContentIterProvider

_BROKEN = (AISConnectionError, AISTimeoutError, ObjectFileReaderUnexpectedEOF)
# Answers to a request for a version that is no more: 416 if the new one is shorter.
_STARTING = frozenset({502, 503, 504})
_CHANGED = frozenset({404, 412, 416})
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 2.0


class ResumableStream:
    """Yields an object's bytes in order.

    Args:
        content_provider: Opens streams.
        max_resume: How often one pass may go on after a break.
    """

    def __init__(self, content_provider: BaseContentIterProvider, max_resume: int) -> None:
        self._provider = content_provider
        self._max_resume = max_resume
        self._chunks: Iterator[bytes] | None = None
        self._bounds = StreamBounds()
        self._identity: tuple[str, ...] = ()
        self._expected_end: int | None = None
        self._etag = ""
        self._delivered = 0
        self._skip = 0
        self._resumes = 0

    @property
    def path(self) -> str:
        """What is read."""
        return self._provider.client.path

    @property
    def delivered_position(self) -> int:
        """Bytes yielded so far."""
        return self._delivered

    @property
    def resumes(self) -> int:
        """How often this pass went on after a break."""
        return self._resumes

    def restart(self) -> None:
        """Starts over at byte 0."""
        self.close()
        self._identity, self._expected_end, self._etag = (), None, ""
        self._delivered = self._skip = self._resumes = 0

    def close(self) -> None:
        """Drops the connection."""
        chunks, self._chunks = self._chunks, None
        close = getattr(chunks, "close", None)
        if close is not None:
            close()

    def __iter__(self) -> ResumableStream:
        return self

    def __next__(self) -> memoryview:
        while True:
            try:
                if self._chunks is None:
                    self._open()
                chunk = self._next_chunk()
            except _BROKEN as error:
                self._note_break(error)
                continue
            if chunk is None:
                raise StopIteration
            view = memoryview(chunk)[self._skip :]
            self._skip -= len(chunk) - len(view)
            if view:
                self._delivered += len(view)
                return view

    def _open(self) -> None:
        resumable = self._provider.client.can_get_at_offset()
        self._bounds = StreamBounds(etag=self._etag)
        offset = self._delivered if resumable else 0
        try:
            self._chunks = self._provider.create_iter(offset, self._bounds)
        except AISError as error:
            if self._etag and error.status_code in _CHANGED:
                raise self._changed() from error
            if self._resumes and error.status_code in _STARTING:
                # The node is back and not ready yet: as if it were still away.
                raise AISConnectionError(
                    error.status_code, error.message, error.req_url, error.req
                ) from error
            raise

    def _changed(self) -> ObjectFileReaderStreamError:
        self.close()
        return ObjectFileReaderStreamError(
            f"{self.path} changed after {self._delivered} bytes were read: read it again"
        )

    def _next_chunk(self) -> bytes | None:
        chunks = self._chunks or iter(())
        chunk = next(chunks, None)
        # Only now the bounds are known to be filled: some providers send their request late.
        self._check_bounds()
        if (
            chunk is None
            and self._expected_end is not None
            and self._delivered < self._expected_end
        ):
            raise ObjectFileReaderUnexpectedEOF(self._delivered, self._expected_end)
        return chunk

    def _check_bounds(self) -> None:
        bounds, self._bounds = self._bounds, StreamBounds(start=-1)
        if bounds.start < 0:
            return
        changed = (self._identity and bounds.identity and self._identity != bounds.identity) or (
            self._expected_end is not None
            and bounds.expected_end is not None
            and self._expected_end != bounds.expected_end
        )
        if changed or bounds.start > self._delivered:
            raise self._changed()
        self._etag = self._etag or bounds.etag
        self._identity = self._identity or bounds.identity
        if self._expected_end is None:
            self._expected_end = bounds.expected_end
        self._skip = self._delivered - bounds.start

    def _note_break(self, error: Exception) -> None:
        self.close()
        if self._resumes >= self._max_resume:
            raise ObjectFileReaderMaxResumeError(error, self._max_resume) from error
        time.sleep(min(_FIRST_PAUSE_S * 2**self._resumes, _LONGEST_PAUSE_S))
        self._resumes += 1
