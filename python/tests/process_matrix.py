"""Run by `test_process_matrix.py` in a process of its own: every kind of data set in workers, and what is left.

    python process_matrix.py ENDPOINT BUCKET METHOD USED EPOCHS WORKERS [KIND ...]

USED is 1 if the client has been used before there are workers. Prints one line for each case.
"""

from __future__ import annotations

import faulthandler
import gc
import hashlib
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader

import aistore.data
from aistore.pytorch import (
    AISIterDataset,
    AISMapDataset,
    AISMultiShardStream,
    AISParallelMapDataset,
    AISShardReader,
)
from aistore.pytorch.batch_iter_dataset import AISBatchIterDataset
from aistore.sdk import Bucket, Client, DataShard

# An epoch that takes longer hangs: the threads are printed, and the process ends. Workers that are
# not forked import torch first, which takes a busy machine a while.
HANG_S = float(os.environ.get("MATRIX_HANG_S", "30"))
IMPORT_S = 120.0
SETTLE_S = 25.0
# So many epochs are for being killed in; each is told of.
ENDLESS = 1000
KINDS = ("map", "parallel", "iter", "batch", "shard", "multishard", "data", "stream")


def plain(batch: list[Any]) -> list[Any]:
    """Turns samples into plain values, in a way that spawned workers can import."""
    return [plain_item(item) for item in batch]


def plain_item(item: Any) -> Any:
    if isinstance(item, dict):
        return sorted((k, v) for k, v in item.items())
    name, content = item[0], item[1]
    if isinstance(content, dict):
        return name, sorted(content.items())
    if not isinstance(content, bytes):
        copy = content.tobytes()
        content.close()
        return name, copy
    return name, content


def make(kind: str, client: Client, bucket: Bucket, workers: int, options: dict[str, Any]) -> Any:
    """A loader over a data set of this kind."""
    objects = {bucket: "o/"}
    if kind in {"data", "stream"}:
        snapshot = aistore.data.Snapshot(bucket, "all")
        if kind == "data":
            dataset = aistore.data.SnapshotDataset(snapshot)
            return aistore.data.DataLoader(
                dataset, 8, shuffle=False, collate_fn=plain, num_workers=workers, **options
            )
        stream = aistore.data.SnapshotStream(snapshot, 8, shuffle=False)
        return DataLoader(stream, None, collate_fn=plain, num_workers=workers, **options)
    dataset = {
        "map": lambda: AISMapDataset([bucket], objects),
        "parallel": lambda: AISParallelMapDataset([bucket], objects, num_workers=2),
        "iter": lambda: AISIterDataset([bucket], objects),
        "batch": lambda: AISBatchIterDataset([bucket], client, objects, max_batch_size=7),
        "shard": lambda: AISShardReader([bucket], {bucket: "s/"}),
        "multishard": lambda: AISMultiShardStream(
            [DataShard(client.endpoint, bucket.name, prefix="s/") for _ in range(2)]
        ),
    }[kind]()
    return DataLoader(dataset, 8, collate_fn=plain, num_workers=workers, **options)


def digest(batches: Iterable[list[Any]]) -> tuple[int, str]:
    """Number and hash of the samples, whatever their order."""
    found = sorted(repr(item) for batch in batches for item in batch)
    return len(found), hashlib.sha256("".join(found).encode()).hexdigest()


def threads() -> int:
    """Threads of this process, native ones too."""
    return len(os.listdir("/proc/self/task"))


def descriptors() -> int:
    """Open files and the like."""
    return len(os.listdir("/proc/self/fd"))


def sockets() -> int:
    """Open connections; the socket pair by which native threads learn of signals is none."""
    open_now = set()
    for fd in os.listdir("/proc/self/fd"):
        try:
            open_now.add(os.readlink(f"/proc/self/fd/{fd}"))
        except OSError:
            continue
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/self/net/{table}").read_text().splitlines()[1:]
    ]
    return sum(f"socket:[{row[9]}]" in open_now for row in rows)


def shared_memory() -> set[str]:
    """Names in shared memory, but for semaphores, which Python itself makes and removes."""
    return {name for name in os.listdir("/dev/shm") if not name.startswith((".", "sem."))}


def settle(what: str, measure: Any, most: int) -> None:
    """Waits until a count is back at what it was."""
    deadline = time.monotonic() + SETTLE_S
    while (now := measure()) > most:
        if time.monotonic() > deadline:
            sys.exit(f"{what}: {now} left, {most} before")
        time.sleep(0.05)


def run(case: str, loader: Any, expected: tuple[int, str] | None, epochs: int) -> tuple[int, str]:
    """Runs epochs over a loader; what each of them gives."""
    for epoch in range(epochs):
        faulthandler.dump_traceback_later(HANG_S if epoch else HANG_S + IMPORT_S, exit=True)
        if hasattr(loader.dataset, "set_epoch"):
            loader.dataset.set_epoch(epoch)
        got = digest(loader)
        if got != (expected or got) or not got[0]:
            sys.exit(f"{case}: epoch {epoch} gave {got}, expected {expected}")
        expected = got
        if epochs > ENDLESS:
            print("epoch", flush=True)
    faulthandler.cancel_dump_traceback_later()
    assert expected is not None
    return expected


def main(*arguments: str) -> None:
    """Runs the cases."""
    endpoint, name, method, used, epochs, workers, *kinds = arguments
    # In a forked process: what it has been given.
    inherited = sockets()
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload(["torch", "process_matrix"])
    client = Client(endpoint)
    bucket = client.bucket(name)
    options = {"multiprocessing_context": context}
    # Spawned workers import torch for seconds: they stay for all epochs, others are made for each.
    kept = {**options, "persistent_workers": method == "spawn"}
    known = {kind: run(kind, make(kind, client, bucket, 0, {}), None, 1) for kind in kinds or KINDS}
    client.close()
    settle("sockets", sockets, inherited)
    before = {"threads": threads(), "python": threading.active_count(), "fds": descriptors()}
    memory = shared_memory()
    # The server that forks, and what keeps account of semaphores, stay as long as the process.
    service = 4 if method != "fork" and int(workers) else 0
    for kind in kinds or KINDS:
        started = time.monotonic()
        if used == "1":
            bucket.object("o/000").get_reader().read_all()
        count = int(workers)
        loader = make(kind, client, bucket, count, kept if count else {})
        if used == "0":
            client.close()
        run(f"{kind} {method} {workers}", loader, known[kind], int(epochs))
        del loader
        gc.collect()
        print(f"{kind} {method} used={used} workers={workers}: {time.monotonic() - started:.1f} s")
        sys.stdout.flush()
    client.close()
    settle("sockets", sockets, inherited)
    settle("descriptors", descriptors, before["fds"] + service)
    settle("Python threads", threading.active_count, before["python"])
    settle("threads", threads, before["threads"])
    if multiprocessing.active_children():
        sys.exit(f"children left: {multiprocessing.active_children()}")
    left = shared_memory() - memory
    if left:
        sys.exit(f"shared memory left: {left}")
    print("clean")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main(*sys.argv[1:])
