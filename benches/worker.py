"""One side of a comparison. The same file runs under our package and under the official SDK.

Reads one JSON task per line, does it once, answers with one JSON line: seconds taken and bytes or
entries moved. Preparation (random content, object names) is outside the measured span.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from aistore.sdk import Bucket, Client

_payloads: dict[int, bytes] = {}


def payload(size: int) -> bytes:
    """The same random bytes for every object of a size."""
    return _payloads.setdefault(size, os.urandom(size))


def put(bucket: Bucket, size: int, count: int, prefix: str) -> tuple[float, int]:
    """PUTs one after another from one thread."""
    content = payload(size)
    started = time.perf_counter()
    for i in range(count):
        bucket.object(f"{prefix}{i:06}").get_writer().put_content(content)
    return time.perf_counter() - started, count * size


def get(bucket: Bucket, size: int, count: int, prefix: str) -> tuple[float, int]:
    """GETs into memory one after another from one thread."""
    received = 0
    started = time.perf_counter()
    for i in range(count):
        received += len(bucket.object(f"{prefix}{i:06}").get_reader().read_all())
    seconds = time.perf_counter() - started
    if received != count * size:
        raise RuntimeError(f"expected {count * size} bytes, got {received}")
    return seconds, received


def batch(client: Client, bucket: Bucket, count: int, prefix: str) -> tuple[float, int]:
    """One GetBatch over `count` objects, every byte consumed."""
    started = time.perf_counter()
    request = client.batch([f"{prefix}{i:06}" for i in range(count)], bucket=bucket)
    received = sum(len(content) for _, content in request.get())
    return time.perf_counter() - started, received


def listing(bucket: Bucket) -> tuple[float, int]:
    """Lists everything and touches name and size of every entry."""
    started = time.perf_counter()
    total = names = 0
    for entry in bucket.list_all_objects(props="name,size"):
        total += entry.size
        names += len(entry.name)
    count = len(bucket.list_objects(page_size=1).entries)
    if not (count and names):
        raise RuntimeError("empty listing")
    return time.perf_counter() - started, names


def run(client: Client, task: dict[str, Any]) -> tuple[float, int]:
    """Does one task."""
    bucket = client.bucket(task["bucket"])
    match task["op"]:
        case "put":
            return put(bucket, task["size"], task["count"], task["prefix"])
        case "get":
            return get(bucket, task["size"], task["count"], task["prefix"])
        case "batch":
            return batch(client, bucket, task["count"], task["prefix"])
        case "list":
            return listing(bucket)
    raise ValueError(f"unknown op {task['op']!r}")


def main() -> None:
    """Answers tasks until standard input ends."""
    client = Client(sys.argv[1])
    for line in sys.stdin:
        seconds, moved = run(client, json.loads(line))
        print(json.dumps({"seconds": seconds, "moved": moved}), flush=True)


if __name__ == "__main__":
    main()
