"""Renames and copies of one object, and who works on it meanwhile."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from support import Wire, wait_until
from verbs import TEN, action, custom, get, put

from aistore.sdk import Client


def test_rename_keeps_the_object(wire: Wire, name: str) -> None:
    # Enough names for both kinds: within a target and across targets.
    for i in range(12):
        body = bytes([i]) * 70_000
        made = put(wire, name, f"old/{i}", body, headers={"Ais-Custom-Md": f"n={i}"})
        answer = action(wire, name, f"old/{i}", "rename-obj", name=f"new/ü {i}")
        assert (answer.status, answer.body) == (200, b"")
        assert get(wire, name, f"old/{i}").status == 404
        moved = get(wire, name, f"new/ü {i}")
        assert (moved.status, moved.body == body, custom(moved)) == (200, True, {"n": str(i)})
        for header in ("ais-version", "ais-checksum-type", "ais-checksum-value"):
            assert moved.header(header) == made.header(header)


def test_rename_replaces_and_refuses(wire: Wire, name: str) -> None:
    for i in range(8):
        put(wire, name, "from", b"1")
        put(wire, name, f"to{i}", b"2")
        assert action(wire, name, "from", "rename-obj", name=f"to{i}").status == 200
        assert get(wire, name, f"to{i}").body == b"1"
        assert get(wire, name, "from").status == 404
    put(wire, name, "o", TEN)
    assert action(wire, name, "absent", "rename-obj", name="x").status == 404
    for bad in ("o", "", "a/../b", "dir/"):
        assert action(wire, name, "o", "rename-obj", name=bad).status == 400, bad
    assert action(wire, name, "o", "no-such-action").status == 400
    assert get(wire, name, "o").body == TEN


def test_locks_tell_who_is_at_work(wire: Wire, name: str) -> None:
    assert action(wire, name, "o", "check-lock").status == 200
    location = wire.send("PUT", f"/v1/objects/{name}/o", body=b"").header("location") or ""
    there = urlsplit(location)
    assert there.hostname
    with socket.create_connection((there.hostname, there.port or 0), timeout=20) as upload:
        head_lines = (
            f"PUT {there.path}?{there.query} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"
        )
        upload.sendall(head_lines.encode() + b"01234")
        wait_until(lambda: action(wire, name, "o", "check-lock").status == 423, "a write lock")
        upload.sendall(b"56789")
        assert upload.recv(12) == b"HTTP/1.1 200"
    assert action(wire, name, "o", "check-lock").status == 200


def test_copy_to_another_bucket_and_name(wire: Wire, client: Client, name: str) -> None:
    other = client.bucket(name + "-dst").create()
    try:
        for i in range(10):
            body = bytes([i]) * 100_000
            put(wire, name, f"o{i}", b"first")
            made = put(wire, name, f"o{i}", body, headers={"Ais-Custom-Md": f"k=v {i}"})
            assert made.header("ais-version") == "2"
            to = f"ais/@#/{other.name}/copied/ü {i}"
            answer = wire.follow("PUT", f"/v1/objects/{name}/o{i}", object_to=to)
            assert (answer.status, answer.body) == (200, b"")
            copied = get(wire, other.name, f"copied/ü {i}")
            assert (copied.status, copied.body == body) == (200, True)
            assert (copied.header("ais-version"), custom(copied)) == ("2", {"k": f"v {i}"})
            # Equal: nothing happens. Changed: replaced.
            again = wire.follow("PUT", f"/v1/objects/{name}/o{i}", object_to=to)
            assert again.status == 200
            tag = get(wire, other.name, f"copied/ü {i}").header("etag")
            assert tag == copied.header("etag")
            put(wire, name, f"o{i}", b"third")
            assert wire.follow("PUT", f"/v1/objects/{name}/o{i}", object_to=to).status == 200
            assert get(wire, other.name, f"copied/ü {i}").body == b"third"
            kept = wire.follow(
                "PUT", f"/v1/objects/{name}/o{i}", object_to=to, headers={"If-None-Match": "*"}
            )
            assert kept.status == 412
    finally:
        other.delete()


def test_copies_that_cannot_be(wire: Wire, name: str) -> None:
    put(wire, name, "o", TEN)
    path = f"/v1/objects/{name}/o"
    assert wire.follow("PUT", path, object_to=f"ais/@#/{name}/o").status == 200
    for to, status in [
        (f"ais/@#/{name}/", 400),
        (f"ais/@#/{name}", 400),
        ("nonsense", 400),
        (f"ais/@#/{name}/a/../b", 400),
        ("ais/@#/no-such-bucket/o", 404),
    ]:
        answer = wire.follow("PUT", path, object_to=to)
        assert answer.status == status, (to, answer.body)
    absent = wire.follow("PUT", f"/v1/objects/{name}/absent", object_to=f"ais/@#/{name}/x")
    assert absent.status == 404
    assert f"ais://{name}/absent" in absent.json()["message"]
    conditional = {"If-Match": '"x"'}
    to = f"ais/@#/{name}/x"
    assert wire.follow("PUT", path, object_to=to, headers=conditional).status == 400
