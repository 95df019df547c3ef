"""Jobs: what is asked, how waits end, what snapshots say."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from aistore.sdk import Client, Job, WaitResult
from aistore.sdk.errors import JobInfoNotFound, Timeout
from aistore.sdk.xact_const import (
    IDLE_KINDS,
    KNOWN_KINDS,
    XACT_KIND_BLOB_DL,
    idles_before_finishing,
    is_valid_kind,
)
from unit.fakes import FakeNative, reply

ZERO = "0001-01-01T00:00:00Z"
NO_BUCKET = {"name": "", "provider": "", "namespace": {"uuid": "", "name": ""}}


def snap(**changes: object) -> dict[str, object]:
    return {
        "ext": None,
        "start-time": "2026-08-21T10:00:00.123456789Z",
        "end-time": ZERO,
        "bck": {"name": "b", "provider": "ais", "namespace": {"uuid": "", "name": ""}},
        "src-bck": NO_BUCKET,
        "dst-bck": NO_BUCKET,
        "id": "Qx7_kZ3Lm",
        "kind": "copy-bck",
        "ctlmsg": "",
        "abort-err": "",
        "err": "",
        "glob.id": "8195",
        "stats": {
            "loc-objs": "12",
            "loc-bytes": "4096",
            "out-objs": "1",
            "out-bytes": "2",
            "in-objs": "3",
            "in-bytes": "4",
        },
        "aborted": False,
        "is_idle": False,
        **changes,
    }


@pytest.fixture
def client(native: FakeNative) -> Client:
    return Client("http://fake")


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    pauses: list[float] = []
    monkeypatch.setattr("aistore.sdk.job.time.sleep", pauses.append)
    return pauses


def status(end: int = 0, err: str = "", *, aborted: bool = False) -> dict[str, object]:
    return {"uuid": "j1", "kind": "copy-bck", "err": err, "end_time": end, "aborted": aborted}


def test_status_asks_by_id_and_kind(client: Client, native: FakeNative) -> None:
    native.answers = [reply(status(5, "broken"))]
    found = client.job("j1", "copy-bck").status()
    assert (found.uuid, found.err, found.end_time, found.aborted) == ("j1", "broken", 5, False)
    sent = native.requests[0]
    assert (sent.method, sent.path, sent.params) == ("GET", "/v1/cluster", {"what": "status"})
    assert sent.json == {
        "ID": "j1",
        "Kind": "copy-bck",
        "DaemonID": "",
        "Bck": None,
        "Buckets": None,
    }
    with pytest.raises(ValueError, match="job id"):
        client.job(job_kind="lru").status()


def test_waiting_polls_the_status_until_the_job_has_ended(
    client: Client, native: FakeNative, no_pauses: list[float]
) -> None:
    native.answers = [reply(status()), reply(status()), reply(status(10**18))]
    result = client.job("j1", "copy-bck").wait(timeout=10, verbose=False)
    assert result
    assert result == WaitResult("j1", True, "", datetime.fromtimestamp(10**9, timezone.utc))
    assert no_pauses == [1.0, 1.0]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (status(1, "disk full"), "disk full"),
        (status(1, aborted=True), "aborted"),
        (status(1, "user abort", aborted=True), "user abort"),
    ],
)
def test_a_failed_job_is_a_false_result(
    client: Client, native: FakeNative, answer: dict[str, object], error: str
) -> None:
    native.answers = [reply(answer)]
    result = client.job("j1", "copy-bck").wait(verbose=False)
    assert not result
    assert result.error == error


def test_the_kind_is_found_from_the_snapshots(client: Client, native: FakeNative) -> None:
    native.answers = [reply({"t1": [], "t2": [snap()]}), reply(status(7))]
    assert client.job("Qx7_kZ3Lm").wait(verbose=False)
    assert [sent.params["what"] for sent in native.requests] == ["qryxstats", "status"]
    native.answers = [reply({"t1": []})]
    with pytest.raises(JobInfoNotFound):
        client.job("gone").wait(verbose=False)


def test_idle_kinds_must_be_seen_idle_twice_in_a_row(client: Client, native: FakeNative) -> None:
    busy, idle = snap(kind="copy-listrange"), snap(kind="copy-listrange", is_idle=True)
    native.answers = [
        reply({"t1": [idle], "t2": [busy]}),
        reply({"t1": [idle], "t2": [idle]}),
        reply({}),
        reply({"t1": [idle], "t2": [idle]}),
        reply({"t1": [idle], "t2": [idle]}),
    ]
    result = client.job("j1", "copy-listrange").wait(verbose=False)
    assert result.success
    assert result.error is None
    assert native.answers == []


def test_an_abort_ends_the_wait_for_idleness(client: Client, native: FakeNative) -> None:
    native.answers = [reply({"t1": [snap()], "t2": [snap(aborted=True, **{"abort-err": "why"})]})]
    result = client.job("j1").wait_for_idle(verbose=False)
    assert (result.success, result.error) == (False, "why")


def test_single_node_jobs_end_with_their_only_snapshot(client: Client, native: FakeNative) -> None:
    done = snap(**{"end-time": "2026-08-21T10:00:01.5+02:00"})
    native.answers = [reply({"t1": [snap()]}), reply({"t1": [done]})]
    result = client.job("j1", XACT_KIND_BLOB_DL).wait(verbose=False)
    assert result
    assert result.end_time == datetime(2026, 8, 21, 8, 0, 1, 500_000, tzinfo=timezone.utc)


def test_a_wait_ends_with_its_time(client: Client, native: FakeNative) -> None:
    native.answers = [reply(status())]
    with pytest.raises(Timeout, match=r"copy-bck\[j1\]"):
        client.job("j1", "copy-bck").wait(timeout=0, verbose=False)


def test_start_and_abort(client: Client, native: FakeNative) -> None:
    native.answers = [reply("job-1"), reply("job-2"), reply("job-3"), reply()]
    lru = client.job(job_kind="lru")
    one, two = client.bucket("one"), client.bucket("two")
    assert lru.start(force=True, buckets=[one, two]) == "job-1"
    assert lru.start(buckets=[one]) == "job-2"
    assert client.job(job_kind="resilver").start(daemon_id="t1") == "job-3"
    client.job("job-1").abort()
    first, second, third, stop = native.requests
    assert (first.method, first.path, first.params) == ("PUT", "/v1/cluster", {"frc": "true"})
    assert first.json["action"] == "start"
    names = [bucket["name"] for bucket in first.json["value"]["Buckets"]]
    assert names == ["one", "two"]
    assert second.json["value"]["Bck"] == {"name": "one", "provider": "ais", "namespace": None}
    assert third.json["value"]["DaemonID"] == "t1"
    assert stop.json == {
        "action": "stop",
        "name": "",
        "value": {"ID": "job-1", "Kind": "", "DaemonID": "", "Bck": None, "Buckets": None},
    }
    with pytest.raises(ValueError, match="job id or a job kind"):
        client.job().abort()


def test_times_of_jobs(client: Client, native: FakeNative) -> None:
    done = snap(**{"end-time": "2026-08-21T10:00:03.123456789Z"})
    job: Job = client.job("j1")
    native.answers = [reply({"t1": [done], "t2": [done]})]
    assert job.get_total_time() == timedelta(seconds=3)
    native.answers = [reply({"t1": [done], "t2": [snap()]})]
    assert job.get_total_time() is None
    start = datetime(2026, 8, 21, 10, tzinfo=timezone.utc)
    native.answers = [reply({"t1": [done, snap()]})] * 4
    assert len(job.get_within_timeframe(start)) == 2
    assert len(job.get_within_timeframe(start, start + timedelta(seconds=9))) == 1
    with pytest.raises(JobInfoNotFound):
        job.get_within_timeframe(start + timedelta(days=1))


def test_snapshots_tell_numbers(client: Client, native: FakeNative) -> None:
    native.answers = [reply({"t1": [snap()], "t2": None})]
    details = client.job("j1").get_details()
    (found,) = details.list_snapshots()
    assert found.unpack_glob_id() == (3, 8, 0)
    assert details.get_num_workers() == 8
    assert found.stats is not None
    assert (found.stats.objects, found.stats.in_bytes) == (12, 4)
    assert found.bucket is not None
    assert found.bucket.get_path() == "ais/@#/b/"
    assert not (details.all_idle() or details.any_aborted() or details.any_finished())


def test_kinds() -> None:
    assert len(KNOWN_KINDS) == 34
    assert IDLE_KINDS < KNOWN_KINDS
    assert idles_before_finishing("archive")
    assert not idles_before_finishing("copy-bck")
    assert is_valid_kind("resilver")
    assert not is_valid_kind("nothing")
