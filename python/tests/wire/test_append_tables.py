"""Append: sessions, handles, flush, and what is refused."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from support import Wire

from aistore.sdk import Bucket


@pytest.fixture
def path(bucket: Bucket) -> str:
    return f"/v1/objects/{bucket.name}/dir/o"


def append(wire: Wire, path: str, body: bytes, handle: str = "") -> str:
    answer = wire.follow("PUT", path, body=body, append_type="append", append_handle=handle)
    assert (answer.status, answer.body) == (200, b""), answer
    handle = answer.header("ais-append-handle") or ""
    assert handle
    assert len(handle) < 2048
    return handle


def flush(wire: Wire, path: str, handle: str, **headers: str) -> Any:
    return wire.follow(
        "PUT", path, body=b"", headers=headers, append_type="flush", append_handle=handle
    )


def test_pieces_become_an_object_at_flush(wire: Wire, path: str) -> None:
    handle = ""
    pieces = [b"one ", b"", b"two " * 50_000, b"three"]
    for piece in pieces:
        handle = append(wire, path, piece, handle)
        assert wire.follow("HEAD", path).status == 404
    done = flush(wire, path, handle)
    assert (done.status, done.header("ais-append-handle")) == (200, None)
    got = wire.follow("GET", path)
    assert got.body == b"".join(pieces)
    assert got.header("ais-checksum-type") == "xxhash2"


def test_appending_to_an_object_keeps_its_content(wire: Wire, path: str) -> None:
    wire.follow("PUT", path, body=b"old ")
    handle = append(wire, path, b"new")
    assert wire.follow("GET", path).body == b"old "
    assert flush(wire, path, handle).status == 200
    assert wire.follow("GET", path).body == b"old new"
    wire.follow("PUT", path, body=b"fresh")
    assert wire.follow("GET", path).body == b"fresh"


def test_sessions_are_apart_and_flush_overwrites(wire: Wire, path: str) -> None:
    one, two = append(wire, path, b"one"), append(wire, path, b"two")
    assert flush(wire, path, one).status == 200
    assert wire.follow("GET", path).body == b"one"
    two = append(wire, path, b"!", two)
    assert flush(wire, path, two).status == 200
    assert wire.follow("GET", path).body == b"two!"


def test_the_body_of_a_flush_is_discarded(wire: Wire, path: str) -> None:
    handle = append(wire, path, b"kept")
    answer = wire.follow("PUT", path, body=b"lost", append_type="flush", append_handle=handle)
    assert answer.status == 200
    assert wire.follow("GET", path).body == b"kept"


def test_the_checksum_at_flush_is_verified(wire: Wire, path: str) -> None:
    handle = append(wire, path, b"abc")
    wrong = {"Ais-Checksum-Type": "md5", "Ais-Checksum-Value": "0" * 32}
    assert flush(wire, path, handle, **wrong).status == 500
    assert wire.follow("HEAD", path).status == 404
    handle = append(wire, path, b"abc")
    right = {"Ais-Checksum-Type": "md5", "Ais-Checksum-Value": hashlib.md5(b"abc").hexdigest()}
    assert flush(wire, path, handle, **right).status == 200
    assert wire.follow("GET", path).body == b"abc"


@pytest.mark.parametrize(
    "handle",
    ["x", "a|b|c", "t1|/tmp/x|xxhash2|AAAA|more", "|||", "t|../../etc/passwd|md5|AA", "%00|||"],
)
def test_malformed_handles_are_refused(wire: Wire, path: str, handle: str) -> None:
    for kind in ("append", "flush"):
        answer = wire.follow("PUT", path, body=b"x", append_type=kind, append_handle=handle)
        assert 400 <= answer.status < 500, answer
    assert wire.follow("HEAD", path).status == 404


def test_handles_of_others_are_refused(wire: Wire, path: str) -> None:
    handle = append(wire, path, b"mine")
    other = wire.follow(
        "PUT", path + "-other", body=b"x", append_type="append", append_handle=handle
    )
    if other.status == 200:
        # A handle names its session: whatever the path says, the bytes went there.
        handle = other.header("ais-append-handle") or ""
    assert flush(wire, path, handle).status == 200
    assert wire.follow("GET", path).body in {b"mine", b"minex"}


def test_flush_without_a_handle_and_unknown_types_are_400(wire: Wire, path: str) -> None:
    assert flush(wire, path, "").status == 400
    for kind in ("prepend", "APPEND", "x"):
        answer = wire.follow("PUT", path, body=b"x", append_type=kind, append_handle="")
        assert answer.status == 400
        assert kind in answer.json()["message"]


def test_a_handle_ends_with_its_flush(wire: Wire, path: str) -> None:
    handle = append(wire, path, b"abc")
    assert flush(wire, path, handle).status == 200
    again = wire.follow("PUT", path, body=b"x", append_type="append", append_handle=handle)
    assert 400 <= again.status < 500
    assert wire.follow("GET", path).body == b"abc"


def test_missing_buckets_bad_names_and_access(wire: Wire, bucket: Bucket, path: str) -> None:
    options = {"append_type": "append", "append_handle": ""}
    assert wire.follow("PUT", "/v1/objects/no-such-b/o", body=b"x", **options).status == 404
    assert wire.follow("PUT", f"/v1/objects/{bucket.name}/a/", body=b"x", **options).status == 400
    without_append = {"action": "set-bprops", "value": {"access": str(831 - 8)}}
    assert wire.send("PATCH", f"/v1/buckets/{bucket.name}", action=without_append).status == 200
    assert wire.follow("PUT", path, body=b"x", **options).status == 403
    assert wire.follow("PUT", path, body=b"x").status == 200
    only_append = {"action": "set-bprops", "value": {"access": str(831 - 4)}}
    assert wire.send("PATCH", f"/v1/buckets/{bucket.name}", action=only_append).status == 200
    assert wire.follow("PUT", path, body=b"x").status == 403
    assert wire.follow("PUT", path, body=b"y", **options).status == 200
    # The mask lacks the right to destroy the bucket, which the test's end needs.
    everything = {"action": "set-bprops", "value": {"access": str(2**64 - 1)}}
    assert wire.send("PATCH", f"/v1/buckets/{bucket.name}", action=everything).status == 200
