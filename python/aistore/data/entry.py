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
        at_second: Where a part of a recording begins, in seconds; the sample is a WAV file of the
            part, cut to exact frames where the recording lies. Object or, with one of `members`,
            file in a shard.
        seconds: How long that part is; None for the rest. Goes with `at_second`.
    """

    object: str
    key: str | None = None
    members: list[str] | None = None
    start: int | None = None
    length: int | None = None
    size: int = 0
    at_second: float | None = None
    seconds: float | None = None
