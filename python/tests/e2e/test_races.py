"""Many writers and readers on the same names: every read gives one whole version, and only one may be first."""

from __future__ import annotations

import contextlib
import hashlib
import random
import struct
import threading
import time
import zlib
from collections.abc import Callable

import pytest
from support import Wire

import aistore
from aistore.sdk import Bucket, Client
from aistore.sdk.errors import AISError, ErrObjNotFound

NAMES = [f"dir/{i:02}" for i in range(50)]
WRITERS = READERS = 8
HEADER = struct.Struct("<4sIIII")  # magic, writer, sequence, size of the rest, crc32 of the rest
SIZES = [0, 1, 100, 5000, 65_536, 65_537, 200_000, 1_500_000]


def payload(source: random.Random, writer: int, sequence: int) -> bytes:
    """A version that says of itself what it is."""
    rest = source.randbytes(997) * (source.choice(SIZES) // 997 + 1)
    return HEADER.pack(b"RACE", writer, sequence, len(rest), zlib.crc32(rest)) + rest


def verify(content: bytes, name: str) -> tuple[int, int]:
    """Fails unless the content is exactly one version; answers which."""
    magic, writer, sequence, size, crc = HEADER.unpack_from(content)
    assert magic == b"RACE", name
    rest = content[HEADER.size :]
    assert len(rest) == size, f"{name}: {len(rest)} of {size} bytes"
    assert zlib.crc32(rest) == crc, f"{name}: writer {writer}, sequence {sequence} is mixed"
    return writer, sequence


def together(workers: list[Callable[[], None]]) -> None:
    """Runs all at once; the first failure of any is raised."""
    failures: list[BaseException] = []

    def guard(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as exc:  # noqa: BLE001
            failures.append(exc)

    threads = [threading.Thread(target=guard, args=(work,)) for work in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


@pytest.mark.parametrize("seconds", [10, pytest.param(60, marks=pytest.mark.slow)])
def test_reads_are_whole_versions(
    cluster: aistore.LocalCluster, bucket: Bucket, wire: Wire, seconds: int
) -> None:
    bucket.make_request("PATCH", action="set-bprops", value={"checksum": {"type": "md5"}})
    start = random.Random(0)
    for name in NAMES:
        bucket.object(name).get_writer().put_content(payload(start, 0, 0))
    until = time.monotonic() + seconds
    reads = [0] * READERS
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")

    def write(writer: int) -> None:
        source = random.Random(seed + writer)
        mine = Client(cluster.endpoint).bucket(bucket.name)
        sequence = 0
        while time.monotonic() < until:
            sequence += 1
            obj = mine.object(source.choice(NAMES))
            kind = source.random()
            if kind < 0.05:
                with contextlib.suppress(ErrObjNotFound):
                    obj.delete()
            else:
                obj.get_writer().put_content(payload(source, writer, sequence))

    def read(reader: int) -> None:
        source = random.Random(seed + 100 + reader)
        mine = Client(cluster.endpoint).bucket(bucket.name)
        while time.monotonic() < until:
            name = source.choice(NAMES)
            try:
                read_once(mine, name, source.randrange(4))
            except AISError as exc:
                assert exc.status_code == 404, exc  # noqa: PT017
            reads[reader] += 1

    def read_once(mine: Bucket, name: str, kind: int) -> None:
        if kind == 0:
            answer = wire.follow("GET", f"/v1/objects/{bucket.name}/{name}")
            if answer.status != 404:
                assert answer.status == 200, answer
                verify(answer.body, name)
                assert answer.header("ais-checksum-type") == "md5"
                assert answer.header("ais-checksum-value") == hashlib.md5(answer.body).hexdigest()
        elif kind == 1:
            verify(b"".join(mine.object(name).get_reader(chunk_size=10_000)), name)
        else:
            verify(mine.object(name).get_reader(direct=kind == 3).read_all(), name)

    together(
        [lambda w=w: write(w) for w in range(1, WRITERS + 1)]
        + [lambda r=r: read(r) for r in range(READERS)]
    )
    print(f"{sum(reads)} reads")
    assert min(reads) > 10
    listed = {entry.name: entry for entry in bucket.list_all_objects(props="name,size,checksum")}
    for name, entry in listed.items():
        content = bucket.object(name).get_reader().read_all()
        verify(content, name)
        assert (entry.size, entry.checksum) == (len(content), hashlib.md5(content).hexdigest())
