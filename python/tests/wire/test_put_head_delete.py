"""PUT, HEAD and DELETE of objects: their rules, headers and properties."""

from __future__ import annotations

import json
import re
import socket
from urllib.parse import urlsplit

import pytest
from support import Wire
from verbs import TEN, custom, get, head, put, set_props


def test_a_put_is_answered_before_its_body(wire: Wire, name: str) -> None:
    headers = {"Content-Length": "1000000", "Connection": "close"}
    answer = wire.send("PUT", f"/v1/objects/{name}/o", headers=headers)
    assert answer.status == 307
    assert "/v1/objects/" in (answer.header("location") or "")


def test_put_rules(wire: Wire, name: str) -> None:
    md5 = {"Ais-Checksum-Type": "md5", "Ais-Checksum-Value": "900150983cd24fb0d6963f7d28e17f72"}
    assert put(wire, name, "o", b"abc", headers=md5).header("ais-version") == "1"
    bad = put(wire, name, "o", b"abd", headers=md5)
    assert bad.status == 500
    assert bad.json()["message"].startswith(
        "BAD DATA CHECKSUM: md5(900150983cd24fb0d6963f7d28e17f72 != "
    )
    assert bad.json()["message"].endswith(f"(context: ais://{name}/o)")
    assert get(wire, name, "o").body == b"abc"
    unknown = {"Ais-Checksum-Type": "sha1", "Ais-Checksum-Value": "00"}
    assert put(wire, name, "o", b"abc", headers=unknown).status == 400
    # The same checksum of the bucket's type: nothing happens, not even a header.
    same = {"Ais-Checksum-Type": "xxhash2", "Ais-Checksum-Value": "44bc2cf5ad770999"}
    noop = put(wire, name, "o", b"abc", headers=same)
    assert (noop.status, noop.header("ais-version"), noop.header("etag")) == (200, None, None)
    assert get(wire, name, "o").header("ais-version") == "1"
    # xxhash is another type, whatever its value.
    other = {**same, "Ais-Checksum-Type": "xxhash"}
    assert put(wire, name, "o", b"abc", headers=other).header("ais-version") == "2"
    # skip_vc: no no-op and no verification; the version starts again.
    skipped = put(wire, name, "o", b"abc", headers=same, skip_vc="true")
    assert skipped.header("ais-version") == "1"
    assert put(wire, name, "o", b"xyz", headers=md5, skip_vc="true").status == 200
    assert get(wire, name, "o").body == b"xyz"
    set_props(wire, name, checksum={"type": "none"})
    unchecked = put(wire, name, "o", b"any", headers=md5)
    assert (unchecked.status, unchecked.header("ais-checksum-type")) == (200, None)
    set_props(wire, name, versioning={"enabled": False})
    assert put(wire, name, "o", b"any").header("ais-version") is None


@pytest.mark.parametrize("pieces", [[], [b""], [b"one"], [b"x" * 300_000, b"", b"y" * 100_001]])
def test_bodies_without_a_length(wire: Wire, name: str, pieces: list[bytes]) -> None:
    location = wire.send("PUT", f"/v1/objects/{name}/o", body=b"").header("location") or ""
    there = urlsplit(location)
    assert there.hostname
    with socket.create_connection((there.hostname, there.port or 0), timeout=20) as upload:
        start = f"PUT {there.path}?{there.query} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        upload.sendall(start.encode())
        for piece in filter(None, pieces):
            upload.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        upload.sendall(b"0\r\n\r\n")
        assert upload.recv(12) == b"HTTP/1.1 200"
    assert get(wire, name, "o").body == b"".join(pieces)


def test_head_in_both_forms(wire: Wire, name: str) -> None:
    made = put(wire, name, "a/o", TEN, headers={"Ais-Custom-Md": "k=v"})
    everything = (
        "name,size, checksum ,atime,version,custom,last-modified,etag,location,copies,ec,chunked"
    )
    second = head(wire, name, "a/o", props=everything)
    first = head(wire, name, "a/o")
    for answer in (first, second):
        assert (answer.status, answer.body) == (200, b"")
        assert answer.header("content-length") == "10"
        assert answer.header("ais-present") == "true"
        assert answer.header("ais-mirror-copies") == "1"
        assert custom(answer) == {"k": "v"}
        for header in (
            "ais-checksum-type",
            "ais-checksum-value",
            "ais-atime",
            "ais-version",
            "etag",
        ):
            assert answer.header(header) == made.header(header)
        assert re.fullmatch(r"t\[\w+\]:mp\[/.+, .*\]", answer.header("ais-location") or "")
        assert answer.header("ais-ec-data") is None
        assert answer.header("ais-chunks-count") is None
    assert (first.header("ais-mirror-paths") or "").startswith("[/")
    assert (second.header("ais-mirror-paths") or "").startswith("/")
    assert first.header("ais-name") == "a/o"
    assert first.header("ais-bucket-name") == name
    assert first.header("ais-bucket-provider") == "ais"
    assert first.header("ais-bucket-namespace-name") is None
    little = head(wire, name, "a/o", props="size")
    assert {k.lower() for k, _ in little.headers} <= {"content-length", "ais-present", "date"}
    for bad in ("cached", "status", "size,colour"):
        answer = head(wire, name, "a/o", props=bad)
        error = json.loads(answer.header("hdr-error") or "{}")
        assert (answer.status, error["status"]) == (400, 400)
        assert f'invalid property "{bad.rpartition(",")[2]}" in props list' in error["message"]
    put(wire, name, "empty", b"")
    assert head(wire, name, "empty", props="size").header("content-length") == "0"


@pytest.mark.parametrize(
    ("presence", "present", "absent", "bare"),
    [
        ("", 200, 404, False),
        ("0", 200, 404, False),
        ("1", 200, 404, True),
        ("2", 200, 404, False),
        ("3", 200, 404, True),
        ("4", 200, 404, False),
        ("5", 400, 404, False),
        ("6", 400, 400, False),
    ],
)
def test_presence_filters(
    wire: Wire, name: str, presence: str, present: int, absent: int, bare: bool
) -> None:
    put(wire, name, "o", TEN)
    for props in ({}, {"props": "size"}):
        answer = head(wire, name, "o", presence=presence, **props)
        assert answer.status == present
        if present == 200:
            assert (answer.header("ais-present") is None) == bare
        elif presence == "5":
            assert "flt-outside" in (answer.header("hdr-error") or "")
        assert head(wire, name, "gone", presence=presence, **props).status == absent
    for verb in (get, head):
        assert verb(wire, name, "o", **{"latest-ver": "true"}).status == 200
        assert verb(wire, name, "gone", **{"latest-ver": "true"}).status == 404


def test_delete_rules(wire: Wire, name: str) -> None:
    put(wire, name, "o", TEN)
    path = f"/v1/objects/{name}/o"
    evict = wire.follow("DELETE", path, action={"action": "evict-listrange", "name": f"{name}/o"})
    assert (evict.status, evict.json()["tcode"]) == (400, "ErrNotRemoteBck")
    assert wire.follow("DELETE", path, body=b"{not json").status == 400
    assert wire.follow("DELETE", path, action={"action": "nonsense"}).status == 400
    assert get(wire, name, "o").body == TEN
    gone = wire.follow("DELETE", path)
    assert (gone.status, gone.body) == (200, b"")
    missing = wire.follow("DELETE", path)
    assert (missing.status, missing.json()["message"]) == (404, f"ais://{name}/o doesn't exist")
