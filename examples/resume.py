"""Stop in the middle of an epoch with 2 ranks, and go on with 3 and other workers: no sample twice, none lost.

python examples/resume.py
"""

from __future__ import annotations

import json
import sys

import aistore
from aistore.data import DataLoader, Snapshot, SnapshotDataset

SAMPLES = 1000


def as_list(batch: list) -> list:
    """Leaves a batch as it is."""
    return batch


def run(
    snapshot: Snapshot, ranks: int, workers: int, state: dict | None, steps: int
) -> tuple[list[str], dict]:
    """What all ranks see in some steps, and where they stand."""
    loaders = [
        DataLoader(
            SnapshotDataset(snapshot),
            16,
            seed=7,
            rank=r,
            world_size=ranks,
            num_workers=workers,
            collate_fn=as_list,
        )
        for r in range(ranks)
    ]
    if state:
        for loader in loaders:
            loader.load_state_dict(state)
    seen: list[str] = []
    for loader in loaders:
        for step, batch in enumerate(loader, 1):
            seen += [sample["__key__"] for sample in batch]
            if step == steps:
                break
    return seen, loaders[0].state_dict()


def main() -> int:
    """Runs both parts."""
    with aistore.LocalCluster() as cluster:
        bucket = cluster.client().bucket("resume").create()
        bucket.put_many([(f"sample-{i:04}", b"%d" % i) for i in range(SAMPLES)])
        snapshot = Snapshot.create(bucket, "v1", "sample-")
        before, state = run(snapshot, ranks=2, workers=2, state=None, steps=10)
        print(f"2 ranks x 2 workers: {len(before)} samples, state {json.dumps(state)}")
        after, state = run(snapshot, ranks=3, workers=0, state=state, steps=SAMPLES)
        print(f"3 ranks x 0 workers: {len(after)} samples, then epoch {state['epoch']}")
        right = len(before) + len(after) == len({*before, *after}) == SAMPLES
        print("every sample once" if right else "WRONG")
        return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
