"""Speed and memory at the sizes that matter: a million objects, a large upload, a million requests."""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from common import SDK_PYTHON, Row, Worker, watched

import aistore

PARTS = 8
WARM_HEADS = 20_000
FILL_BATCH = 50_000


@dataclass
class Sizes:
    """How large everything is; smaller for a try."""

    objects: int = 1_000_000
    heads: int = 1_000_000
    upload: int = 4 << 30


def bench_scale(sizes: Sizes, runs: int) -> Iterator[Row]:
    """All scenarios, on a cluster of their own."""
    with aistore.LocalCluster(targets=3) as cluster:
        ours, theirs = (
            Worker(sys.executable, cluster.endpoint),
            Worker(SDK_PYTHON, cluster.endpoint),
        )
        try:
            yield from listing(cluster, ours, theirs, sizes.objects, runs)
            yield from heads(cluster, ours, sizes.heads)
            yield from upload(cluster, ours, sizes.upload, runs)
        finally:
            ours.close()
            theirs.close()


def listing(
    cluster: aistore.LocalCluster, ours: Worker, theirs: Worker, count: int, runs: int
) -> Iterator[Row]:
    """Lists many objects with both, and with what the official SDK needs for decoding alone."""
    bucket = cluster.client().bucket("bench-scale").create()
    for first in range(0, count, FILL_BATCH):
        names = range(first, min(first + FILL_BATCH, count))
        bucket.put_many([(f"train/{i:08}.jpg", b"x") for i in names], concurrency=16)
    title = f"list {count:,} objects"
    for size in (1000, 0):
        ours.run(op="first_page", bucket=bucket.name, size=size)
        pages = [ours.run(op="first_page", bucket=bucket.name, size=size) for _ in range(20)]
        name = f"first page of {count:,} objects, {size or 10_000:,} names (goal 20 ms)"
        yield Row("scale", name, "ms", statistics.median(pages) * 1e3, None, "")
    with watched(cluster.pids) as memory:
        seconds = median(ours, runs, op="list", bucket=bucket.name)
        official = median(theirs, runs, op="list", bucket=bucket.name)
    yield Row("scale", f"{title} (goal 5 s)", "s", seconds, official, "official SDK 2.0.0")
    yield Row(
        "scale",
        f"{title}: resident, largest node, peak vs before",
        "MiB",
        memory.peak,
        memory.before,
        "before",
    )
    yield Row(
        "scale",
        f"{title}: resident, largest node, after vs before",
        "MiB",
        memory.after,
        memory.before,
        "before",
    )
    decoding = median(theirs, runs, op="decode", bucket=bucket.name)
    yield Row(
        "scale",
        f"{title}, official SDK vs its decoding alone",
        "s",
        official,
        decoding,
        "decoding of the pages",
    )
    building = median(theirs, runs, op="decode_and_build", bucket=bucket.name)
    rival = "decoding, and an Object for each entry"
    yield Row(
        "scale", f"{title}, official SDK vs its own work alone", "s", official, building, rival
    )
    bucket.delete()


def heads(cluster: aistore.LocalCluster, ours: Worker, count: int) -> Iterator[Row]:
    """Asks for properties again and again; nothing may pile up."""
    bucket = cluster.client().bucket("bench-heads").create()
    bucket.put_many([(f"o{i}", b"x") for i in range(1000)])
    ours.run(op="heads", bucket=bucket.name, count=min(WARM_HEADS, count))
    with watched(cluster.pids) as memory:
        seconds = ours.run(op="heads", bucket=bucket.name, count=count)
    title = f"{count:,} HEADs"
    yield Row("scale", f"{title}, 8 threads", "req/s", count / seconds, None, "")
    yield Row(
        "scale",
        f"{title}: resident, largest node, after vs before",
        "MiB",
        memory.after,
        memory.before,
        "before",
    )
    bucket.delete()


def upload(cluster: aistore.LocalCluster, ours: Worker, size: int, runs: int) -> Iterator[Row]:
    """One object in parallel parts against one PUT of it. The source has no blocks on disk, so reading it is free."""
    bucket = cluster.client().bucket("bench-upload").create()
    seconds: dict[str, list[float]] = {"put_file": [], "multipart": []}
    peaks: dict[str, float] = dict.fromkeys(seconds, 0.0)
    with tempfile.TemporaryDirectory() as folder:
        whole, part = Path(folder) / "whole", Path(folder) / "part"
        for path, length in ((whole, size), (part, size // PARTS)):
            with path.open("wb") as file:
                file.truncate(length)
        tasks = {"put_file": {"path": str(whole)}, "multipart": {"path": str(part), "parts": PARTS}}
        for turn in range(runs + 1):
            for op in tasks if turn % 2 else reversed(tasks):
                with watched(cluster.pids) as memory:
                    took = ours.run(op=op, bucket=bucket.name, **tasks[op])
                if turn:  # the first turn warms both
                    seconds[op].append(took)
                    peaks[op] = max(peaks[op], memory.peak - memory.before)
                bucket.object("large").delete()
    title = f"{size / 2**30:g} GiB in {PARTS} parallel parts"
    parts, plain = (statistics.median(seconds[op]) for op in ("multipart", "put_file"))
    yield Row("scale", f"PUT of {title}", "s", parts, plain, "plain PUT", 0.8)
    yield Row(
        "scale", f"{title}: peak growth of resident memory, largest node (goal 64 MiB)", "MiB", peaks["multipart"],
        peaks["put_file"], "plain PUT",
    )  # fmt: skip
    bucket.delete()


def median(worker: Worker, runs: int, **task: str) -> float:
    """Median seconds of some runs after one that warms up."""
    worker.run(**task)
    return statistics.median(worker.run(**task) for _ in range(runs))
