"""What training waits for: epochs of a DataLoader, batches, large objects into numpy, files in shards."""

from __future__ import annotations

import io
import os
import random
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from common import KIB, MIB, SDK_PYTHON, Row, Worker, interleave

import aistore
from aistore.data import Snapshot
from aistore.sdk import Bucket

OFFICIAL = "official SDK 2.0.0"
SCRIPT = "training_worker.py"
BUCKET = "bench-training"
SMALL = 10 * KIB
BATCH = 1000
WORKERS = 2
READERS = 8
CHOSEN = 200
MAPPED = 10_000


@dataclass
class TrainingSizes:
    """How much of everything there is; smaller for a quick look."""

    samples: int = 100_000
    large: int = 1 << 30
    members: int = 10_000
    member_bytes: int = 100 * KIB
    shards: int = 100
    files: int = 1000
    from_shards: int = 10_000


def bench_training(cluster: aistore.LocalCluster, runs: int, sizes: TrainingSizes) -> Iterator[Row]:
    """Our package against the official SDK and against files, the same server for both clients."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        os.environ["AIS_SNAPSHOT_CACHE"] = str(folder / "cache")
        bucket = cluster.client().bucket(BUCKET).create()
        stack.callback(bucket.delete)
        fill_small(bucket, folder, sizes.samples)
        Snapshot.create(bucket, "bench", "small/")
        arguments = (cluster.endpoint, BUCKET, str(folder))
        ours, theirs = (
            Worker(python, *arguments, script=SCRIPT) for python in (sys.executable, SDK_PYTHON)
        )
        stack.callback(ours.close)
        stack.callback(theirs.close)
        yield from epochs(ours, theirs, runs, sizes)
        yield from batches(ours, theirs, runs)
        yield from large(ours, theirs, bucket, runs, sizes)
        yield from shards(ours, theirs, bucket, runs, sizes)


def epochs(ours: Worker, theirs: Worker, runs: int, sizes: TrainingSizes) -> Iterator[Row]:
    """Epochs in random order."""
    name = f"epoch of {sizes.samples:,} x 10 KiB, random order"
    for workers in (0, WORKERS):
        how = {"samples": sizes.samples, "workers": workers}
        title = f"{name}, {workers} workers"
        epoch, files = interleave(
            [ours, ours], [{"op": "epoch", "kind": "snapshot", **how}, {"op": "files", **how}], runs
        )
        yield Row("training", title, "s", epoch, files, "files on the local disk", 0.5)
    # The official SDK asks for one object at a time: fewer of them are enough.
    count = min(sizes.samples, MAPPED)
    how = {"op": "epoch", "kind": "map", "samples": count, "workers": WORKERS}
    mapped, official = interleave([ours, theirs], [how, how], min(runs, 3))
    title = f"epoch of {count:,} x 10 KiB, AISMapDataset, {WORKERS} workers"
    yield Row("training", title, "s", mapped, official, OFFICIAL)


def batches(ours: Worker, theirs: Worker, runs: int) -> Iterator[Row]:
    """GetBatch, and making its request."""
    name = f"{BATCH:,} x 10 KiB"
    task = {"count": BATCH}
    batched = interleave([ours, theirs], [{"op": "batch", **task}] * 2, runs)
    yield Row("training", f"{name}, GetBatch", "s", *batched, f"{OFFICIAL}, Batch", 5.0)
    (single,) = interleave([theirs], [{"op": "singles", **task}], runs)
    yield Row("training", f"{name}, GetBatch", "s", batched[0], single, f"{OFFICIAL}, GETs", 30.0)
    built = interleave([ours, theirs], [{"op": "build", **task}] * 2, runs)
    title = f"making a request of {BATCH:,} entries (goal 1 ms)"
    yield Row("training", title, "ms", *(seconds * 1e3 for seconds in built), OFFICIAL)


def large(
    ours: Worker, theirs: Worker, bucket: Bucket, runs: int, sizes: TrainingSizes
) -> Iterator[Row]:
    """A large object into numpy."""
    bucket.object("large").get_writer().put_content(random.Random(1).randbytes(sizes.large))
    task = {"op": "parallel", "workers": READERS}
    read = interleave([ours, theirs], [task, task], runs)
    title = f"{sizes.large // MIB:,} MiB into numpy, {READERS} workers"
    yield Row("training", title, "s", *read, OFFICIAL, 2.0)
    bucket.object("large").delete()


def shards(
    ours: Worker, theirs: Worker, bucket: Bucket, runs: int, sizes: TrainingSizes
) -> Iterator[Row]:
    """Files in shards."""
    chance = random.Random(2)
    content = chance.randbytes(sizes.member_bytes)
    bucket.object("big.tar").get_writer().put_content(pack(content, sizes.members))
    objects = [f"members/{i:05}" for i in range(CHOSEN)]
    bucket.put_many([(name, content) for name in objects])
    chosen = [f"{chance.randrange(sizes.members):05}.bin" for _ in range(CHOSEN)]
    task = {"op": "members", "chosen": chosen, "shard": "big.tar"}
    member, plain = interleave([ours, ours], [task, {"op": "plain", "chosen": objects}], runs)
    size = sizes.members * sizes.member_bytes // MIB
    title = f"random file of {sizes.members:,} in a tar of {size:,} MiB"
    milliseconds = (member * 1e3 / CHOSEN, plain * 1e3 / CHOSEN)
    yield Row("training", title, "ms", *milliseconds, "an object of that size", 0.5)
    small = chance.randbytes(SMALL)
    packed = pack(small, sizes.files)
    for n in range(sizes.shards):
        bucket.object(f"shards/{n:03}.tar").get_writer().put_content(packed)
    how = {"shards": sizes.shards, "files": sizes.files, "count": sizes.from_shards}
    tasks = [{"op": "from_shards", **how}] * 2
    read = interleave([ours, theirs], tasks, runs)
    title = f"GetBatch of {sizes.from_shards:,} files out of {sizes.shards} shards"
    yield Row("training", title, "s", *read, OFFICIAL, 3.0)


def fill_small(bucket: Bucket, folder: Path, count: int) -> None:
    """The same contents as objects and as files."""
    chance = random.Random(3)
    for first in range(0, count, BATCH):
        group = [(i, chance.randbytes(SMALL)) for i in range(first, min(first + BATCH, count))]
        bucket.put_many([(f"small/{i:06}", content) for i, content in group])
        for i, content in group:
            (folder / f"{i:06}").write_bytes(content)


def pack(content: bytes, count: int) -> bytes:
    """A tar of so many equal files."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for i in range(count):
            info = tarfile.TarInfo(f"{i:05}.bin")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()
