"""Conditional requests on every verb, and races that they decide."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate, parsedate_to_datetime

from support import Wire
from verbs import TEN, delete, get, head, put, set_props


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
