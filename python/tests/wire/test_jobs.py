"""Jobs on the wire: start, stop, status, snapshots, as existing clients send and read them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from support import Answer, Wire, wait_until

from aistore.sdk import Bucket, Client

ID = re.compile(r"[A-Za-z][A-Za-z0-9_-]{7,30}[A-Za-z0-9]")
UNSET = "0001-01-01T00:00:00Z"


def bck(name: str) -> dict[str, Any]:
    return {"name": name, "provider": "ais", "namespace": None}


def start(wire: Wire, **args: Any) -> Answer:
    return wire.send("PUT", "/v1/cluster", action={"action": "start", "value": args})


def stop(wire: Wire, **args: Any) -> Answer:
    return wire.send("PUT", "/v1/cluster", action={"action": "stop", "value": args})


def ask(wire: Wire, what: str, **query: Any) -> Answer:

    return wire.send("GET", "/v1/cluster", body=json.dumps(query).encode(), what=what)


def wait_snaps(wire: Wire, job: str) -> dict[str, Any]:
    """Snapshots of a job once every target has ended its share."""

    def ended() -> bool:
        answer = ask(wire, "qryxstats", id=job)
        assert answer.status == 200, answer.body
        snaps = [snap for snaps in answer.json().values() for snap in snaps]
        return all(snap["end-time"] != UNSET for snap in snaps)

    wait_until(ended, f"end of job {job}", seconds=60)
    return dict(ask(wire, "qryxstats", id=job).json())


@pytest.fixture
def filled(bucket: Bucket) -> Iterator[Bucket]:
    for at in range(20):
        bucket.object(f"o/{at:02}").get_writer().put_content(b"x" * at)
    yield bucket


def test_a_started_job_is_visible_at_once_and_leaves_a_snapshot(wire: Wire, filled: Bucket) -> None:
    answer = start(wire, Kind="warm-up-metadata", Bck=bck(filled.name))
    assert answer.status == 200
    job = answer.body.decode()
    assert ID.fullmatch(job)
    assert answer.header("content-length") == str(len(job))
    first = ask(wire, "qryxstats", ID=job, Kind="", DaemonID="", Bck=None, Buckets=None)
    assert first.status == 200, first.body
    snaps = wait_snaps(wire, job)
    assert len(snaps) == 3
    total = 0
    for shares in snaps.values():
        (snap,) = shares
        assert (snap["id"], snap["kind"]) == (job, "load-lom-cache")
        assert snap["bck"] == {
            "name": filled.name,
            "provider": "ais",
            "namespace": {"uuid": "", "name": ""},
        }
        assert snap["src-bck"]["name"] == snap["dst-bck"]["name"] == ""
        assert snap["aborted"] is False
        assert snap["is_idle"] is True
        assert snap["abort-err"] == snap["err"] == ""
        assert snap["ext"] is None
        assert isinstance(snap["glob.id"], str)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z", snap["end-time"])
        assert snap["start-time"] < snap["end-time"]
        total += int(snap["stats"]["loc-objs"])
        assert all(isinstance(value, str) for value in snap["stats"].values())
        assert set(snap["stats"]) == {
            "loc-objs",
            "loc-bytes",
            "out-objs",
            "out-bytes",
            "in-objs",
            "in-bytes",
        }
    assert total == 20


def test_a_kind_without_status_has_none(wire: Wire, filled: Bucket) -> None:
    job = start(wire, Kind="load-lom-cache", Bck=bck(filled.name)).body.decode()
    answer = ask(wire, "status", id=job)
    assert answer.status == 404
    assert answer.json()["tcode"] == "ErrNotFound"


@pytest.mark.parametrize(
    ("args", "status"),
    [
        ({}, 400),
        ({"Kind": "nonsense"}, 400),
        ({"Kind": "lru", "Colour": 1}, 400),
        ({"Kind": "make-n-copies"}, 400),
        ({"Kind": "ec-encode"}, 400),
        ({"Kind": "download"}, 400),
        ({"Kind": "evict-listrange"}, 400),
        ({"Kind": "delete-objects"}, 400),
        ({"Kind": "put-copies"}, 400),
        ({"Kind": "load-lom-cache"}, 400),
        ({"Kind": "load-lom-cache", "Bck": bck("no-such-bucket")}, 404),
        ({"Kind": "resilver"}, 501),
        ({"Kind": "copy-bck"}, 501),
        ({"Kind": "archive"}, 501),
        ({"Kind": "rebalance"}, 501),
    ],
)
def test_refused_starts(wire: Wire, args: dict[str, Any], status: int) -> None:
    answer = start(wire, **args)
    assert (answer.status, answer.json()["status"]) == (status, status)


def test_prefetch_of_a_native_bucket_is_refused(wire: Wire, bucket: Bucket) -> None:
    answer = start(wire, Kind="prefetch-listrange", Bck=bck(bucket.name))
    assert (answer.status, answer.json()["tcode"]) == (400, "ErrNotRemoteBck")


def test_stop(wire: Wire) -> None:
    assert stop(wire).status == 400
    assert stop(wire, Kind="nonsense").status == 400
    assert stop(wire, ID="x").status == 400
    answer = stop(wire, ID="abcdefghi")
    assert (answer.status, answer.body) == (200, b"")
    assert stop(wire, Kind="lru").status == 200


def test_questions_about_nothing(wire: Wire, client: Client) -> None:
    assert ask(wire, "status").status == 400
    assert ask(wire, "status", id="abcdefghi").status == 404
    assert ask(wire, "status", kind="nonsense").status == 400
    assert ask(wire, "status", kind="copy-bck", bck=bck("no-such-bucket")).status == 404
    assert ask(wire, "status_all", kind="ec-bucket").json() is None
    assert ask(wire, "running_all", kind="ec-bucket").json() == []
    assert ask(wire, "qryxstats", id="abcdefghi").status == 404
    assert ask(wire, "qryxstats", kind="ec-bucket").status == 404
    assert ask(wire, "qryxstats", kind="nonsense").status == 400
    assert ask(wire, "qryxstats", id="x").status == 400
    everything = ask(wire, "qryxstats")
    assert everything.status == 200
    assert len(everything.json()) == 3
