"""List-objects as the protocol has it: props, flags, pages, directories, both encodings."""

from __future__ import annotations

import re
import threading
from typing import Any

import msgpack
import pytest
from support import Wire

from aistore.sdk import Bucket

MSGPACK = {"Accept": "application/msgpack"}
NAMES = ["a", "a/b", "a/c/d", "a/c/e", "ab", "abc/x", "b/1", "b//2", "c d", "z", "ä/ö"]


@pytest.fixture
def name(bucket: Bucket) -> str:
    return bucket.name


@pytest.fixture
def filled(wire: Wire, bucket: Bucket) -> str:
    bucket.put_many({name: name.encode() for name in NAMES}.items())
    return bucket.name


def page(wire: Wire, name: str, headers: dict[str, str] | None = None, **value: Any) -> Any:
    action = {"action": "list", "value": {"flags": "0", **value}}
    answer = wire.send("GET", f"/v1/buckets/{name}", action=action, headers=headers, provider="ais")
    assert answer.status == 200, answer.body
    if headers:
        assert answer.header("content-type") == "application/msgpack"
        return msgpack.unpackb(answer.body)
    return answer.json()


def refused(wire: Wire, name: str, **value: Any) -> Any:
    action = {"action": "list", "value": {"flags": "0", **value}}
    return wire.send("GET", f"/v1/buckets/{name}", action=action, provider="ais")


def everything(wire: Wire, name: str, **value: Any) -> list[str]:
    names: list[str] = []
    uuid, token = "", ""
    while True:
        one = page(wire, name, uuid=uuid, continuation_token=token, **value)
        assert one["uuid"]
        assert not uuid or one["uuid"] == uuid
        uuid, token = one["uuid"], one["continuation_token"]
        entries = one["entries"] or []
        names += [entry["name"] for entry in entries]
        if not token:
            return names
        assert entries, "a token needs entries"
        assert token == entries[-1]["name"]


def in_order(names: list[str]) -> list[str]:
    return sorted(names, key=str.encode)


def test_default_props_are_name_and_size(wire: Wire, filled: str) -> None:
    got = page(wire, filled)
    assert [entry["name"] for entry in got["entries"]] == in_order(NAMES)
    first = got["entries"][1]
    assert first == {"name": "a/b", "size": "3", "flags": 64}
    assert (got["continuation_token"], got["flags"]) == ("", 0)
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{7,30}[A-Za-z0-9]", got["uuid"])


def test_msgpack_has_short_keys(wire: Wire, filled: str) -> None:
    got = page(wire, filled, MSGPACK, pagesize=2)
    assert set(got) == {"UUID", "ContinuationToken", "Entries", "Flags"}
    assert got["Entries"] == [{"n": "a", "s": 1, "f": 64}, {"n": "a/b", "s": 3, "f": 64}]
    assert got["ContinuationToken"] == "a/b"


def test_every_prop(wire: Wire, name: str) -> None:
    for _ in range(2):
        headers = {"Ais-Custom-Md": "zz=1", "Content-Type": "text/x"}
        assert (
            wire.follow("PUT", f"/v1/objects/{name}/o", body=b"abc", headers=headers).status == 200
        )
    props = "name,size,checksum,atime,version,cached,status,copies,ec,custom,location,chunked"
    (entry,) = page(wire, name, props=props)["entries"]
    assert entry["checksum"] == "44bc2cf5ad770999"
    assert entry["size"] == "3"
    assert entry["version"] == "2"
    assert entry["copies"] == 1
    assert entry["flags"] == 64
    assert re.fullmatch(r"\[.*zz:1.*\]", entry["custom-md"])
    assert re.fullmatch(r"t\[\w+\]:mp\[/.+, .*\]", entry["location"])
    assert re.fullmatch(r"\d\d [A-Z][a-z]{2} \d\d \d\d:\d\d UTC", entry["atime"])
    (entry,) = page(wire, name, props="name")["entries"]
    assert entry == {"name": "o", "flags": 64}
    (entry,) = page(wire, name, flags="16", props=props)["entries"]
    assert entry == {"name": "o", "flags": 64}
    (entry,) = page(wire, name, flags="32", props=props)["entries"]
    assert entry == {"name": "o", "size": "3", "flags": 64}
    (entry,) = page(wire, name, flags="1")["entries"]
    assert set(entry) == {"name", "size", "checksum", "atime", "flags"}


@pytest.mark.parametrize(
    ("layout", "pattern"),
    [
        ("2006-01-02T15:04:05Z07:00", r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ"),
        ("02 Jan 06 15:04 -0700", r"\d\d [A-Z][a-z]{2} \d\d \d\d:\d\d \+0000"),
        ("3:04PM", r"\d{1,2}:\d\d[AP]M"),
    ],
)
def test_time_format(wire: Wire, filled: str, layout: str, pattern: str) -> None:
    got = page(wire, filled, props="name,atime", time_format=layout)
    assert all(re.fullmatch(pattern, entry["atime"]) for entry in got["entries"])
    assert refused(wire, filled, time_format="x" * 1000).status == 400


@pytest.mark.parametrize("size", [1, 2, 3, len(NAMES), 100])
@pytest.mark.parametrize("prefix", ["", "a", "a*", "a/", "b/", "b//", "none", "ä"])
def test_pages_join_to_the_sorted_names(wire: Wire, filled: str, size: int, prefix: str) -> None:
    expected = [n for n in in_order(NAMES) if n.startswith(prefix.removesuffix("*"))]
    assert everything(wire, filled, prefix=prefix, pagesize=size) == expected


def test_a_full_page_has_a_token_and_the_rest_may_be_empty(wire: Wire, filled: str) -> None:
    got = page(wire, filled, pagesize=len(NAMES))
    assert got["continuation_token"] == in_order(NAMES)[-1]
    rest = page(wire, filled, uuid=got["uuid"], continuation_token=got["continuation_token"])
    assert (rest["entries"] or [], rest["continuation_token"]) == ([], "")
    assert rest["uuid"] == got["uuid"]


def test_start_after_is_exclusive_and_the_token_wins(wire: Wire, filled: str) -> None:
    after = [n for n in in_order(NAMES) if n > "abc/x"]
    assert everything(wire, filled, start_after="abc/x") == after
    assert everything(wire, filled, start_after="abc", prefix="a") == ["abc/x"]
    got = page(wire, filled, start_after="a", continuation_token="c d")
    assert [entry["name"] for entry in got["entries"]] == ["z", "ä/ö"]


@pytest.mark.parametrize("size", [1, 2, 3, 0])
@pytest.mark.parametrize(
    ("prefix", "shown"),
    [
        ("", ["a", "a/", "ab", "abc/", "b/", "c d", "z", "ä/"]),
        ("a/", ["a/b", "a/c/"]),
        ("a", ["a", "a/b", "a/c/", "ab", "abc/"]),
        ("ab", ["ab", "abc/"]),
        ("abc", ["abc/x"]),
        ("a/c", ["a/c/d", "a/c/e"]),
        ("b/", ["b//", "b/1"]),
        ("none/", []),
    ],
)
def test_no_recursion(wire: Wire, filled: str, size: int, prefix: str, shown: list[str]) -> None:
    assert everything(wire, filled, prefix=prefix, flags="2048", pagesize=size) == shown
    for entry in page(wire, filled, prefix=prefix, flags="2048")["entries"] or []:
        assert (entry["flags"] == 256) == entry["name"].endswith("/")
        assert "size" not in entry or entry["flags"] == 64


@pytest.mark.parametrize("flags", ["2", "4", "64", "128", "256", "1024", "8192"])
def test_flags_without_effect_on_a_native_bucket(wire: Wire, filled: str, flags: str) -> None:
    assert everything(wire, filled, flags=flags, pagesize=3) == in_order(NAMES)


@pytest.mark.parametrize(
    ("value", "status", "text"),
    [
        ({"flags": "512"}, 400, "not-cached"),
        ({"flags": "4096"}, 400, "diff"),
        ({"flags": "32768"}, 400, "inventory"),
        ({"flags": "x"}, 400, "malformed"),
        ({"uuid": "short"}, 400, "short"),
        ({"uuid": "not an id at all"}, 400, "uuid"),
        ({"target": "t0000000"}, 400, "t0000000"),
        ({"prefix": "../a"}, 400, "../a"),
        ({"prefix": "a/./b"}, 400, "a/./b"),
        ({"prefix": "~/a"}, 400, "~/a"),
        ({"pagesize": -1}, 400, "malformed"),
    ],
)
def test_refused(wire: Wire, name: str, value: dict[str, Any], status: int, text: str) -> None:
    answer = refused(wire, name, **value)
    assert answer.status == status
    assert text in answer.json()["message"]


def test_a_known_target_and_a_missing_bucket(wire: Wire, filled: str) -> None:
    smap = wire.send("GET", "/v1/daemon", what="smap").json()
    target = min(smap["tmap"])
    assert everything(wire, filled, target=target) == in_order(NAMES)
    gone = refused(wire, "nope")
    assert (gone.status, gone.json()["tcode"]) == (404, "ErrBckNotFound")


def test_what_stays_is_listed_once_while_others_come_and_go(wire: Wire, bucket: Bucket) -> None:
    stay = [f"s{i:03}" for i in range(120)]
    bucket.put_many((name, b"x") for name in stay)
    stop = threading.Event()

    def churn(seed: int) -> None:
        at = seed
        while not stop.is_set():
            obj = bucket.object(f"s{at % 120:03}-{seed}")
            obj.get_writer().put_content(b"y")
            obj.delete()
            at += 7

    workers = [threading.Thread(target=churn, args=(seed,)) for seed in range(3)]
    for worker in workers:
        worker.start()
    try:
        for _ in range(6):
            names = everything(wire, bucket.name, pagesize=17)
            assert names == in_order(names)
            assert len(set(names)) == len(names)
            assert [name for name in names if "-" not in name] == stay
    finally:
        stop.set()
        for worker in workers:
            worker.join()
