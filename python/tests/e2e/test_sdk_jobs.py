"""Jobs, whole buckets and cluster queries through the package, against a real cluster."""

from __future__ import annotations

import io
import json
import tarfile

import pytest

import aistore
from aistore.sdk import Bucket, Client
from aistore.sdk.enums import FLTPresence, LogSeverity, NodeFilter
from aistore.sdk.errors import AISError, ErrBckNotFound, JobInfoNotFound, Timeout

NAMES = [f"d/{at:03}" for at in range(60)]


@pytest.fixture
def filled(bucket: Bucket) -> Bucket:
    bucket.put_many([(name, name.encode() * 10) for name in NAMES])
    return bucket


@pytest.fixture
def other(client: Client, bucket: Bucket) -> Bucket:
    return client.bucket(f"{bucket.name}-other")


def names(bucket: Bucket) -> list[str]:
    return [entry.name for entry in bucket.list_all_objects()]


def test_a_copy_is_waited_for_and_told(client: Client, filled: Bucket, other: Bucket) -> None:
    started = filled.copy(other, prefix_filter="d/00", prepend="copied-", num_workers=2)
    try:
        # Without a kind it is found out; with one nothing is asked.
        result = client.job(started).wait(timeout=60, verbose=False)
        assert (result.success, result.job_id) == (True, started)
        assert client.job(started, "copy-bck").wait(timeout=60, verbose=False)
        assert names(other) == [f"copied-{name}" for name in NAMES[:10]]
        status = client.job(started).status()
        assert (status.uuid, status.err, status.aborted) == (started, "", False)
        assert status.end_time > 0
        job = client.job(started, "copy-bck")
        details = job.get_details()
        assert sum(snap.stats.objects for snap in details.list_snapshots() if snap.stats) == 10
        assert details.any_finished()
        assert not details.any_aborted()
        assert job.get_total_time() is not None
        listed = client.cluster().list_jobs_status("copy-bck")
        assert started in {job.uuid for job in listed}
        assert not any(started in text for text in client.cluster().list_running_jobs())
        assert job.wait_single_node(timeout=30, verbose=False)
    finally:
        other.delete(missing_ok=True)


def test_a_renamed_bucket(client: Client, filled: Bucket, other: Bucket) -> None:
    old = filled.name
    job = filled.rename(other.name)
    try:
        assert client.job(job, "move-bck").wait(timeout=60, verbose=False)
        assert filled.name == other.name
        assert names(filled) == NAMES
        with pytest.raises(ErrBckNotFound):
            client.bucket(old).head()
    finally:
        filled.delete(missing_ok=True)


def test_summary_and_info(filled: Bucket) -> None:
    summary = filled.summary()
    size = sum(len(name) * 10 for name in NAMES)
    assert int(summary["ObjCount"]["obj_count_present"]) == len(NAMES)
    assert int(summary["TotalSize"]["size_all_present_objs"]) == size
    part = filled.summary(prefix="d/01")
    assert int(part["ObjCount"]["obj_count_present"]) == 10
    properties, numbers = filled.info(FLTPresence.FLT_EXISTS)
    assert json.loads(properties)["provider"] == "ais"
    assert int(numbers["ObjCount"]["obj_count_present"]) == len(NAMES)
    with pytest.raises(ValueError, match="77"):
        filled.info(77)


def test_jobs_that_nobody_knows(client: Client) -> None:
    with pytest.raises(AISError) as caught:
        client.job("no-such-job").status()
    assert caught.value.status_code == 404
    with pytest.raises((JobInfoNotFound, AISError)):
        client.job("no-such-job").wait(timeout=5, verbose=False)


@pytest.mark.usefixtures("filled")
def test_a_job_is_aborted(client: Client) -> None:
    target = next(iter(client.cluster().get_info().tmap))
    job = client.job(job_kind="resilver").start(daemon_id=target)
    client.job(job).abort()
    result = client.job(job, "resilver").wait(timeout=60, verbose=False)
    assert result.job_id == job


def test_promoted_files(own_cluster: aistore.LocalCluster) -> None:
    bucket = own_cluster.client().bucket("promoted").create()
    folder = own_cluster.promote_root / "in"
    (folder / "deep").mkdir(parents=True)
    (folder / "a").write_bytes(b"a")
    (folder / "deep" / "b").write_bytes(b"b")
    job = bucket.object("p/").promote(str(folder), recursive=True)
    if job:
        assert own_cluster.client().job(job, "promote").wait(timeout=60, verbose=False)
    assert names(bucket) == ["p/a", "p/deep/b"]
    assert bucket.object("p/deep/b").get_reader().read_all() == b"b"


def test_logs_and_performance(client: Client, cluster: aistore.LocalCluster) -> None:
    asked = client.cluster()
    targets = {node.node_id for node in cluster.targets}
    gateways = {node.node_id for node in cluster.gateways}
    performance = asked.get_performance()
    assert set(performance) == targets
    assert all(isinstance(status, dict) and status for status in performance.values())
    assert set(asked.get_cluster_logs()) == targets
    assert set(asked.get_cluster_logs(LogSeverity.INFO, NodeFilter.ALL)) == targets | gateways
    node = next(iter(targets))
    assert asked.get_node_log(node)
    archive = asked.get_node_log_archive(node)
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as logs:
        assert logs.getnames()


@pytest.mark.parametrize("how", ["wait", "wait_for_idle", "wait_single_node"])
@pytest.mark.parametrize("kind", ["copy-bck", "make-n-copies"])
def test_every_way_to_wait(
    client: Client, filled: Bucket, other: Bucket, kind: str, how: str
) -> None:
    try:
        if kind == "copy-bck":
            started = filled.copy(other)
        else:
            started = filled.set_props({"mirror": {"enabled": True, "copies": 2}})
        assert started
        job = client.job(started, kind)
        result = getattr(job, how)(timeout=60, verbose=False)
        assert (result.job_id, result.success) == (started, True), result
        if how != "wait_single_node":
            assert job.get_details().idle_or_aborted() or job.get_details().any_finished()
        # The others agree, also afterwards.
        assert job.wait(timeout=60, verbose=False)
        if kind == "copy-bck":
            assert names(other) == NAMES
        else:
            assert {entry.copies for entry in filled.list_all_objects(props="name,copies")} == {2}
    finally:
        other.delete(missing_ok=True)


@pytest.mark.parametrize("how", ["wait_for_idle", "wait_single_node"])
def test_a_wait_for_nothing_ends_in_time(client: Client, how: str) -> None:
    job = client.job("no-such-job", "copy-bck")
    with pytest.raises((Timeout, AISError)):
        getattr(job, how)(timeout=1, verbose=False)
