"""One row of a snapshot."""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """Where one sample lives.

    Args:
        object: Name of the object or shard.
        key: Names the sample; None for the name of the object.
        members: Files inside the shard; None for the object itself.
        start: First byte; None for all.
        length: Number of bytes; goes with `start`.
        size: Bytes of the sample, if known.
    """

    object: str
    key: str | None = None
    members: list[str] | None = None
    start: int | None = None
    length: int | None = None
    size: int = 0
