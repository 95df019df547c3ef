"""Every kind of data set in workers of every kind: nothing hangs, and nothing is left of them."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import tarfile
import traceback
from collections.abc import Iterator
from pathlib import Path

import process_matrix
import pytest
from support import ROOT, process_is_gone, wait_until

import aistore
from aistore.data import Snapshot
from aistore.sdk import Client

SCRIPT = ROOT / "python" / "tests" / "process_matrix.py"
OBJECTS, SHARDS, FILES = 60, 12, 5
EPOCHS = int(os.environ.get("MATRIX_EPOCHS", "50"))


@pytest.fixture(scope="module")
def filled(cluster: aistore.LocalCluster) -> Iterator[str]:
    bucket = cluster.client().bucket("process-matrix").create()
    bucket.put_many([(f"o/{i:03}", f"c{i}".encode() * 100) for i in range(OBJECTS)])
    for shard in range(SHARDS):
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for i in range(FILES):
                for ext in ("png", "cls"):
                    info = tarfile.TarInfo(f"{shard:02}{i}.{ext}")
                    content = f"{shard} {i} {ext}".encode()
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))
        bucket.object(f"s/{shard:02}.tar").get_writer().put_content(packed.getvalue())
    Snapshot.create(bucket, "all", "o/")
    yield bucket.name
    bucket.delete()


def run(client: Client, bucket: str, tmp_path: Path, *case: object) -> None:
    command = [sys.executable, str(SCRIPT), client.endpoint, bucket, *map(str, case)]
    env = {**os.environ, "AIS_SNAPSHOT_CACHE": str(tmp_path), "PYTHONWARNINGS": "ignore"}
    # To a file: workers of a process that was ended for hanging would keep a pipe open.
    with (tmp_path / "out").open("w+") as out:
        running = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, env=env, start_new_session=True
        )
        try:
            code = running.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
        out.seek(0)
        told = out.read()
    assert code == 0, told
    assert told.endswith("clean\n")


def fork(client: Client, bucket: str, output: Path, *case: object) -> int:
    """The same without the seconds that torch takes to be imported; leads a group of processes."""
    pid = os.fork()
    if pid == 0:
        os.setsid()
        os.environ["AIS_SNAPSHOT_CACHE"] = str(output.parent)
        with output.open("w") as out:
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
            sys.stdout = sys.stderr = out
            try:
                process_matrix.main(client.endpoint, bucket, *map(str, case))
            except BaseException:  # noqa: BLE001 - the process ends here
                traceback.print_exc()
            out.flush()
        os._exit(0)
    return pid


def test_forked_workers(client: Client, filled: str, tmp_path: Path) -> None:
    assert client.bucket(filled).object("o/000").head().size
    pid = fork(client, filled, tmp_path / "out", "fork", 1, 2, 2)
    os.waitpid(pid, 0)
    assert (tmp_path / "out").read_text().endswith("clean\n"), (tmp_path / "out").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1, 8])
@pytest.mark.parametrize("used", [0, 1])
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_matrix(
    client: Client, filled: str, tmp_path: Path, method: str, used: int, workers: int
) -> None:
    run(client, filled, tmp_path, method, used, EPOCHS, workers)


def test_kill_leaves_nothing_in_shared_memory(client: Client, filled: str, tmp_path: Path) -> None:
    before, output = process_matrix.shared_memory(), tmp_path / "out"
    pid = fork(client, filled, output, "fork", 1, process_matrix.ENDLESS + 1, 2, "parallel")
    try:
        wait_until(lambda: output.exists() and "epoch" in output.read_text(), "an epoch")
        workers = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    finally:
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    for worker in map(int, workers):
        wait_until(lambda worker=worker: process_is_gone(worker), f"end of worker {worker}")
    assert process_matrix.shared_memory() <= before
