"""Jobs while nodes die: nothing is lost, nothing hangs."""

from __future__ import annotations

import time

import pytest
from support import Wire, ended, start, status

import aistore
from aistore.sdk import Bucket

OBJECTS = 1500


def content(at: int) -> bytes:
    return f"{at:06}".encode() * (1 + at % 700)


def filled(cluster: aistore.LocalCluster) -> Bucket:
    bucket = cluster.client().bucket("source").create()
    bucket.put_many([(f"d/{at:05}", content(at)) for at in range(OBJECTS)])
    return bucket


def check(bucket: Bucket) -> None:
    assert [entry.name for entry in bucket.list_all_objects()] == [
        f"d/{at:05}" for at in range(OBJECTS)
    ]
    for at in range(0, OBJECTS, 7):
        assert bucket.object(f"d/{at:05}").get_reader().read_all() == content(at)


@pytest.mark.parametrize("action", ["copy-bck", "move-bck"])
def test_a_target_killed_in_the_middle_resumes(
    own_cluster: aistore.LocalCluster, action: str
) -> None:
    source, wire = filled(own_cluster), Wire(own_cluster.endpoint)
    value = {"num-workers": 1} if action == "copy-bck" else {}
    job = start(wire, action, "source", "there", **value)
    time.sleep(0.1)
    own_cluster.kill_target(1)
    running = status(wire, job)["end_time"] == 0
    time.sleep(0.5)
    own_cluster.restart_target(1)
    end = ended(wire, job)
    assert running, "the job was over before the kill: give it more objects"
    assert (end["err"], end["aborted"]) == ("", False)
    check(own_cluster.client().bucket("there"))
    if action == "copy-bck":
        check(source)
    else:
        assert wire.send("HEAD", "/v1/buckets/source").status == 404


def test_a_killed_gateway_keeps_its_jobs(own_cluster: aistore.LocalCluster) -> None:
    filled(own_cluster)
    wire = Wire(own_cluster.endpoint)
    job = start(wire, "copy-bck", "source", "there", **{"num-workers": 1})
    own_cluster.kill_gateway()
    own_cluster.restart_gateway()
    end = ended(Wire(own_cluster.endpoint), job)
    assert end["err"] == ""
    check(own_cluster.client().bucket("there"))


def test_reads_of_a_renamed_bucket_find_what_has_not_moved(
    own_cluster: aistore.LocalCluster,
) -> None:
    filled(own_cluster)
    wire = Wire(own_cluster.endpoint)
    job = start(wire, "move-bck", "source", "there")
    there = own_cluster.client().bucket("there")
    for at in range(OBJECTS - 1, OBJECTS - 60, -1):
        assert there.object(f"d/{at:05}").get_reader().read_all() == content(at)
    assert ended(wire, job)["err"] == ""
    check(there)


def test_the_source_of_a_rename_refuses_changes(own_cluster: aistore.LocalCluster) -> None:
    filled(own_cluster)
    wire = Wire(own_cluster.endpoint)
    job = start(wire, "move-bck", "source", "there")
    answer = wire.follow("PUT", "/v1/objects/source/late", body=b"x")
    assert answer.status in {403, 404}
    assert ended(wire, job)["err"] == ""


def test_an_aborted_rename_loses_nothing(own_cluster: aistore.LocalCluster) -> None:
    source, wire = filled(own_cluster), Wire(own_cluster.endpoint)
    job = start(wire, "move-bck", "source", "there")
    wire.send("PUT", "/v1/cluster", action={"action": "stop", "value": {"ID": job}})
    assert ended(wire, job)["aborted"]
    there = own_cluster.client().bucket("there")

    def names() -> list[str]:
        both = [*source.list_all_objects(), *there.list_all_objects()]
        return sorted({entry.name for entry in both})

    assert names() == [f"d/{at:05}" for at in range(OBJECTS)]
    # The source can be changed again.
    assert wire.follow("PUT", "/v1/objects/source/late", body=b"x").status == 200
