"""PATCH: custom metadata of objects."""

from __future__ import annotations

from typing import Any

import pytest
from support import Wire
from verbs import TEN, custom, get, head, patch, put


def test_custom_metadata_is_added_and_replaced(wire: Wire, name: str) -> None:
    made = put(wire, name, "o", TEN, headers={"Ais-Custom-Md": "a=1"})
    answer = patch(wire, name, "o", {"b": "2=3", "c": "x, y"})
    assert (answer.status, answer.body) == (200, b"")
    assert custom(get(wire, name, "o")) == {"a": "1", "b": "2=3", "c": "x, y"}
    assert patch(wire, name, "o", {"a": "4"}).status == 200
    assert custom(head(wire, name, "o", props="custom"))["a"] == "4"
    path = f"/v1/objects/{name}/o"
    new = {"value": {"z": "9"}}
    assert wire.follow("PATCH", path, action=new, **{"set-new-custom": "true"}).status == 200
    after = get(wire, name, "o")
    assert (after.body, custom(after)) == (TEN, {"z": "9"})
    assert after.header("ais-version") == made.header("ais-version")
    assert after.header("ais-checksum-value") == made.header("ais-checksum-value")
    assert patch(wire, name, "absent", {"a": "1"}).status == 404
    assert patch(wire, name, "o", {"a": "1"}, headers={"If-Match": '"x"'}).status == 412


@pytest.mark.parametrize(
    "bad",
    [{"": "v"}, {"k": "v" * 2048}, {"k": "a\x01b"}, {"k\n": "v"}, {"a=b": "v"}, {"k": 1}, ["k"]],
)
def test_bad_custom_metadata_is_refused(wire: Wire, name: str, bad: Any) -> None:
    put(wire, name, "o", TEN, headers={"Ais-Custom-Md": "a=1"})
    assert patch(wire, name, "o", bad).status == 400
    assert custom(get(wire, name, "o")) == {"a": "1"}


def test_limits_of_custom_metadata_on_put(wire: Wire, name: str) -> None:
    at_limit = {"Ais-Custom-Md": "k=" + "v" * 2047}
    assert put(wire, name, "o", TEN, headers=at_limit).status == 200
    for bad in ("k=" + "v" * 2048, "=v", "novalue"):
        assert put(wire, name, "o", b"new", headers={"Ais-Custom-Md": bad}).status == 400
    assert get(wire, name, "o").body == TEN
