"""Object verbs as any HTTP client meets them: ranges, conditions, properties, changes."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate, parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from support import Answer, Wire, wait_until

import aistore
from aistore.sdk import Bucket, Client

TEN = b"0123456789"


@pytest.fixture
def name(bucket: Bucket) -> str:
    return bucket.name


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


def byteranges(answer: Answer) -> list[tuple[str, bytes]]:
    """Splits a multipart answer into (Content-Range, bytes)."""
    kind = answer.header("content-type") or ""
    boundary = re.fullmatch(r"multipart/byteranges; boundary=(\w+)", kind)
    assert boundary, kind
    assert answer.header("content-length") == str(len(answer.body))
    mark = b"--" + boundary[1].encode()
    assert answer.body.startswith(mark + b"\r\n")
    assert answer.body.endswith(b"\r\n" + mark + b"--\r\n")
    inner = answer.body[len(mark) + 2 : -len(mark) - 6]
    parts = []
    for part in inner.split(b"\r\n" + mark + b"\r\n"):
        lines, _, payload = part.partition(b"\r\n\r\n")
        headers = dict(line.split(b": ", 1) for line in lines.split(b"\r\n"))
        assert headers[b"Content-Type"] == b"application/octet-stream"
        parts.append((headers[b"Content-Range"].decode(), payload))
    return parts


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ("bytes=0-1,4-5", [("0-1", b"01"), ("4-5", b"45")]),
        ("bytes=-1, 0-0 ,3-4", [("9-9", b"9"), ("0-0", b"0"), ("3-4", b"34")]),
        ("bytes=0-4,5-99,50-60", [("0-4", b"01234"), ("5-9", b"56789")]),
    ],
)
def test_several_ranges_come_as_one_multipart_answer(
    wire: Wire, name: str, given: str, parts: list[tuple[str, bytes]]
) -> None:
    put(wire, name, "o", TEN)
    answer = get(wire, name, "o", headers={"Range": given})
    assert answer.status == 206
    assert answer.header("content-range") is None
    assert answer.header("accept-ranges") == "bytes"
    assert answer.header("ais-checksum-value")
    assert byteranges(answer) == [(f"bytes {at}/10", body) for at, body in parts]


def test_large_ranges_arrive_whole(wire: Wire, name: str) -> None:
    body = bytes(i % 251 for i in range(3_000_000))
    put(wire, name, "o", body)
    answer = get(wire, name, "o", headers={"Range": "bytes=1000000-1999999,5-400004,-70000"})
    assert [payload for _, payload in byteranges(answer)] == [
        body[1_000_000:2_000_000],
        body[5:400_005],
        body[-70_000:],
    ]


@pytest.mark.parametrize(
    "given",
    [
        "bytes=0-4,4-5",
        "bytes=0-,0-",
        "bytes=" + ",".join(f"{i}-{i}" for i in range(65)),
        "bytes=0-1,x",
    ],
)
def test_abusive_ranges_are_refused(wire: Wire, name: str, given: str) -> None:
    put(wire, name, "o", bytes(100))
    answer = get(wire, name, "o", headers={"Range": given})
    assert answer.status == 416
    assert answer.header("content-range") is None
    assert f"ais://{name}/o" in answer.json()["message"]


def test_ranges_of_an_empty_object(wire: Wire, name: str) -> None:
    assert put(wire, name, "o", b"").status == 200
    whole = get(wire, name, "o")
    assert (whole.status, whole.body, whole.header("content-length")) == (200, b"", "0")
    for given in ("bytes=0-", "bytes=-1", "bytes=0-0,1-1"):
        answer = get(wire, name, "o", headers={"Range": given})
        assert (answer.status, answer.header("content-range")) == (416, "bytes */0")


def test_an_empty_suffix_is_an_empty_answer(wire: Wire, name: str) -> None:
    put(wire, name, "o", TEN)
    answer = get(wire, name, "o", headers={"Range": "bytes=-0"})
    assert (answer.status, answer.body, answer.header("content-length")) == (206, b"", "0")


def test_a_range_carries_its_own_checksum_where_the_bucket_says_so(wire: Wire, name: str) -> None:
    put(wire, name, "o", b"abc1")
    whole = get(wire, name, "o").header("ais-checksum-value")
    part = {"Range": "bytes=0-2"}
    assert get(wire, name, "o", headers=part).header("ais-checksum-value") == whole
    set_props(wire, name, checksum={"enable_read_range": True})
    answer = get(wire, name, "o", headers=part)
    assert (answer.status, answer.body) == (206, b"abc")
    assert answer.header("ais-checksum-type") == "xxhash2"
    assert answer.header("ais-checksum-value") == "44bc2cf5ad770999"
    again = get(wire, name, "o", headers={"Range": "bytes=0-"})
    assert (again.status, again.header("ais-checksum-value")) == (206, whole)


def test_validators_are_the_same_on_every_verb(wire: Wire, name: str) -> None:
    made = put(wire, name, "o", TEN)
    tag, date = made.header("etag") or "", made.header("last-modified") or ""
    assert re.fullmatch(r'"v1-[0-9a-f]{16}-[0-9a-z]+"', tag)
    assert parsedate_to_datetime(date).tzinfo is not None
    for answer in (
        get(wire, name, "o"),
        get(wire, name, "o", headers={"Range": "bytes=0-1"}),
        head(wire, name, "o"),
        head(wire, name, "o", props="etag,last-modified"),
    ):
        assert (answer.header("etag"), answer.header("last-modified")) == (tag, date)
    assert put(wire, name, "o", b"other").header("etag") != tag
    set_props(wire, name, checksum={"type": "md5"})
    assert put(wire, name, "o", b"abc").header("etag") == '"900150983cd24fb0d6963f7d28e17f72"'
    set_props(wire, name, checksum={"type": "none"})
    first = put(wire, name, "o", b"abc").header("etag")
    assert first
    assert put(wire, name, "o", b"abd").header("etag") != first


def test_reads_under_conditions(wire: Wire, name: str) -> None:
    made = put(wire, name, "o", TEN)
    tag, date = made.header("etag") or "", made.header("last-modified") or ""
    past, future = formatdate(1, usegmt=True), formatdate(4_000_000_000, usegmt=True)
    for condition, status in [
        ({"If-None-Match": tag}, 304),
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": "W/" + tag}, 304),
        ({"If-None-Match": f'"x", {tag}'}, 304),
        ({"If-None-Match": '"x"'}, 200),
        ({"If-Modified-Since": date}, 304),
        ({"If-Modified-Since": future}, 304),
        ({"If-Modified-Since": past}, 200),
        ({"If-Modified-Since": "nonsense"}, 200),
        ({"If-None-Match": '"x"', "If-Modified-Since": future}, 200),
        ({"If-Match": tag}, 200),
        ({"If-Match": "*"}, 200),
        ({"If-Match": '"x"'}, 412),
        ({"If-Match": "W/" + tag}, 412),
        ({"If-Unmodified-Since": date}, 200),
        ({"If-Unmodified-Since": past}, 412),
        ({"If-Match": tag, "If-Unmodified-Since": past}, 200),
        ({"If-Match": '"x"', "If-None-Match": tag}, 412),
        ({"If-Match": '"unfinished'}, 400),
    ]:
        for read in (get, head):
            answer = read(wire, name, "o", headers=condition)
            assert answer.status == status, (condition, read)
            if status == 304:
                assert (answer.body, answer.header("etag")) == (b"", tag)
                assert answer.header("last-modified") == date
                assert answer.header("ais-checksum-value") is None
    failed = get(wire, name, "o", headers={"If-Match": '"x"'})
    assert failed.json()["tcode"] == "ErrPreconditionFailed"
    assert f"ais://{name}/o" in failed.json()["message"]
    assert get(wire, name, "absent", headers={"If-Match": "*"}).status == 404


def test_a_range_counts_only_for_the_version_it_was_meant_for(wire: Wire, name: str) -> None:
    made = put(wire, name, "o", TEN)
    tag, date = made.header("etag") or "", made.header("last-modified") or ""
    for condition, status in [(tag, 206), (date, 206), ('"x"', 200), ("W/" + tag, 200)]:
        answer = get(wire, name, "o", headers={"Range": "bytes=5-", "If-Range": condition})
        assert (answer.status, answer.body) == (status, b"56789" if status == 206 else TEN)
    late = get(wire, name, "o", headers={"Range": "bytes=50-", "If-Range": '"x"'})
    assert (late.status, late.body) == (200, TEN)
    unchanged = get(wire, name, "o", headers={"Range": "bytes=5-", "If-None-Match": tag})
    assert unchanged.status == 304


def test_changes_under_conditions(wire: Wire, name: str) -> None:
    first = put(wire, name, "o", b"1", headers={"If-None-Match": "*"})
    assert first.status == 200
    tag = first.header("etag") or ""
    for condition in (
        {"If-None-Match": "*"},
        {"If-None-Match": tag},
        {"If-Match": '"x"'},
        {"If-Unmodified-Since": formatdate(1, usegmt=True)},
    ):
        refused = put(wire, name, "o", b"2" * 500_000, headers=condition)
        assert (refused.status, refused.json()["tcode"]) == (412, "ErrPreconditionFailed")
        assert delete(wire, name, "o", headers=condition).status == 412
        assert get(wire, name, "o").body == b"1"
    assert put(wire, name, "absent", b"2", headers={"If-Match": "*"}).status == 412
    second = put(wire, name, "o", b"2", headers={"If-Match": tag})
    assert second.status == 200
    assert put(wire, name, "o", b"3", headers={"If-Match": tag}).status == 412
    assert delete(wire, name, "o", headers={"If-Match": second.header("etag") or ""}).status == 200
    assert delete(wire, name, "o", headers={"If-Match": "*"}).status == 404


def action(wire: Wire, bucket: str, obj: str, what: str, **message: Any) -> Answer:
    path = f"/v1/objects/{bucket}/{quote(obj)}" if obj else f"/v1/objects/{bucket}"
    return wire.follow("POST", path, action={"action": what, **message})


def test_every_verb_needs_its_access_bit(wire: Wire, name: str) -> None:
    put(wire, name, "o", TEN)
    verbs: dict[int, Callable[[], Answer]] = {
        4: lambda: put(wire, name, "o", TEN),
        8: lambda: put(wire, name, "o", b"x", append_type="append", append_handle=""),
        16: lambda: delete(wire, name, "absent"),
        32: lambda: action(wire, name, "o", "rename-obj", name="o"),
        64: lambda: action(wire, name, "", "promote", name="/nowhere"),
        128: lambda: wire.follow("PATCH", f"/v1/objects/{name}/o", action={"value": {"k": "v"}}),
    }
    for denied, verb in verbs.items():
        set_props(wire, name, access=str((2**64 - 1) & ~denied))
        answer = verb()
        assert answer.status == 403, (denied, answer.body)
        assert answer.json()["tcode"] == "ErrBucketAccessDenied"
        assert f'"ais://{name}"' in answer.json()["message"]
        for allowed, other in verbs.items():
            if allowed != denied:
                assert other().status != 403, (denied, allowed)
    set_props(wire, name, access="0")
    assert get(wire, name, "o").status == 200
    assert head(wire, name, "o").status == 200
    assert action(wire, name, "o", "check-lock").status == 200
    set_props(wire, name, access=str(2**64 - 1))


def test_the_rate_of_requests_is_limited_per_bucket_and_verb(wire: Wire, name: str) -> None:
    put(wire, name, "o", TEN)
    limit = {"enabled": True, "max_tokens": 8, "burst_size": 4, "interval": "1h"}
    set_props(wire, name, rate_limit={"frontend": limit})
    path = f"/v1/objects/{name}/o"
    statuses = [wire.send("GET", path).status for _ in range(6)]
    assert statuses == [301] * 4 + [429] * 2
    refused = wire.send("GET", path).json()
    assert (refused["tcode"], refused["message"]) == ("ErrRateLimitFrontend", "Too Many Requests")
    assert wire.send("PUT", path, body=b"x").status == 307
    assert wire.send("HEAD", path).status == 307
    set_props(wire, name, rate_limit={"frontend": {"enabled": False}})
    assert wire.send("GET", path).status == 301


def test_a_target_takes_changes_from_gateways_only(wire: Wire, name: str) -> None:
    put(wire, name, "o", TEN)
    location = wire.send("GET", f"/v1/objects/{name}/o").header("location") or ""
    target = "/".join(location.split("/")[:3])
    assert wire.send("GET", f"/v1/objects/{name}/o", base=target).body == TEN
    assert wire.send("HEAD", f"/v1/objects/{name}/o", base=target).status == 200
    for method in ("PUT", "DELETE", "POST", "PATCH"):
        sent: dict[str, Any] = {"body": b"x"} if method == "PUT" else {}
        if method in {"POST", "PATCH"}:
            sent = {"action": {"action": "rename-obj", "name": "p", "value": {"k": "v"}}}
        answer = wire.send(method, f"/v1/objects/{name}/o", base=target, **sent)
        assert answer.status == 400, method
        assert "is expected to be redirected" in answer.json()["message"]
    assert get(wire, name, "o").body == TEN


ODD_NAMES = [
    "a b",
    "a//b",
    "/lead",
    "//two",
    "per%cent",
    "%2F",
    "a%2Fb",
    "plus+hash#q?",
    "a&b=c;d",
    "ü/日本/🙂",
    "e\u0301",
    "\u202eright",
    "tab\there",
    "new\nline",
    "quote\"'<>\\",
    "a...b/...",
    "~x",
    "x" * 255,
    "y" * 3000,
    "/".join(["z" * 299] * 10),
    "日" * 1000,
]


def test_any_name_is_listed_and_served_back_exactly(wire: Wire, name: str) -> None:
    for odd in ODD_NAMES:
        assert put(wire, name, odd, odd.encode()).status == 200, odd
    listed = wire.send(
        "GET", f"/v1/buckets/{name}", action={"action": "list", "value": {"flags": "0"}}
    ).json()
    assert [e["name"] for e in listed["entries"]] == sorted(ODD_NAMES, key=str.encode)
    for odd in ODD_NAMES:
        answer = get(wire, name, odd)
        assert (answer.status, answer.body) == (200, odd.encode()), odd
        assert head(wire, name, odd, props="size").header("content-length") == str(
            len(odd.encode())
        )
        easy = wire.follow("GET", f"/ais/{name}/{quote(odd)}")
        assert (easy.status, easy.body) == (200, odd.encode()), odd
        assert delete(wire, name, odd).status == 200, odd
        assert get(wire, name, odd).status == 404, odd


@pytest.mark.parametrize("bad", ["a/", ".", "..", "a/../b", "./a", "a/.", "~/a", "\0", "x" * 8193])
def test_bad_names_are_refused(wire: Wire, name: str, bad: str) -> None:
    for method in ("GET", "PUT", "DELETE"):
        body = b"x" if method == "PUT" else None
        answer = wire.follow(method, f"/v1/objects/{name}/{quote(bad)}", body=body)
        assert answer.status == 400, (method, answer.body)
        assert answer.json()["message"].startswith("invalid object name")


def test_a_name_is_an_object_and_a_prefix_at_once(wire: Wire, name: str) -> None:
    for obj in ("a/b/c", "a", "a/b"):
        assert put(wire, name, obj, obj.encode()).status == 200
    for obj in ("a", "a/b", "a/b/c"):
        assert get(wire, name, obj).body == obj.encode()
    assert delete(wire, name, "a/b").status == 200
    assert [get(wire, name, obj).status for obj in ("a", "a/b", "a/b/c")] == [200, 404, 200]
    # A virtual directory is no object.
    assert head(wire, name, "a/").status == 404
    assert head(wire, name, "a/b/").status == 404


def test_queries_that_cannot_be_read(wire: Wire, name: str) -> None:
    put(wire, name, "o", TEN)
    for query in ("a=%zz", "a=%", "&".join(f"k{i}=1" for i in range(101))):
        answer = wire.send("GET", f"/v1/objects/{name}/o?{query}")
        assert answer.status == 400
        assert answer.json()["message"].startswith("dpq:")
    fine = "&".join(f"k{i}=1" for i in range(100))
    assert wire.send("GET", f"/v1/objects/{name}/o?{fine}").status == 301
    assert wire.send("GET", f"/v1/objects/{name}/o?provider=ftp").status == 400
    assert get(wire, name, "o", archpath="", archregx="", unknown="x").body == TEN
    assert wire.send("BREW", f"/v1/objects/{name}/o").status == 405
    assert wire.send("PUT", f"/ais/{name}", body=b"x").status in {400, 405}
    assert wire.send("GET", "/v1/objects").status == 400


def test_a_put_is_answered_before_its_body(wire: Wire, name: str) -> None:
    headers = {"Content-Length": "1000000", "Connection": "close"}
    answer = wire.send("PUT", f"/v1/objects/{name}/o", headers=headers)
    assert answer.status == 307
    assert "/v1/objects/" in (answer.header("location") or "")


def custom(answer: Answer) -> dict[str, str]:
    lines = [value for key, value in answer.headers if key.lower() == "ais-custom-md"]
    return dict(line.split("=", 1) for line in lines)


def patch(wire: Wire, name: str, obj: str, value: Any, **options: Any) -> Answer:
    action = {"action": "", "value": value}
    return wire.follow("PATCH", f"/v1/objects/{name}/{quote(obj)}", action=action, **options)


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


def test_only_one_of_many_creates_an_object(wire: Wire, name: str) -> None:
    def create(writer: int) -> int:
        body = bytes([writer]) * 100_000
        status: int = put(wire, name, "o", body, headers={"If-None-Match": "*"}).status
        return status

    with ThreadPoolExecutor(12) as pool:
        for _ in range(4):
            statuses = sorted(pool.map(create, range(12)))
            assert statuses == [200] + [412] * 11
            assert len(set(get(wire, name, "o").body)) == 1
            assert delete(wire, name, "o").status == 200


def test_no_update_is_lost_under_if_match(wire: Wire, name: str) -> None:
    put(wire, name, "o", b"0")

    def add(_: int) -> None:
        while True:
            now = get(wire, name, "o")
            condition = {"If-Match": now.header("etag") or ""}
            done = put(wire, name, "o", str(int(now.body) + 1).encode(), headers=condition)
            if done.status == 200:
                return
            assert done.status == 412

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(24)))
    assert get(wire, name, "o").body == b"24"


def test_a_target_that_was_stopped_writes_into_the_new_bucket(
    own_cluster: aistore.LocalCluster,
) -> None:
    wire, name = Wire(own_cluster.endpoint), "again"
    smap = wire.send("GET", "/v1/daemon", what="smap").json()
    # As our own client sends it: straight to the owner, with the version of the map it knows.
    known = {"Ais-Smap-Version": str(smap["version"])}
    create, destroy = {"action": "create-bck"}, {"action": "destroy-bck"}
    assert wire.send("POST", f"/v1/buckets/{name}", action=create).status == 200
    location = wire.send("GET", f"/v1/objects/{name}/o").header("location") or ""
    owner = "/".join(location.split("/")[:3])
    put(wire, name, "o", b"old")
    for _ in range(3):
        targets = own_cluster.pids[1:]
        for pid in targets:
            os.kill(pid, signal.SIGSTOP)
        try:
            assert wire.send("DELETE", f"/v1/buckets/{name}", action=destroy).status == 200
            assert wire.send("POST", f"/v1/buckets/{name}", action=create).status == 200
        finally:
            for pid in targets:
                os.kill(pid, signal.SIGCONT)
        answer = wire.send("PUT", f"/v1/objects/{name}/o", body=TEN, headers=known, base=owner)
        assert answer.status == 200
        assert answer.header("ais-version") == "1"
        assert get(wire, name, "o").body == TEN
