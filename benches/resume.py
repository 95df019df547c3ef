"""Going on in the middle of a large data set: a position that is computed against samples that are skipped."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import torch.utils.data
from common import MIB, Row
from torchdata.stateful_dataloader import StatefulDataLoader

import aistore
from aistore.data import DataLoader, Snapshot, SnapshotDataset

SAMPLES = 20_000_000
BATCH = 256
OBJECTS = 4
SAMPLE_BYTES = 10


class Numbers(torch.utils.data.Dataset[int]):
    """As many samples, that cost nothing: what the rival's loader takes is its own."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> int:
        return index

    def __getitems__(self, indices: list[int]) -> list[int]:
        return indices


def keep(batch: list[Any]) -> list[Any]:
    """Leaves samples as they are."""
    return batch


def bench_resume(samples: int, runs: int) -> Iterator[Row]:
    """Loads a state at the half of an epoch and takes a batch: with ours, and with torchdata's loader."""
    with aistore.LocalCluster(targets=2) as cluster, tempfile.TemporaryDirectory() as cache:
        os.environ["AIS_SNAPSHOT_CACHE"] = cache
        bucket = cluster.client().bucket("bench-resume").create()
        for at in range(OBJECTS):
            content = os.urandom(samples * SAMPLE_BYTES // OBJECTS)
            bucket.object(f"s/{at}").get_writer().put_content(content)
        began = time.perf_counter()
        snapshot = Snapshot.create(bucket, "bench", "s/", range_bytes=SAMPLE_BYTES)
        title = f"snapshot of {len(snapshot):,} samples"
        yield Row("resume", f"{title} made and fetched", "s", time.perf_counter() - began, None, "")
        size = snapshot.path.stat().st_size / MIB
        yield Row("resume", f"{title}, its file", "MiB", size, None, "")
        half = len(snapshot) // 2
        name = f"first batch at {half:,} of {len(snapshot):,}"
        theirs = statistics.median(skipped(len(snapshot), half) for _ in range(runs))
        rival = "torchdata StatefulDataLoader, samples from memory"
        ours = statistics.median(resumed(bucket, half, 0) for _ in range(runs))
        yield Row("resume", f"{name} (goal 1 s)", "s", ours, theirs, rival)
        ours = statistics.median(resumed(bucket, half, 2) for _ in range(runs))
        yield Row("resume", f"{name}, 2 workers (goal 1 s)", "s", ours, theirs, f"{rival}, none")


def resumed(bucket: Any, position: int, workers: int) -> float:
    """Seconds from the name of the snapshot to a batch."""
    began = time.perf_counter()
    dataset = SnapshotDataset(Snapshot(bucket, "bench"))
    loader = DataLoader(dataset, BATCH, seed=1, num_workers=workers, collate_fn=keep)
    loader.load_state_dict({**loader.state_dict(), "position": position})
    batch = next(iter(loader))
    seconds = time.perf_counter() - began
    if len(batch) != BATCH:
        raise RuntimeError(f"a batch of {len(batch)} samples")
    return seconds


def skipped(samples: int, position: int) -> float:
    """Seconds that the rival takes from a state to a batch."""
    loader = stateful(samples)
    next(iter(loader))
    state = loader.state_dict()
    # As saved at that position, without reading half of an epoch here.
    state["_num_yielded"] = state["_sampler_iter_yielded"] = position // BATCH
    sampler = state["_sampler_iter_state"]
    sampler["samples_yielded"] = sampler["sampler_iter_state"]["yielded"] = position
    began = time.perf_counter()
    loader = stateful(samples)
    loader.load_state_dict(state)
    batch = next(iter(loader))
    seconds = time.perf_counter() - began
    if len(batch) != BATCH:
        raise RuntimeError(f"a batch of {len(batch)} samples")
    return seconds


def stateful(samples: int) -> Any:
    """A full shuffle as torchdata does it."""
    generator = torch.Generator()
    generator.manual_seed(1)
    return StatefulDataLoader(
        Numbers(samples), BATCH, shuffle=True, generator=generator, collate_fn=keep
    )
