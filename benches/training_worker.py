"""One side of the comparisons that concern training: our package, the official SDK, or files on a local disk.

The same file runs under our package and under the official SDK: `training_worker.py ENDPOINT BUCKET FOLDER`. Reads one
JSON task per line, does it once, and answers with one JSON line: the seconds taken.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch.utils.data

from aistore.sdk import ArchiveConfig, Bucket, Client

LOADER_BATCH = 256


class Files(torch.utils.data.Dataset[bytes]):
    """Files of a folder, by number."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder, self.count = folder, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> bytes:
        return (self.folder / f"{index:06}").read_bytes()


def keep(batch: list[Any]) -> list[Any]:
    """Leaves samples as they are."""
    return batch


def timed(batches: Iterator[list[Any]], samples: int) -> float:
    """Seconds of a pass."""
    began = time.perf_counter()
    seen = sum(len(batch) for batch in batches)
    if seen != samples:
        raise RuntimeError(f"{seen} samples instead of {samples}")
    return time.perf_counter() - began


def epoch(bucket: Bucket, samples: int, workers: int, kind: str) -> float:
    """An epoch in random order: over a snapshot (ours only), or over the names of a map data set."""
    if kind == "snapshot":
        from aistore.data import DataLoader, Snapshot, SnapshotDataset

        dataset = SnapshotDataset(Snapshot(bucket, "bench"))
        return timed(
            iter(DataLoader(dataset, LOADER_BATCH, num_workers=workers, collate_fn=keep)), samples
        )
    from aistore.pytorch import AISMapDataset

    # `small/00` are the first 10,000.
    return shuffled(AISMapDataset([bucket], {bucket: "small/00"}), samples, workers)


def shuffled(dataset: Any, samples: int, workers: int) -> float:
    """An epoch of PyTorch's own loader."""
    loader = torch.utils.data.DataLoader(
        dataset, LOADER_BATCH, shuffle=True, num_workers=workers, collate_fn=keep
    )
    return timed(iter(loader), samples)


def singles(bucket: Bucket, count: int) -> float:
    """GETs one after the other."""
    began = time.perf_counter()
    for i in range(count):
        bucket.object(f"small/{i:06}").get_reader().read_all()
    return time.perf_counter() - began


def batch(client: Client, bucket: Bucket, count: int) -> float:
    """One GetBatch, every byte taken."""
    began = time.perf_counter()
    request = client.batch([f"small/{i:06}" for i in range(count)], bucket=bucket)
    seen = sum(bool(content) for _, content in request.get())
    if seen != count:
        raise RuntimeError(f"{seen} entries instead of {count}")
    return time.perf_counter() - began


def build(client: Client, bucket: Bucket, count: int) -> float:
    """Makes a request, without sending it; the best of many, as it takes so little."""
    names = [f"small/{i:06}" for i in range(count)]

    def once() -> float:
        began = time.perf_counter()
        client.batch(names, bucket=bucket)
        return time.perf_counter() - began

    return min(once() for _ in range(20))


def parallel(bucket: Bucket, workers: int) -> float:
    """A large object into numpy, by parallel ranges."""
    began = time.perf_counter()
    with bucket.object("large").get_reader(num_workers=workers).read_all() as buffer:
        content = np.frombuffer(buffer.buf, np.uint8)
        touched = int(content[:: 1 << 20].sum())
        del content
    if not touched:
        raise RuntimeError("nothing but zeros")
    return time.perf_counter() - began


def members(bucket: Bucket, chosen: list[str], shard: str) -> float:
    """Files of a shard, one after the other."""
    began = time.perf_counter()
    for name in chosen:
        config = ArchiveConfig(archpath=name)
        bucket.object(shard).get_reader(archive_config=config).read_all()
    return time.perf_counter() - began


def plain(bucket: Bucket, chosen: list[str]) -> float:
    """Objects, one after the other."""
    began = time.perf_counter()
    for name in chosen:
        bucket.object(name).get_reader().read_all()
    return time.perf_counter() - began


def from_shards(client: Client, bucket: Bucket, shards: int, files: int, count: int) -> float:
    """One GetBatch of files out of many shards, in random order."""
    chance = random.Random(1)
    request = client.batch(bucket=bucket)
    for _ in range(count):
        shard = bucket.object(f"shards/{chance.randrange(shards):03}.tar")
        request.add(shard, archpath=f"{chance.randrange(files):05}.bin")
    began = time.perf_counter()
    seen = sum(bool(content) for _, content in request.get())
    if seen != count:
        raise RuntimeError(f"{seen} entries instead of {count}")
    return time.perf_counter() - began


def run(client: Client, bucket: Bucket, folder: Path, task: dict[str, Any]) -> float:
    """Does one task."""
    match task.pop("op"):
        case "epoch":
            return epoch(bucket, **task)
        case "files":
            return shuffled(Files(folder, task["samples"]), task["samples"], task["workers"])
        case "singles":
            return singles(bucket, **task)
        case "batch":
            return batch(client, bucket, **task)
        case "build":
            return build(client, bucket, **task)
        case "parallel":
            return parallel(bucket, **task)
        case "members":
            return members(bucket, **task)
        case "plain":
            return plain(bucket, **task)
        case "from_shards":
            return from_shards(client, bucket, **task)
    raise ValueError("unknown op")


def main() -> None:
    """Answers tasks until standard input ends."""
    endpoint, name, folder = sys.argv[1:]
    client = Client(endpoint)
    bucket = client.bucket(name)
    for line in sys.stdin:
        print(
            json.dumps({"seconds": run(client, bucket, Path(folder), json.loads(line))}), flush=True
        )


if __name__ == "__main__":
    main()
