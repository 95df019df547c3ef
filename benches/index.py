"""The index of a mountpath with many names, beside files on the same file system."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

from common import Row

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ["--release", "-p", "aistore-store", "--example", "index_rates"]
CACHE_MIB = 64
# What a node takes by default on a machine with 16 GiB or more.
LARGE_CACHE_MIB = 1024
STAT, CREATE = "a stat() of a file", "a file created"
# Figures per second of processor time, of all threads of the process: what is measured, its title, the rival's.
PER_CORE = [
    (
        "bare: lookups of all names, large cache, again",
        "lookups, names looked up before (goal 200,000)",
        STAT,
    ),
    ("bare: lookups of all names, large cache, first time", "lookups, first time", STAT),
    ("bare: lookups of present names, 1 threads", f"lookups, {CACHE_MIB} MiB of cache", STAT),
    ("bare: lookups of absent names, 1 thread", "lookups of absent names", ""),
    ("bare: inserts, 1 threads", "inserts, 1 thread (goal 50,000)", CREATE),
    ("bare: inserts, 32 threads", "group-committed inserts, 32 threads (goal 50,000)", CREATE),
    ("store: puts on top, 32 threads", "puts of 100 bytes, 32 threads", CREATE),
]
# Others, and by which of them they are judged.
VALUES = [
    ("store: listed in order, pages of 10,000", "objects listed", None),
    ("store: start after a clean stop", "start after a clean stop (goal 2 s)", None),
    ("store: start after a kill", "start after a kill", None),
    ("store: rebuilt objects", "objects of a rebuild (goal 200,000)", None),
    ("destroy: objects", "objects of a bucket that goes", None),
    (
        "destroy: neighbour's puts, during, p99",
        "neighbour's puts while a bucket goes, p99",
        "destroy: neighbour's puts, quiet, p99",
    ),
    (
        "destroy: neighbour's gets, during, p99",
        "neighbour's gets while a bucket goes, p99",
        "destroy: neighbour's gets, quiet, p99",
    ),
    ("destroy: on disk at the end", "on disk when it is gone", "destroy: on disk before the fill"),
]


class Figure(TypedDict):
    """One line of the example."""

    name: str
    unit: str
    value: float
    per_core_with_engine: float | None


def bench_index(names: int) -> Iterator[Row]:
    """All figures for so many names, each rate per second and core."""
    subprocess.run(["cargo", "build", "--quiet", *EXAMPLE], cwd=ROOT, check=True)
    # Where the operating system puts files that are large: /tmp may be memory.
    with tempfile.TemporaryDirectory(dir=ROOT / "target") as folder:
        sizes = {"objects": names, "calls": min(names, 300_000), "destroy": names // 5}
        flags = [text for size in sizes.items() for text in (f"--{size[0]}", str(size[1]))]
        command = ["cargo", "run", "--quiet", *EXAMPLE, "--", "--json", *flags]
        command += ["--cache-mib", str(CACHE_MIB), "--large-cache-mib", str(LARGE_CACHE_MIB)]
        command += ["--dir", folder]
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    lines: list[Figure] = [json.loads(line) for line in done.stdout.splitlines()]
    figures = {line["name"]: line for line in lines}
    rivals = {
        STAT: figures["files: stat of a present file, 1 thread"]["per_core_with_engine"],
        CREATE: figures["files: created, empty, 1 threads"]["per_core_with_engine"],
        "": None,
    }
    for name, title, rival in PER_CORE:
        ours = figures[name]["per_core_with_engine"] or 0.0
        yield Row("index", f"{names:,} names: {title}", "/s and core", ours, rivals[rival], rival)
    for name, title, other in VALUES:
        figure = figures[name]
        theirs = figures[other]["value"] if other else None
        rival = other.split(": ")[1] if other else ""
        yield Row(
            "index", f"{names:,} names: {title}", figure["unit"], figure["value"], theirs, rival
        )
