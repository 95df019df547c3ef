"""Clusters start, stop, crash and come back; nothing acknowledged is lost, nothing is left behind."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
from support import process_is_gone, wait_until

import aistore
from aistore.sdk import Bucket


def test_one_line_cluster() -> None:
    with aistore.LocalCluster(targets=2) as cluster:
        assert cluster.endpoint.startswith("http://127.0.0.1:")
        pids, root = cluster.pids, cluster.root
        assert len(pids) == 3
        bucket = cluster.client().bucket("b").create()
        bucket.object("o").get_writer().put_content(b"x")
        assert bucket.object("o").get_reader().read_all() == b"x"
    assert all(process_is_gone(pid) for pid in pids)
    assert not root.exists()
    cluster.close()


def test_given_root_is_kept_and_used_again(tmp_path: Path) -> None:
    with aistore.LocalCluster(targets=2, root=tmp_path / "c") as cluster:
        bucket = cluster.client().bucket("b").create()
        bucket.object("o").get_writer().put_content(b"kept")
        uuid = cluster.client().cluster().get_uuid()
    with aistore.LocalCluster(targets=2, root=tmp_path / "c") as cluster:
        assert cluster.client().cluster().get_uuid() == uuid
        assert cluster.client().bucket("b").object("o").get_reader().read_all() == b"kept"


def test_nodes_end_when_python_is_killed() -> None:
    script = textwrap.dedent("""
        import sys, time, aistore
        cluster = aistore.LocalCluster(targets=2)
        print(*cluster.pids, flush=True)
        time.sleep(600)
    """)
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    ) as python:
        assert python.stdout
        pids = [int(pid) for pid in python.stdout.readline().split()]
        assert len(pids) == 3
        assert not any(process_is_gone(pid) for pid in pids)
        python.send_signal(signal.SIGKILL)
    wait_until(lambda: all(process_is_gone(pid) for pid in pids), "nodes follow their parent")


def test_a_forked_child_does_not_take_the_cluster_down(own_cluster: aistore.LocalCluster) -> None:
    child = os.fork()
    if child == 0:
        own_cluster.close()
        os._exit(0)
    os.waitpid(child, 0)
    assert not any(process_is_gone(pid) for pid in own_cluster.pids)
    own_cluster.client().bucket("b").create()


def test_start_failure_is_explained(tmp_path: Path) -> None:
    (tmp_path / "c").write_text("a file where the folder should be")
    with pytest.raises((RuntimeError, OSError), match="c"):
        aistore.LocalCluster(root=tmp_path / "c")


def test_terminated_node_leaves_cleanly(own_cluster: aistore.LocalCluster) -> None:
    bucket = own_cluster.client().bucket("b").create()
    bucket.put_many([(f"o{i}", b"%d" % i) for i in range(50)])
    for pid in own_cluster.pids:
        os.kill(pid, signal.SIGTERM)
    wait_until(lambda: all(process_is_gone(pid) for pid in own_cluster.pids), "graceful shutdown")


def write_until(
    bucket: Bucket, prefix: str, stop: threading.Event, acknowledged: dict[str, bytes]
) -> None:
    """Writes objects until told to stop or until the node dies; notes what was acknowledged."""
    for i in itertools.count():
        if stop.is_set():
            return
        name, content = f"{prefix}-{i}", os.urandom(2000 + i)
        try:
            bucket.object(name).get_writer().put_content(content)
        except Exception:  # noqa: BLE001 - the node has just been killed
            return
        acknowledged[name] = content


def test_kill_9_keeps_every_acknowledged_write(own_cluster: aistore.LocalCluster) -> None:
    bucket = own_cluster.client().bucket("b").create()
    for turn in range(3):
        acknowledged: dict[str, bytes] = {}
        stop = threading.Event()
        writers = [
            threading.Thread(target=write_until, args=(bucket, f"r{turn}-w{i}", stop, acknowledged))
            for i in range(4)
        ]
        for writer in writers:
            writer.start()
        try:
            wait_until(lambda found=acknowledged: len(found) > 100, "some writes")
            for i in range(3):
                own_cluster.kill_target(i)
        finally:
            stop.set()
            for writer in writers:
                writer.join()
        for i in range(3):
            own_cluster.restart_target(i)
        for name, content in acknowledged.items():
            assert bucket.object(name).get_reader().read_all() == content, name
        listed = {e.name for e in bucket.list_all_objects(prefix=f"r{turn}-")}
        assert set(acknowledged) <= listed
        for name in listed - set(acknowledged):
            bucket.object(name).get_reader().read_all()


def test_killed_gateway_comes_back_with_its_state(own_cluster: aistore.LocalCluster) -> None:
    client = own_cluster.client()
    for i in range(5):
        client.bucket(f"b{i}").create()
    client.bucket("b0").object("o").get_writer().put_content(b"1")
    own_cluster.kill_gateway()
    # Data that needs no gateway is still served.
    assert client.bucket("b0").object("o").get_reader().read_all() == b"1"
    own_cluster.restart_gateway()
    assert sorted(b.name for b in client.cluster().list_buckets()) == [f"b{i}" for i in range(5)]
    client.bucket("b5").create().object("o").get_writer().put_content(b"2")
    assert client.bucket("b5").object("o").get_reader().read_all() == b"2"


def resident_mib(pid: int) -> float:
    fields = dict(
        line.split(":", 1)
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if ":" in line
    )
    return int(fields["VmRSS"].split()[0]) / 1024


def test_memory_at_rest_and_under_load_is_bounded(own_cluster: aistore.LocalCluster) -> None:
    """The bounds of docs/benchmarks.md; the figures themselves come from the harness."""
    assert max(resident_mib(pid) for pid in own_cluster.pids) < 60
    client = own_cluster.client()
    bucket = client.bucket("b").create()
    bucket.put_many([(f"o{i}", os.urandom(64 << 20)) for i in range(2)])
    peak = 0.0

    def read(i: int) -> None:
        for _ in bucket.object(f"o{i % 2}").get_reader(chunk_size=1 << 20):
            pass

    readers = [threading.Thread(target=read, args=(i,)) for i in range(64)]
    for reader in readers:
        reader.start()
    while any(reader.is_alive() for reader in readers):
        peak = max(peak, *(resident_mib(pid) for pid in own_cluster.pids))
        readers[0].join(timeout=0.05)
        if not readers[0].is_alive():
            readers = [r for r in readers if r.is_alive()]
            if not readers:
                break
    assert 0 < peak < 300


def test_a_lost_or_foreign_mountpath_stops_the_start(tmp_path: Path) -> None:
    """Objects on a disk that is not mounted must not look deleted, nor fall to another cluster."""
    root = tmp_path / "c"
    with aistore.LocalCluster(targets=1, mountpaths=2, root=root) as cluster:
        bucket = cluster.client().bucket("b").create()
        bucket.put_many([(f"o{i}", b"x") for i in range(40)])
    names = sorted(f"o{i}" for i in range(40))
    # A target remembers its mountpaths, also one that a start does not name.
    with aistore.LocalCluster(targets=1, mountpaths=1, root=root) as cluster:
        assert [e.name for e in cluster.client().bucket("b").list_all_objects()] == names
    (disk,) = root.glob("**/mp2")
    disk.rename(tmp_path / "unmounted")
    with pytest.raises(RuntimeError, match="would look deleted"):
        aistore.LocalCluster(targets=1, mountpaths=2, root=root)
    if disk.exists():
        shutil.rmtree(disk)
    (tmp_path / "unmounted").rename(disk)
    with aistore.LocalCluster(targets=1, mountpaths=2, root=root) as cluster:
        assert [e.name for e in cluster.client().bucket("b").list_all_objects()] == names
