"""The verbs on objects as raw requests."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from support import Answer, Wire

TEN = b"0123456789"


def put(wire: Wire, name: str, obj: str, body: bytes, **options: Any) -> Answer:
    return wire.follow("PUT", f"/v1/objects/{name}/{quote(obj)}", body=body, **options)


def get(wire: Wire, name: str, obj: str, **options: Any) -> Answer:
    return wire.follow("GET", f"/v1/objects/{name}/{quote(obj)}", **options)


def head(wire: Wire, name: str, obj: str, **options: Any) -> Answer:
    return wire.follow("HEAD", f"/v1/objects/{name}/{quote(obj)}", **options)


def delete(wire: Wire, name: str, obj: str, **options: Any) -> Answer:
    return wire.follow("DELETE", f"/v1/objects/{name}/{quote(obj)}", **options)


def set_props(wire: Wire, name: str, **props: Any) -> None:
    patch = {"action": "set-bprops", "value": props}
    assert wire.send("PATCH", f"/v1/buckets/{name}", action=patch).status == 200


def action(wire: Wire, bucket: str, obj: str, what: str, **message: Any) -> Answer:
    path = f"/v1/objects/{bucket}/{quote(obj)}" if obj else f"/v1/objects/{bucket}"
    return wire.follow("POST", path, action={"action": what, **message})


def patch(wire: Wire, name: str, obj: str, value: Any, **options: Any) -> Answer:
    action = {"action": "", "value": value}
    return wire.follow("PATCH", f"/v1/objects/{name}/{quote(obj)}", action=action, **options)


def custom(answer: Answer) -> dict[str, str]:
    lines = [value for key, value in answer.headers if key.lower() == "ais-custom-md"]
    return dict(line.split("=", 1) for line in lines)
