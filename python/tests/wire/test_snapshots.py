"""Snapshots that a target makes: lines of JSON, and nothing stored unless all went well."""

from __future__ import annotations

import json
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import pytest
from support import Answer, Wire, wait_until
from verbs import set_props

from aistore.sdk import Bucket

NAME = ".snapshots/x.arrow"


def make(wire: Wire, bucket: Bucket, **value: Any) -> Answer:
    action = {"action": "create-snapshot", "value": value}
    return wire.follow("POST", f"/v1/objects/{bucket.name}/{NAME}", action=action)


def is_there(wire: Wire, bucket: Bucket) -> bool:
    return wire.follow("HEAD", f"/v1/objects/{bucket.name}/{NAME}").status == 200


def test_the_last_line_says_how_it_ended(wire: Wire, bucket: Bucket) -> None:
    bucket.put_many([(f"s/{i:03}", b"x" * i) for i in range(30)])
    answer = make(wire, bucket, prefix="s/", min_size=10)
    assert answer.status == 200
    lines = [json.loads(line) for line in answer.body.splitlines()]
    assert lines[0] == {"rows": 30}
    done = lines[-1]["done"]
    assert (done["rows"], len(done["id"]), done["missing_count"]) == (20, 32, 0)
    assert is_there(wire, bucket)
    again = json.loads(make(wire, bucket, prefix="s/").body.splitlines()[-1])["done"]
    assert again["present"] == done["id"] != again["id"]


def test_names_that_do_not_exist_leave_nothing(wire: Wire, bucket: Bucket) -> None:
    bucket.put_many([("a", b"1")])
    done = json.loads(make(wire, bucket, objnames=["a", "b"]).body.splitlines()[-1])["done"]
    assert (done["missing"], done["missing_count"]) == (["b"], 1)
    assert not is_there(wire, bucket)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"prefixes": "a"}, "prefixes"),
        ({"prefix": 1}, "prefix"),
        ({"max_size": -1}, "-1"),
        ({"min_size": 2, "max_size": 1}, "min_size"),
        ({"shards": True, "range_bytes": 4}, "range_bytes"),
    ],
)
def test_a_selection_that_makes_no_sense_is_refused(
    wire: Wire, bucket: Bucket, value: dict[str, Any], text: str
) -> None:
    answer = make(wire, bucket, **value)
    assert answer.status == 400
    assert text in answer.body.decode()
    assert NAME in answer.body.decode()
    assert not is_there(wire, bucket)


def test_a_listing_that_fails_is_the_last_line(wire: Wire, bucket: Bucket) -> None:
    answer = make(wire, bucket, prefix="a/../b")
    error = json.loads(answer.body.splitlines()[-1])["error"]
    assert error["status"] == 400
    assert "a/../b" in error["message"]
    assert not is_there(wire, bucket)


def test_a_shard_that_cannot_be_read_is_named(wire: Wire, bucket: Bucket) -> None:
    bucket.put_many([("readme", b"text"), ("broken.tar", b"no archive at all" * 99)])
    error = json.loads(make(wire, bucket, shards=True).body.splitlines()[-1])["error"]
    assert error["status"] == 400
    assert '"broken.tar" cannot be read' in error["message"]
    assert not is_there(wire, bucket)
    done = json.loads(make(wire, bucket, shards=True, prefix="r").body.splitlines()[-1])["done"]
    assert done["rows"] == 0


def test_who_goes_away_ends_the_work(wire: Wire, bucket: Bucket) -> None:
    bucket.put_many([("large", bytes(64 << 20))])
    url = f"/v1/objects/{bucket.name}/{NAME}"
    # Minutes of work, and a target makes four at once.
    for _ in range(5):
        wait_until(lambda: begun_and_left(wire, url), "one of the four ended")
    wait_until(lambda: make(wire, bucket, prefix="none").status == 200, "all ended")


def begun_and_left(wire: Wire, url: str) -> bool:
    action = {"action": "create-snapshot", "name": "", "value": {"range_bytes": 1}}
    body = json.dumps(action).encode()
    there = urlsplit(wire.send("POST", url, body=body).header("location") or "")
    connection = HTTPConnection(there.hostname or "", there.port, timeout=30)
    try:
        connection.request("POST", f"{there.path}?{there.query}", body)
        answer = connection.getresponse()
        assert answer.status in {200, 429}
        return answer.status == 200 and bool(answer.readline())
    finally:
        connection.close()


def test_it_needs_access_to_listing(wire: Wire, bucket: Bucket) -> None:
    set_props(wire, bucket.name, access=str(2**64 - 1 & ~512))
    assert make(wire, bucket).status == 403
    set_props(wire, bucket.name, access=str(2**64 - 1))
    assert not is_there(wire, bucket)
