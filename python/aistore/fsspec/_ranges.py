"""Many ranges of many objects with one request."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from aistore.aio._calls import wait
from aistore.sdk.errors import AISError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aistore.aio._calls import Calls

# Entries of one request: each costs some 100 bytes here and at the targets.
MOST_ENTRIES = 8192
_AT_ONCE = 256


class Wanted(NamedTuple):
    """A part of an object: `length` bytes from `start`, or all from there on with None."""

    bucket: str
    provider: str
    name: str
    start: int
    length: int | None


def byte_range(start: int | None, end: int | None) -> str | None:
    """The Range header of [start, end), None for everything; negative numbers count from the end.

    Raises:
        LookupError: It cannot be said without the size.
    """
    if not start and end is None:
        return None
    if start is not None and start < 0 and end is None:
        return f"bytes={start}"
    if (start or 0) < 0 or (end or 0) < 0:
        raise LookupError
    return f"bytes={start or 0}-{'' if end is None else end - 1}"


def within(start: int | None, end: int | None, size: int) -> tuple[int, int]:
    """The same part counted from the front, cut to the size, as slices do."""
    first, last, _ = slice(start, end).indices(size)
    return first, max(first, last)


def listed(value: object, count: int) -> list[Any]:
    """One bound for each path, given one for all or a list.

    Raises:
        ValueError: The list has another length.
    """
    bounds = list(value) if isinstance(value, list | tuple) else None
    if bounds is None:
        try:
            bounds = list(value)  # type: ignore[call-overload]
        except TypeError:
            return [value] * count
    if len(bounds) != count:
        raise ValueError(f"{len(bounds)} bounds for {count} paths: give one for each, or a number")
    return bounds


async def read_batch(calls: Calls, wanted: Sequence[Wanted]) -> list[bytes | None]:
    """Reads parts with as few requests as possible; None stands for what did not come.

    One part that is missing or out of bounds may keep others from coming: ask for those one by one.
    """
    found: list[bytes | None] = []
    for first in range(0, len(wanted), MOST_ENTRIES):
        found += await _read_some(calls, wanted[first : first + MOST_ENTRIES])
    return found


async def _read_some(calls: Calls, wanted: Sequence[Wanted]) -> list[bytes | None]:
    body = json.dumps({"in": list(_entries(wanted)), "mime": ".tar", "coer": True, "strm": True})
    found: list[bytes | None] = [None] * len(wanted)
    native = calls.native
    try:
        stream = await wait(lambda done: native.batch(done, None, body))
        try:
            while rows := await wait(lambda done: stream.next_many(done, _AT_ONCE)):
                for index, content, _ in rows:
                    found[index] = content
        finally:
            stream.close()
    except AISError:
        # Whoever asks for the missing ones again learns why.
        pass
    return found


def _entries(wanted: Iterable[Wanted]) -> Iterable[dict[str, str | int]]:
    for part in wanted:
        entry: dict[str, str | int] = {
            "objname": part.name,
            "bucket": part.bucket,
            "provider": part.provider,
        }
        if part.start or part.length is not None:
            entry["start"] = part.start
            entry["length"] = -1 if part.length is None else part.length
        yield entry
