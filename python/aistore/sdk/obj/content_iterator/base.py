"""What all ways to get at an object's bytes have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aistore.sdk.obj.content_iterator.buffer import ParallelBuffer
    from aistore.sdk.obj.object_client import ObjectClient


@dataclass
class StreamBounds:
    """What a stream turned out to hold.

    Args:
        start: Where it starts, counted from the first byte of the whole reading.
        expected_end: Where it must end; None if the answer did not tell.
        identity: What differs between versions of the object; empty if the answer did not tell.
        etag: Strong entity tag. Set before the stream starts, it asks for that version only.
    """

    start: int = 0
    expected_end: int | None = None
    identity: tuple[str, ...] = ()
    etag: str = ""


class BaseContentIterProvider(ABC):
    """Gets at an object's bytes.

    Args:
        client: What to read.
        chunk_size: Bytes per chunk; None leaves it to the provider.
    """

    def __init__(self, client: ObjectClient, chunk_size: int | None) -> None:
        self._client = client
        self._chunk_size = chunk_size

    @property
    def client(self) -> ObjectClient:
        """What is read."""
        return self._client

    @abstractmethod
    def read_all(self) -> bytes | ParallelBuffer:
        """Reads everything."""

    @abstractmethod
    def create_iter(self, offset: int = 0, bounds: StreamBounds | None = None) -> Iterator[bytes]:
        """Starts reading in chunks.

        Args:
            offset: First byte wanted; the stream may start before it.
            bounds: Filled with what the stream holds.
        """
