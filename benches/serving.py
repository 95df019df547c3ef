"""One target against nginx with the same bytes as static files, and against the disk itself.

The same generator and connections ask both, straight at the node, in a namespace with the congestion control
of a local network.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from common import KIB, MIB, Row
from load import Measured, Side, build_loadgen, compare, load, map_aware, owner_urls
from rivals import OPEN_FILE_CACHE, Nginx, find_nginx, nginx

import aistore
from aistore.sdk import Bucket

CONNECTIONS = 64
SMALL = 100_000
HOT = 1000
HOT_CONNECTIONS = 4
COLD_CONNECTIONS = 2
COLD_BYTES = 64 * MIB
GIB = 1 << 30
# File names beside each other; more make a directory slow to look at.
PER_FOLDER = 1000


@dataclass
class Stage:
    """What all scenarios need."""

    cluster: aistore.LocalCluster
    bucket: Bucket
    rivals: list[Nginx]
    generator: Path
    folder: Path
    runs: int


def bench_serving(runs: int, small: int = SMALL) -> Iterator[Row]:
    """All scenarios on a target of their own."""
    generator, binary = build_loadgen(), find_nginx()
    with (
        tempfile.TemporaryDirectory() as temporary,
        aistore.LocalCluster(targets=1, root=Path(temporary) / "cluster") as cluster,
        ExitStack() as stack,
    ):
        folder = Path(temporary)
        files = folder / "files"
        files.mkdir()
        rivals = []
        if binary:
            for name, cache in (("plain", ""), ("cached", OPEN_FILE_CACHE)):
                rivals.append(stack.enter_context(nginx(binary, folder / name, files, cache)))
        bucket = cluster.client().bucket("bench-serving").create()
        stage = Stage(cluster, bucket, rivals, generator, folder, runs)
        yield from small_objects(stage, small)
        yield from large_objects(stage, MIB, 200, "1 MiB")
        yield from large_objects(stage, COLD_BYTES, 8, "64 MiB")
        yield from neighbour(stage)
        yield from against_the_disk(stage)


def fill(stage: Stage, label: str, size: int, count: int) -> list[Side]:
    """Puts the same objects on all sides; what to ask of each, in random order."""
    names = [f"{label}/{i // PER_FOLDER:03}/{i:06}" for i in range(count)]
    step = max(1, 64 * MIB // size)
    for first in range(0, count, step):
        contents = [(name, os.urandom(size)) for name in names[first : first + step]]
        stage.bucket.put_many(contents)
        if stage.rivals:
            for name, content in contents:
                path = stage.rivals[0].root / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
    # What is being written back would disturb whoever is measured first.
    os.sync()
    random.Random(1).shuffle(names)
    lines = owner_urls(stage.cluster.client(), stage.bucket, names)
    sides = [Side(stage.folder / f"{label}-ours", stage.cluster.pids)]
    sides[0].urls.write_text("\n".join(lines))
    for number, rival in enumerate(stage.rivals):
        side = Side(stage.folder / f"{label}-{number}", rival.pids)
        side.urls.write_text("\n".join(f"{rival.host} /{name}" for name in names))
        sides.append(side)
    return sides


def small_objects(stage: Stage, count: int) -> Iterator[Row]:
    """GET and HEAD of many small objects, in random order."""
    sides = fill(stage, "small", 10 * KIB, count)
    found = compare(stage.generator, sides, stage.runs, connections=CONNECTIONS)
    ours, others = found[0], found[1:]
    title = f"GET 10 KiB of {count:,}, {CONNECTIONS} connections"
    for other, rival in pairs(others):
        rate = other and other.requests_per_s
        goal = 0.9 if rival == RIVALS[0] else None
        yield Row("serving", title, "req/s", ours.requests_per_s, rate, rival, goal)
        goal = 1.0 if rival == RIVALS[0] else None
        cpu = other and other.cpu_us
        yield Row("serving", f"{title}, server CPU", "us", ours.cpu_us, cpu, rival, goal)
    found = compare(stage.generator, sides, stage.runs, "--method", "HEAD", connections=CONNECTIONS)
    ours, others = found[0], found[1:]
    title = f"HEAD, {CONNECTIONS} connections"
    for other, rival in pairs(others):
        rate = other and other.requests_per_s
        goal = 0.8 if rival == RIVALS[0] else None
        yield Row("serving", title, "req/s", ours.requests_per_s, rate, rival, goal)


def large_objects(stage: Stage, size: int, count: int, label: str) -> Iterator[Row]:
    """GET of objects that the page cache holds."""
    sides = fill(stage, label.replace(" ", ""), size, count)[:2]
    found = compare(stage.generator, sides, stage.runs, connections=CONNECTIONS)
    ours, others = found[0], found[1:]
    title = f"GET {label}, {CONNECTIONS} connections"
    for other, rival in pairs(others):
        rate = other and other.gib_per_s
        yield Row("serving", title, "GiB/s", ours.gib_per_s, rate, rival, 0.9)
        cpu = other and other.cpu_us
        yield Row("serving", f"{title}, server CPU", "us", ours.cpu_us, cpu, rival)


RIVALS = ("nginx", "nginx, open_file_cache")


def pairs(others: Sequence[Measured]) -> Iterator[tuple[Measured | None, str]]:
    """Each rival's figures with its name."""
    if not others:
        yield None, "nginx not installed"
    yield from zip(others, RIVALS, strict=False)


def neighbour(stage: Stage) -> Iterator[Row]:
    """What hot small objects notice of large ones that come from the disk."""
    hot = fill(stage, "hot", 10 * KIB, HOT)[:2]
    cold = fill(stage, "cold", COLD_BYTES, 16)[:2]
    factors = []
    for i in range(len(hot)):
        factor = []
        for _ in range(stage.runs):
            alone = load(stage.generator, hot[i].urls, connections=HOT_CONNECTIONS)["p99_us"]
            with streaming(stage, cold[i]):
                beside = load(stage.generator, hot[i].urls, connections=HOT_CONNECTIONS)["p99_us"]
            factor.append(beside / alone)
        factors.append(statistics.median(factor))
    title = "p99 of hot 10 KiB beside cold 64 MiB, times that alone (goal 3)"
    theirs = factors[1] if len(factors) > 1 else None
    yield Row("serving", title, "x", factors[0], theirs, RIVALS[0] if theirs else "")


@contextmanager
def streaming(stage: Stage, cold: Side) -> Iterator[None]:
    """Reads large objects that are taken out of the page cache again and again."""
    over = threading.Event()
    files = [path for path in stage.folder.rglob("*") if is_large(path)]

    def forget() -> None:
        while not over.wait(0.05):
            for path in files:
                evict(path)

    command = [stage.generator, cold.urls, str(COLD_CONNECTIONS), "600"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as reader:
        thread = threading.Thread(target=forget)
        thread.start()
        try:
            time.sleep(0.5)
            yield
        finally:
            over.set()
            thread.join()
            reader.terminate()


def is_large(path: Path) -> bool:
    """Whether this is the file of a large object, ours or the rival's."""
    try:
        return path.is_file() and path.stat().st_size >= COLD_BYTES and "segment" not in path.name
    except FileNotFoundError:
        return False


def evict(path: Path) -> None:
    """Takes a file out of the page cache."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)


def against_the_disk(stage: Stage) -> Iterator[Row]:
    """PUT of 1 GiB that is on the disk when it is acknowledged, against dd with fdatasync."""
    client = stage.cluster.client()
    bucket = client.bucket("bench-dd")
    bucket.create(props={"write_policy": {"data": "immediate"}})
    source, copy = stage.folder / "source", stage.folder / "copy"
    with source.open("wb") as file:
        for _ in range(GIB // MIB):
            file.write(os.urandom(MIB))
    urls = stage.folder / "put"
    urls.write_text("\n".join(owner_urls(client, bucket, ["large"])))
    times: list[list[float]] = [[], []]

    def put() -> float:
        # Each connection begins one request, however short the time.
        options = ["--method", "PUT", "--body", str(GIB), map_aware(client)]
        return load(stage.generator, urls, *options, connections=1, seconds=0.001)["seconds"]

    def dd() -> float:
        command = ["dd", f"if={source}", f"of={copy}", "bs=1M", "conv=fdatasync", "status=none"]
        started = time.perf_counter()
        subprocess.run(command, check=True)
        return time.perf_counter() - started

    for turn in range(stage.runs):
        for i in (0, 1) if turn % 2 else (1, 0):
            times[i].append((put, dd)[i]())
            os.sync()
    ours, theirs = map(statistics.median, times)
    yield Row("serving", "PUT 1 GiB, synced", "s", ours, theirs, "dd conv=fdatasync", 0.8)
    bucket.delete()


def main() -> None:
    """Prints what a try with few objects gives."""
    for row in bench_serving(1, 2000):
        print(json.dumps(row.__dict__))


if __name__ == "__main__":
    main()
