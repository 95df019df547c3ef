"""GET of ranges: one, several, abusive ones, and their checksums."""

from __future__ import annotations

import re

import pytest
from support import Answer, Wire
from verbs import TEN, get, put, set_props


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
