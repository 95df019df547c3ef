"""Single GETs from one thread: our package on our cluster, connectors of others on SeaweedFS."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from common import KIB, MIB, SDK_PYTHON, Row, Worker, interleave
from rivals import put_s3, seaweed, version

import aistore

SIZES = ((KIB, "1 KiB", 500), (64 * KIB, "64 KiB", 300), (MIB, "1 MiB", 100))
RIVALS = (("obstore", "obstore"), ("s3torch", "s3torchconnector"))
BUCKET = "bench-connectors"
SCRIPT = "connector_worker.py"


def bench_connectors(cluster: aistore.LocalCluster, runs: int) -> Iterator[Row]:
    """One client after the other, warmed, in A B C C B A order."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        endpoint = stack.enter_context(seaweed(folder))
        rivals = [(kind, name) for kind, name in RIVALS if endpoint and is_installed(name)]
        bucket = cluster.client().bucket(BUCKET).create()
        stack.callback(bucket.delete)
        contents = [(f"{size}-{i:04}", size) for size, _, count in SIZES for i in range(count)]
        bucket.put_many([(name, os.urandom(size)) for name, size in contents])
        if endpoint:
            put_s3(endpoint, f"/{BUCKET}", None)
            for name, size in contents:
                put_s3(endpoint, f"/{BUCKET}/{name}", os.urandom(size))
        sides = [Worker(sys.executable, "ours", cluster.endpoint, BUCKET, script=SCRIPT)]
        sides += [
            Worker(SDK_PYTHON, kind, str(endpoint), BUCKET, script=SCRIPT) for kind, _ in rivals
        ]
        for side in sides:
            stack.callback(side.close)
        for size, label, count in SIZES:
            task = {"size": size, "count": count}
            ours, *theirs = (t / count * 1e3 for t in interleave(sides, [task] * len(sides), runs))
            for (_, name), other in zip(rivals, theirs, strict=True):
                rival = f"{name} {version(name)} on SeaweedFS"
                yield Row("connectors", f"single GET {label}", "ms", ours, other, rival, 1.0)
            if not rivals:
                yield Row("connectors", f"single GET {label}", "ms", ours, None, "none installed")


def is_installed(package: str) -> bool:
    """Whether the rivals' environment has it."""
    done = subprocess.run([SDK_PYTHON, "-c", f"import {package}"], capture_output=True, check=False)
    return done.returncode == 0
