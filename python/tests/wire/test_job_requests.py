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
    idle = ask(wire, "qryxstats", kind="ec-bucket")
    assert idle.status == 200
    assert list(idle.json().values()) == [[], [], []]
    assert ask(wire, "qryxstats", kind="nonsense").status == 400
    assert ask(wire, "qryxstats", id="x").status == 400
    everything = ask(wire, "qryxstats")
    assert everything.status == 200
    assert len(everything.json()) == 3


def uname(name: str) -> str:
    return f"ais/@#/{name}/"


def between(wire: Wire, action: str, source: str, to: str, **value: Any) -> Answer:
    return wire.send(
        "POST",
        f"/v1/buckets/{source}",
        action={"action": action, "value": value or None},
        bck_to=uname(to),
    )


def wait_status(wire: Wire, job: str) -> dict[str, Any]:
    """Status of a job once it has ended; 404 is fatal, as for clients."""

    def ended() -> bool:
        answer = ask(wire, "status", id=job)
        assert answer.status == 200, answer.body
        return bool(answer.json()["end_time"])

    wait_until(ended, f"end of job {job}", seconds=60)
    return dict(ask(wire, "status", id=job).json())


def names(bucket: Bucket) -> list[str]:
    return [entry.name for entry in bucket.list_all_objects()]


def drop(client: Client, *buckets: str) -> None:
    for name in buckets:
        client.bucket(name).delete(missing_ok=True)


def test_copy_of_a_bucket(wire: Wire, client: Client, filled: Bucket) -> None:
    to = f"{filled.name}-copy"
    big = bytes(range(256)) * 40_000
    filled.object("big").get_writer().put_content(big)
    wire.follow(
        "PUT", f"/v1/objects/{filled.name}/tagged", body=b"t", headers={"Ais-Custom-Md": "k=v"}
    )
    wire.follow(
        "PUT", f"/v1/objects/{filled.name}/tagged", body=b"tt", headers={"Ais-Custom-Md": "k=w"}
    )
    answer = between(wire, "copy-bck", filled.name, to)
    assert answer.status == 200
    job = answer.body.decode()
    assert ID.fullmatch(job)
    status = wait_status(wire, job)
    assert status == {
        "kind": "copy-bck",
        "uuid": job,
        "err": "",
        "aborted": False,
        "end_time": status["end_time"],
    }
    copy = client.bucket(to)
    assert names(copy) == names(filled)
    assert copy.object("big").get_reader().read_all() == big
    tagged = wire.follow("HEAD", f"/v1/objects/{to}/tagged")
    assert tagged.header("ais-version") == "2"
    assert "k=w" in (tagged.header("ais-custom-md") or "")
    snaps = [snap for shares in wait_snaps(wire, job).values() for snap in shares]
    assert sum(int(snap["stats"]["loc-objs"]) for snap in snaps) == 22
    out, come = (sum(int(snap["stats"][key]) for snap in snaps) for key in ("out-objs", "in-objs"))
    # A target that is done with its own share does not count what still comes.
    assert 0 < come <= out
    assert {snap["dst-bck"]["name"] for snap in snaps} == {to}
    assert {snap["src-bck"]["name"] for snap in snaps} == {filled.name}
    drop(client, to)


def test_copy_options(wire: Wire, client: Client, filled: Bucket) -> None:
    to = f"{filled.name}-copy"
    filled.object("a.jpg").get_writer().put_content(b"1")
    filled.object("a/b.jpg").get_writer().put_content(b"2")

    def copy(**value: Any) -> None:
        answer = between(wire, "copy-bck", filled.name, to, **value)
        assert answer.status == 200, answer.body
        assert wait_status(wire, answer.body.decode())["err"] == ""

    copy(dry_run=True)
    assert wire.send("HEAD", f"/v1/buckets/{to}").status == 404
    copy(prefix="a*", prepend="p/", ext={"jpg": "png"})
    assert names(client.bucket(to)) == ["p/a.png", "p/a/b.png"]
    copy(**{"prefix": "a", "non-recurs": True, "num-workers": -1, "coer": True, "latest-ver": True})
    assert "a.jpg" in names(client.bucket(to))
    copy(synchronize=True)
    assert names(client.bucket(to)) == names(filled)
    drop(client, to)


def test_refused_copies(wire: Wire, bucket: Bucket) -> None:
    name = bucket.name
    assert wire.send("POST", f"/v1/buckets/{name}", action={"action": "copy-bck"}).status == 400
    assert between(wire, "copy-bck", name, name).status == 400
    assert between(wire, "copy-bck", "no-such-bucket", "x").status == 404
    assert between(wire, "copy-bck", name, "x", synchronize=True, prepend="p").status == 400
    assert between(wire, "copy-bck", name, "x", colour=1).status == 400
    assert between(wire, "copy-bck", name, "b ad").status == 400
    assert between(wire, "move-bck", name, name).status == 400
    assert between(wire, "move-bck", "no-such-bucket", "x").status == 404


def test_rename_of_a_bucket(wire: Wire, client: Client, filled: Bucket) -> None:
    to = f"{filled.name}-moved"
    client.bucket(f"{to}-2").create()
    taken = between(wire, "move-bck", filled.name, f"{to}-2")
    assert (taken.status, taken.json()["tcode"]) == (400, "ErrBucketAlreadyExists")
    before = names(filled)
    big = bytes(range(256)) * 40_000
    filled.object("big").get_writer().put_content(big)
    answer = between(wire, "move-bck", filled.name, to)
    assert answer.status == 200
    assert wire.send("HEAD", f"/v1/buckets/{to}").status == 200
    assert wait_status(wire, answer.body.decode())["err"] == ""
    assert wire.send("HEAD", f"/v1/buckets/{filled.name}").status == 404
    assert names(client.bucket(to)) == ["big", *before]
    assert client.bucket(to).object("big").get_reader().read_all() == big
    drop(client, to, f"{to}-2")


def test_an_aborted_copy_takes_its_destination_with_it(
    wire: Wire, client: Client, filled: Bucket
) -> None:
    to = f"{filled.name}-copy"
    filled.put_many([(f"m/{at:04}", b"x") for at in range(3000)])
    job = between(wire, "copy-bck", filled.name, to, **{"num-workers": -1}).body.decode()
    running = ask(wire, "running_all", kind="copy-bucket").json()
    assert f"copy-bck[{job}]" in running
    assert stop(wire, ID=job).status == 200
    status = wait_status(wire, job)
    assert (status["aborted"], status["err"]) == (True, "user abort")
    wait_until(lambda: wire.send("HEAD", f"/v1/buckets/{to}").status == 404, "no destination")
    assert ask(wire, "running_all", kind="copy-bck").json() == []
    snaps = [snap for shares in ask(wire, "qryxstats", id=job).json().values() for snap in shares]
    assert {snap["abort-err"] for snap in snaps} == {"user abort"}


def test_a_destroyed_bucket_ends_its_job(wire: Wire, client: Client, filled: Bucket) -> None:
    to = f"{filled.name}-copy"
    filled.put_many([(f"m/{at:04}", b"x") for at in range(3000)])
    job = between(wire, "copy-bck", filled.name, to, **{"num-workers": -1}).body.decode()
    filled.delete()
    status = wait_status(wire, job)
    assert status["aborted"]
    assert filled.name in status["err"] or "abort" in status["err"]
    drop(client, to)


def test_summary(wire: Wire, filled: Bucket) -> None:
    def summary(name: str, **value: Any) -> Answer:
        return wire.send(
            "GET", f"/v1/buckets/{name}", action={"action": "summary-bck", "value": value}
        )

    first = summary(filled.name, uuid="", prefix="o/", cached=True, present=True)
    assert first.status == 202
    uuid = first.body.decode()
    assert ID.fullmatch(uuid)

    def done() -> bool:
        answer = summary(filled.name, uuid=uuid)
        assert answer.status in {200, 202, 206}
        return answer.status == 200

    wait_until(done, "summary")
    (result,) = summary(filled.name, uuid=uuid).json()
    assert result["name"] == filled.name
    assert result["ObjCount"] == {"obj_count_present": "20", "obj_count_remote": "0"}
    assert result["ObjSize"] == {"obj_min_size": 0, "obj_avg_size": 9, "obj_max_size": 19}
    assert result["TotalSize"]["size_all_present_objs"] == "190"
    assert int(result["TotalSize"]["size_on_disk"]) > 190
    assert int(result["TotalSize"]["total_disks_size"]) > 0
    assert result["is_present"] is False
    assert summary(filled.name, uuid="zzzzzzzzz").status == 404
    assert summary(filled.name, uuid="x").status == 400
    assert summary("no-such-bucket").status == 404
    everything = summary("", uuid="")
    assert everything.status == 202


def test_summary_in_headers(wire: Wire, filled: Bucket) -> None:
    first = wire.send("HEAD", f"/v1/buckets/{filled.name}/o", bsumm_remote="False")
    assert first.status == 202
    assert json.loads(first.header("ais-bucket-props") or "")["provider"] == "ais"
    uuid = first.header("ais-xaction-id") or ""

    def poll() -> Answer:
        return wire.send("HEAD", f"/v1/buckets/{filled.name}", bsumm_remote="False", uuid=uuid)

    wait_until(lambda: poll().status == 200, "summary")
    summary = json.loads(poll().header("ais-bucket-summ") or "")
    assert summary["ObjCount"]["obj_count_present"] == "20"
    assert summary["is_present"] is True
    assert wire.send("HEAD", f"/v1/buckets/{filled.name}/o").status == 400


def test_services_start_and_end(wire: Wire) -> None:
    for kind in ("lru", "cleanup"):
        job = start(wire, Kind=kind).body.decode()
        status = wait_status(wire, job)
        assert (status["err"], status["aborted"]) == ("", False)
        by_kind = ask(wire, "status", kind=kind).json()
        assert by_kind["uuid"] == job
        assert job in {one["uuid"] for one in ask(wire, "status_all", kind=kind).json()}
        mismatch = ask(wire, "status", id=job, kind="copy-bck")
        assert mismatch.status == 400
