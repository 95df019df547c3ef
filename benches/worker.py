"""One side of a comparison. The same file runs under our package and under the official SDK.

Reads one JSON task per line, does it once, answers with one JSON line: seconds taken and bytes or
entries moved. Preparation (random content, object names) is outside the measured span.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
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


def batch_assembled(client: Client, bucket: Bucket, count: int, prefix: str) -> tuple[float, int]:
    """One GetBatch that a designated target assembles, the archive read and not unpacked."""
    started = time.perf_counter()
    request = client.batch([f"{prefix}{i:06}" for i in range(count)], bucket=bucket)
    archive = request.get(raw=True).read()
    return time.perf_counter() - started, len(archive)


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


def first_page(bucket: Bucket, size: int) -> tuple[float, int]:
    """Asks for the first page of a listing; size 0 is the largest page."""
    started = time.perf_counter()
    page = bucket.list_objects(props="name,size", page_size=size)
    return time.perf_counter() - started, len(page.entries)


def decode(bucket: Bucket, *, build: bool) -> tuple[float, int]:
    """Decodes the pages of a listing, fetched before, as the official SDK does; optionally with an Object each."""
    from aistore.sdk.types import BucketList
    from aistore.sdk.utils import decode_response

    answers = list(pages(bucket))
    count = 0
    started = time.perf_counter()
    for answer in answers:
        entries = decode_response(BucketList, answer).entries
        if build:
            for entry in entries:
                entry.object = bucket.object(entry.name)
        count += len(entries)
    return time.perf_counter() - started, count


def pages(bucket: Bucket) -> Iterator[Any]:
    """Answers with all pages of a listing, undecoded."""
    import requests

    from aistore.sdk.types import BucketList
    from aistore.sdk.utils import decode_response

    value = {
        "prefix": "",
        "pagesize": 0,
        "uuid": "",
        "props": "name,size",
        "flags": "0",
        "target": "",
    }
    token = ""
    while True:
        message = {"action": "list", "name": "", "value": value | {"continuation_token": token}}
        answer = requests.get(
            f"{sys.argv[1]}/v1/buckets/{bucket.name}",
            params={"provider": "ais"},
            json=message,
            headers={"Accept": "application/msgpack"},
            timeout=60,
        )
        yield answer
        token = decode_response(BucketList, answer).continuation_token
        if not token:
            return


def heads(bucket: Bucket, count: int) -> tuple[float, int]:
    """HEADs from eight threads."""
    threads = 8

    def some(first: int) -> None:
        for i in range(first, count, threads):
            bucket.object(f"o{i % 1000}").head()

    started = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(some, range(threads)))
    return time.perf_counter() - started, count


def put_file(bucket: Bucket, path: str) -> tuple[float, int]:
    """One plain PUT."""
    started = time.perf_counter()
    bucket.object("large").get_writer().put_file(path)
    return time.perf_counter() - started, os.path.getsize(path)


def multipart(bucket: Bucket, path: str, parts: int) -> tuple[float, int]:
    """One upload in parallel parts, each the whole file."""
    started = time.perf_counter()
    upload = bucket.object("large").multipart_upload().create()
    with ThreadPoolExecutor(parts) as pool:
        list(
            pool.map(
                lambda writer: writer.put_file(path),
                [upload.add_part(n) for n in range(1, parts + 1)],
            )
        )
    upload.complete()
    return time.perf_counter() - started, os.path.getsize(path) * parts


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
        case "batch_assembled":
            return batch_assembled(client, bucket, task["count"], task["prefix"])
        case "list":
            return listing(bucket)
        case "first_page":
            return first_page(bucket, task["size"])
        case "decode" | "decode_and_build":
            return decode(bucket, build=task["op"] == "decode_and_build")
        case "heads":
            return heads(bucket, task["count"])
        case "put_file":
            return put_file(bucket, task["path"])
        case "multipart":
            return multipart(bucket, task["path"], task["parts"])
    raise ValueError(f"unknown op {task['op']!r}")


def main() -> None:
    """Answers tasks until standard input ends."""
    client = Client(sys.argv[1])
    for line in sys.stdin:
        seconds, moved = run(client, json.loads(line))
        print(json.dumps({"seconds": seconds, "moved": moved}), flush=True)


if __name__ == "__main__":
    main()
