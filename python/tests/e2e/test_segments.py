"""Small objects share files: what a node gives back of them, and what can be seen of them from outside."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support import inspect, stored_blobs, wait_until

import aistore
from aistore.sdk import Client


def mountpaths(cluster: aistore.LocalCluster) -> list[Path]:
    return [folder.parent for folder in cluster.root.rglob("ais") if folder.is_dir()]


def segment_bytes(cluster: aistore.LocalCluster) -> int:
    return sum(path.stat().st_size for path in cluster.root.rglob("*.segment"))


@pytest.fixture
def single(tmp_path: Path) -> aistore.LocalCluster:
    return aistore.LocalCluster(targets=1, mountpaths=1, root=tmp_path / "cluster")


def test_space_of_deleted_small_objects_comes_back_while_others_are_read(
    single: aistore.LocalCluster,
) -> None:
    with single:
        bucket = Client(single.endpoint).bucket("b").create()
        contents = {f"o{n:04}": bytes([n % 251]) * 60_000 for n in range(3500)}

        def put(name: str) -> None:
            bucket.object(name).get_writer().put_content(contents[name])

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(put, contents))
            full = segment_bytes(single)
            assert full > sum(map(len, contents.values()))
            gone = [name for n, name in enumerate(contents) if n % 10]
            # Read first: what is cached must not hold the space of what is gone.
            list(pool.map(lambda name: bucket.object(name).get_reader().read_all(), gone[::50]))
            list(pool.map(lambda name: bucket.object(name).delete(), gone))
        kept = {name: body for n, (name, body) in enumerate(contents.items()) if n % 10 == 0}

        def shrunk() -> bool:
            for name in list(kept)[::20]:
                assert bucket.object(name).get_reader().read_all() == kept[name]
            return segment_bytes(single) < 64 * 2**20 + 2 * sum(map(len, kept.values()))

        wait_until(shrunk, "the space comes back", 60)
        for name, body in kept.items():
            assert bucket.object(name).get_reader().read_all() == body


def test_a_mountpath_can_be_looked_at_with_and_without_its_node(
    single: aistore.LocalCluster,
) -> None:
    with single:
        bucket = Client(single.endpoint).bucket("b").create()
        for name in ("small", "ü/лист", "gone"):
            bucket.object(name).get_writer().put_content(b"content of " + name.encode())
        bucket.object("large").get_writer().put_content(b"x" * 200_000)
        bucket.object("gone").delete()
        [mountpath] = mountpaths(single)
        blobs = {blob["name"]: blob for blob in stored_blobs(mountpath)}
        assert set(blobs) == {"small", "ü/лист", "large"}
        for name, blob in blobs.items():
            size = 200_000 if name == "large" else len(b"content of " + name.encode())
            assert (blob["role"], blob["size"]) == ("object", size)
            with Path(blob["path"]).open("rb") as file:
                file.seek(blob["offset"])
                assert file.read(8) == (b"x" * 8 if name == "large" else b"content ")
        assert [blob["name"] for blob in inspect(mountpath) if blob["dead"]] == ["gone"]
        command = [sys.executable, "-m", "aistore._entry", "aisnode", "inspect"]
        busy = subprocess.run(  # noqa: S603 - our own program
            [*command, str(mountpath), "--index"], capture_output=True, text=True, check=False
        )
        assert busy.returncode == 1
        assert "in use" in busy.stderr or "another process" in busy.stderr, busy.stderr
        wrong = subprocess.run(  # noqa: S603 - our own program
            [*command, str(single.root / "nowhere")], capture_output=True, text=True, check=False
        )
        assert wrong.returncode == 1
        assert "no mountpath" in wrong.stderr
        for pid in single.pids:
            assert pid > 0
        copy = single.root.parent / "copy"
        subprocess.run(["/bin/cp", "-a", str(mountpath), str(copy)], check=True)  # noqa: S603
    entries = inspect(copy, "--index")
    assert [(entry["name"], entry["role"]) for entry in entries] == [
        ("large", "object"),
        ("small", "object"),
        ("ü/лист", "object"),
    ]
