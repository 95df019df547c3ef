"""The load generator: building it, running it, and what the servers spend meanwhile."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common import ROOT

import aistore
from aistore.sdk import Bucket

CONNECTIONS = 32
SECONDS = 4.0


@dataclass
class Side:
    """A server under load: what to ask of it, and whose CPU time counts."""

    urls: Path
    pids: Sequence[int] = ()


@dataclass
class Measured:
    """Medians over all runs of one side."""

    requests_per_s: float
    gib_per_s: float
    cpu_us: float
    """CPU time of the server, user and system, for each request."""
    p99_ms: float


def build_loadgen() -> Path:
    """Builds the load generator into the shared target directory."""
    subprocess.run(
        ["cargo", "build", "--release", "--quiet", "--manifest-path", ROOT / "benches/loadgen/Cargo.toml",
         "--target-dir", ROOT / "target"],
        check=True,
    )  # fmt: skip
    return ROOT / "target" / "release" / "loadgen"


def load(
    generator: Path,
    urls: Path,
    *options: str,
    connections: int = CONNECTIONS,
    seconds: float = SECONDS,
) -> dict[str, float]:
    """One timed run of the generator."""
    command = [generator, urls, str(connections), str(seconds), *options]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, float] = json.loads(done.stdout)
    if result["errors"]:
        first = (done.stderr.splitlines() or ["?"])[0]
        raise RuntimeError(f"{result['errors']} failed requests against {urls}: {first}")
    return result


def map_aware(client: aistore.Client) -> str:
    """The header by which a target knows that a writer chose it by the cluster map."""
    return f"ais-smap-version: {client.cluster().get_info().version}"


def compare(
    generator: Path,
    sides: Sequence[Side],
    runs: int,
    *options: str,
    connections: int = CONNECTIONS,
    seconds: float = SECONDS,
) -> list[Measured]:
    """Runs all sides in A B B A order; the first, unmeasured turn warms them."""
    found: list[list[Measured]] = [[] for _ in sides]
    for turn in range(runs + 1):
        for i in range(len(sides)) if turn % 2 else reversed(range(len(sides))):
            before = cpu_seconds(sides[i].pids)
            result = load(
                generator, sides[i].urls, *options, connections=connections, seconds=seconds
            )
            spent = cpu_seconds(sides[i].pids) - before
            if turn:
                found[i].append(
                    Measured(
                        result["requests"] / result["seconds"],
                        result["bytes"] / result["seconds"] / 2**30,
                        spent / max(result["requests"], 1) * 1e6,
                        result["p99_us"] / 1e3,
                    )
                )
    return [median(side) for side in found]


def median(values: Sequence[Measured]) -> Measured:
    """The median of each figure."""
    return Measured(
        statistics.median(one.requests_per_s for one in values),
        statistics.median(one.gib_per_s for one in values),
        statistics.median(one.cpu_us for one in values),
        statistics.median(one.p99_ms for one in values),
    )


def cpu_seconds(pids: Sequence[int]) -> float:
    """User and system time of processes so far."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def owner_urls(client: aistore.Client, bucket: Bucket, names: Sequence[str]) -> list[str]:
    """`HOST:PORT /path` of each object at the node that owns it, as a map-aware client asks."""
    smap = client.cluster().get_info()
    lines = []
    for name in names:
        owner = smap.get_target_for_object(bucket.object(name).uname).public_net.direct_url
        path = urllib.parse.urlsplit(bucket.object(name).get_url()).path
        lines.append(f"{owner.removeprefix('http://')} {path}")
    return lines
