"""Batches of samples: requested, then put together as they arrive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aistore.sdk.errors import AISTruncatedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aistore import _native
    from aistore.data.snapshot import Snapshot

KEY = "__key__"
CONTENT = "content"
_AT_ONCE = 256


class PendingBatch:
    """A batch on its way; the native client reads it ahead, up to a bound of its own."""

    def __init__(self, snapshot: Snapshot, indices: list[int]) -> None:
        self._stream: _native.BatchStream | None = None
        if indices:
            self._stream, self._heads = snapshot.open_batch(indices)

    def samples(self) -> list[dict[str, Any]]:
        """Waits for all samples."""
        if self._stream is None:
            return []
        with self._stream as stream:
            contents = _contents(stream)
            return [_sample(key, members, contents) for key, members in self._heads]

    def close(self) -> None:
        """Gives the batch up."""
        if self._stream is not None:
            self._stream.close()


def read_samples(snapshot: Snapshot, indices: list[int]) -> list[dict[str, Any]]:
    """Reads samples with one request, in order."""
    return PendingBatch(snapshot, indices).samples()


def _contents(stream: _native.BatchStream) -> Iterator[bytes]:
    while items := stream.next_many(_AT_ONCE):
        for index, content, error in items:
            if content is None:
                raise RuntimeError(f"entry {index} of a batch: {error}")
            yield content


def _sample(key: str, members: list[str] | None, contents: Iterator[bytes]) -> dict[str, Any]:
    try:
        if members is None:
            return {KEY: key, CONTENT: next(contents)}
        return {KEY: key, **{extension(name): next(contents) for name in members}}
    except StopIteration:
        raise AISTruncatedError(0, f"batch ended before sample {key!r}", "", None) from None


def extension(name: str) -> str:
    """What follows the first dot of a base name, leaving aside one in front."""
    base = name.rpartition("/")[2]
    return base[1:].partition(".")[2] or CONTENT
