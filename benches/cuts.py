"""Cuts of recordings: a batch of ours against Lhotse's AISBatchLoader on the same cluster."""

from __future__ import annotations

import io
import os
import random
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

from common import Row

import aistore

RATE = 16_000
RECORDING_S = 300
RECORDINGS = 24
BATCH = 32
CUT_S = 5.0


def bench_cuts(cluster: aistore.LocalCluster, runs: int) -> Iterator[Row]:
    """Batches of 5 s out of recordings of 5 min, as arrays."""
    import numpy as np  # noqa: PLC0415 - only this section needs what follows
    import soundfile  # noqa: PLC0415
    from lhotse import CutSet, MonoCut, Recording  # noqa: PLC0415
    from lhotse.ais import AISBatchLoader  # noqa: PLC0415
    from lhotse.audio import AudioSource  # noqa: PLC0415

    from aistore.lhotse import CutLoader  # noqa: PLC0415

    os.environ["AIS_ENDPOINT"] = cluster.endpoint
    client = cluster.client()
    bucket = client.bucket("bench-cuts").create()
    frames = RECORDING_S * RATE
    noise = np.random.default_rng(0).normal(0, 0.1, frames)
    try:
        for kind in ("wav", "flac"):
            out = io.BytesIO()
            soundfile.write(out, noise, RATE, subtype="PCM_16", format=kind)
            for number in range(RECORDINGS):
                name = f"{number}.{kind}"
                bucket.object(name).get_writer().put_content(out.getvalue())

            def recording(number: int, kind: str = kind) -> Recording:
                url = f"ais://{bucket.name}/{number}.{kind}"
                source = AudioSource("url", [0], url)
                return Recording(f"{number}", [source], RATE, frames, float(RECORDING_S))

            def cuts(seed: int, make: Callable[[int], Recording] = recording) -> CutSet:
                pick = random.Random(seed)
                return CutSet.from_cuts(
                    MonoCut(
                        str(at),
                        round(pick.uniform(0, RECORDING_S - CUT_S), 3),
                        CUT_S,
                        0,
                        recording=make(pick.randrange(RECORDINGS)),
                    )
                    for at in range(BATCH)
                ).to_eager()

            ours = CutLoader(client)

            def mine(chosen: CutSet, loader: CutLoader = ours) -> list[Any]:
                return loader.load(chosen)

            def theirs(chosen: CutSet) -> list[Any]:
                return [cut.load_audio() for cut in AISBatchLoader()(chosen)]

            for a, b in zip(mine(cuts(0)), theirs(cuts(0)), strict=True):
                if not np.array_equal(a, b):
                    raise RuntimeError(f"{kind}: the two sides give different samples")
            yield compare(kind, runs, lambda n: mine(cuts(n)), lambda n: theirs(cuts(n)))
    finally:
        bucket.delete(missing_ok=True)


def compare(
    kind: str, runs: int, ours: Callable[[int], object], theirs: Callable[[int], object]
) -> Row:
    """Medians of both sides, in A B B A order, each turn with cuts of its own."""
    sides = (ours, theirs)
    seconds: tuple[list[float], list[float]] = ([], [])
    for turn in range(runs + 1):
        for side in (0, 1) if turn % 2 == 0 else (1, 0):
            began = time.perf_counter()
            sides[side](turn)
            # The first turn warms both.
            if turn:
                seconds[side].append(time.perf_counter() - began)
    name = f"{BATCH} cuts of 5 s out of 5 min of {kind}"
    medians = [statistics.median(times) for times in seconds]
    return Row("cuts", name, "s", medians[0], medians[1], "Lhotse AISBatchLoader", 3.0)
