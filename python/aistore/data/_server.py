"""Has a target make a snapshot."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from aistore.sdk.errors import AISError, AISTruncatedError, from_native

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aistore import _native
    from aistore.sdk.bucket import Bucket

_ACTION = "create-snapshot"
_LINE_BYTES = 64 << 10
# Too many names for one request, or too many snapshots at once: then this host makes it.
_BUSY = {413, 429}
_UNKNOWN = {405, 501}
_HTTP_BAD_REQUEST = 400


@dataclass(frozen=True)
class Outcome:
    """What became of it.

    Args:
        rows: Number of samples.
        id: Identity of the list.
        present: Identity of what was there before under that name; nothing was stored then.
        missing: Some of the names that do not exist; nothing was stored then.
        missing_count: How many there are of them.
    """

    rows: int
    id: str
    present: str | None = None
    missing: list[str] = field(default_factory=list)
    missing_count: int = 0


def create(
    bucket: Bucket,
    name: str,
    selection: dict[str, Any],
    on_progress: Callable[[int], object] | None,
) -> Outcome | None:
    """Makes an object a snapshot; None if the server cannot, or not now.

    Args:
        bucket: Bucket with the samples.
        name: Name of the object to be.
        selection: What is listed.
        on_progress: Takes the number of entries that were listed so far.
    """
    body = json.dumps({"action": _ACTION, "value": selection}).encode()
    try:
        answer = bucket.client.native.open_request(
            "POST",
            f"/v1/objects/{bucket.name}/{name}",
            list(bucket.qparam.items()),
            [("Content-Type", "application/json")],
            body,
        )
    except AISError as error:
        unknown = error.status_code == _HTTP_BAD_REQUEST and "invalid action" in str(error)
        if unknown or error.status_code in _BUSY | _UNKNOWN:
            return None
        raise
    with answer:
        for line in _lines(answer):
            report = json.loads(line)
            if "done" in report:
                known = {one.name for one in fields(Outcome)}
                return Outcome(**{k: v for k, v in report["done"].items() if k in known})
            if failure := report.get("error"):
                raise from_native("api", failure["status"], failure["message"], method="POST")
            if on_progress is not None:
                on_progress(report["rows"])
    raise AISTruncatedError(0, f"snapshot {name}: the server ended without a result", "", None)


def _lines(answer: _native.ObjectStream) -> Iterator[bytes]:
    rest = b""
    while chunk := answer.next_chunk(_LINE_BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
