"""The embedded cluster as an object: what it says, how it fails, and reads that outlive a crash."""

from __future__ import annotations

import gc
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support import process_is_gone, wait_until

import aistore
from aistore._temp_roots import TempRoot
from aistore.sdk.errors import LocalClusterError
from aistore.sdk.obj.obj_file.errors import ObjectFileReaderStreamError


def test_it_describes_itself(cluster: aistore.LocalCluster) -> None:
    assert repr(cluster) == f"LocalCluster(endpoint='{cluster.endpoint}', gateways=1, targets=3)"
    table = cluster._repr_html_()
    assert table.count("running") == 4
    assert all(str(pid) in table for pid in cluster.pids)
    assert all(node.log_path.exists() for node in (*cluster.gateways, *cluster.targets))


def test_it_does_not_pickle_and_says_what_does(cluster: aistore.LocalCluster) -> None:
    with pytest.raises(TypeError, match=r"client\(\) or endpoint"):
        pickle.dumps(cluster)


def test_it_ends_when_nothing_refers_to_it() -> None:
    cluster = aistore.LocalCluster(targets=1)
    pids, root = cluster.pids, cluster.root
    del cluster
    gc.collect()
    wait_until(lambda: all(process_is_gone(pid) for pid in pids), "nodes end")
    assert not root.exists()


def test_a_closed_cluster_says_so() -> None:
    cluster = aistore.LocalCluster(targets=1)
    cluster.close()
    assert repr(cluster) == "LocalCluster(closed)"
    with pytest.raises(LocalClusterError, match="closed"):
        cluster.client()


def test_a_root_in_use_is_refused_with_the_nodes_own_words(
    own_cluster: aistore.LocalCluster,
) -> None:
    with pytest.raises(LocalClusterError, match="in use by another process") as refused:
        aistore.LocalCluster(root=own_cluster.root)
    assert str(own_cluster.root) in str(refused.value)
    assert own_cluster.client().cluster().is_ready()


@pytest.mark.parametrize("numbers", [{"targets": 0}, {"gateways": 0}, {"mountpaths": -1}])
def test_impossible_numbers_are_refused(numbers: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        aistore.LocalCluster(**numbers)


def test_settings_for_other_nodes_do_not_reach_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AISNODE_LISTEN", "nonsense")
    with aistore.LocalCluster(targets=1, root=tmp_path / "c") as cluster:
        assert cluster.client().cluster().is_ready()


def test_reading_a_file_goes_on_when_the_target_comes_back() -> None:
    content = os.urandom(64 << 20)
    with aistore.LocalCluster(targets=1) as cluster:
        obj = cluster.client().bucket("b").create().object("o")
        obj.get_writer().put_content(content)
        file = obj.get_reader().as_file(max_resume=10)
        start = file.read(5 << 20)
        cluster.kill_target(0)
        helper = threading.Timer(0.5, cluster.restart_target, args=[0])
        helper.start()
        try:
            assert start + file.read() == content
        finally:
            helper.join()

        file = obj.get_reader().as_file(max_resume=10)
        file.read(5 << 20)
        cluster.kill_target(0)
        cluster.restart_target(0)
        obj.get_writer().put_content(content[::-1])
        with pytest.raises(ObjectFileReaderStreamError, match="changed"):
            file.read()


def test_a_root_with_more_targets_is_refused(tmp_path: Path) -> None:
    with aistore.LocalCluster(targets=2, root=tmp_path / "c"):
        pass
    with pytest.raises(LocalClusterError, match="data of 2 targets: start .* targets=2"):
        aistore.LocalCluster(targets=1, root=tmp_path / "c")


KILLED = """
import os, signal, aistore
cluster = aistore.LocalCluster(targets=1)
print(cluster.root, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_directory_of_a_killed_process_is_swept() -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED], capture_output=True, text=True, check=False
    )
    root = Path(done.stdout.strip())
    assert root.exists()
    with aistore.LocalCluster(targets=1) as cluster:
        assert not root.exists()
        other = TempRoot()
        assert cluster.root.exists(), "its owner lives"
        other.remove()
        assert not other.path.exists()
