"""Single GETs with one client. The same file runs under our package and beside the connectors of others.

Called with the client's name, its endpoint and the bucket; then as `worker.py`: a task of JSON per line,
`{"size", "count"}`, an answer per line.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any


def ours(endpoint: str, bucket: str) -> Callable[[str], Any]:
    """Our package."""
    from aistore.sdk import Client

    objects = Client(endpoint).bucket(bucket)
    return lambda name: objects.object(name).get_reader().read_all()


def obstore(endpoint: str, bucket: str) -> Callable[[str], Any]:
    """obstore, whose answer is a buffer."""
    from obstore.store import S3Store

    store = S3Store(
        bucket,
        endpoint=endpoint,
        region="us-east-1",
        skip_signature=True,
        client_options={"allow_http": True},
    )
    return lambda name: store.get(name).bytes()


def s3torch(endpoint: str, bucket: str) -> Callable[[str], Any]:
    """AWS's connector for PyTorch."""
    from s3torchconnector._s3client import S3Client, S3ClientConfig

    config = S3ClientConfig(unsigned=True, force_path_style=True)
    client = S3Client("us-east-1", endpoint=endpoint, s3client_config=config)
    return lambda name: client.get_object(bucket, name).read()


def main() -> int:
    """Does tasks until there are none."""
    kind, endpoint, bucket = sys.argv[1:4]
    read = {"ours": ours, "obstore": obstore, "s3torch": s3torch}[kind](endpoint, bucket)
    for line in sys.stdin:
        task = json.loads(line)
        size, count = task["size"], task["count"]
        names = [f"{size}-{i:04}" for i in range(count)]
        started = time.perf_counter()
        received = sum(len(read(name)) for name in names)
        seconds = time.perf_counter() - started
        if received != size * count:
            raise RuntimeError(f"expected {size * count} bytes, got {received}")
        print(json.dumps({"seconds": seconds}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
