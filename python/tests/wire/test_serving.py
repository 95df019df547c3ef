"""How bytes leave a target: large bodies straight from files, on connections used in every odd way."""

from __future__ import annotations

import hashlib
import os
import random
import re
import socket
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from support import Wire, wait_until

import aistore
from aistore.sdk import Bucket

MIB = 1 << 20
PIECES = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


def content(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def target_address(wire: Wire, path: str) -> tuple[str, int]:
    """Where the gateway sends a reader of the object."""
    location = wire.send("GET", path).header("location")
    assert location is not None
    url = urlsplit(location)
    assert url.hostname is not None and url.port is not None
    return url.hostname, url.port


def request(path: str, asked: str = "", method: str = "GET", last: bool = False) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "host: x"]
    if asked:
        lines.append(f"range: bytes={asked}")
    if last:
        lines.append("connection: close")
    return "\r\n".join([*lines, "", ""]).encode()


def read_all(connection: socket.socket, step: int = MIB) -> bytes:
    arrived = bytearray()
    while piece := connection.recv(step):
        arrived += piece
    return bytes(arrived)


def bodies(arrived: bytes, methods: list[str]) -> list[tuple[int, bytes]]:
    """Splits pipelined answers into status and body."""
    answers = []
    for method in methods:
        head, _, arrived = arrived.partition(b"\r\n\r\n")
        length = PIECES.search(head)
        assert length, head
        size = 0 if method == "HEAD" else int(length[1])
        answers.append((int(head.split()[1]), arrived[:size]))
        arrived = arrived[size:]
    assert arrived == b""
    return answers


@pytest.fixture
def data(bucket: Bucket) -> bytes:
    data = content(5 * MIB + 4321)
    bucket.object("large").get_writer().put_content(data)
    return data


def test_pipelined_requests_of_every_kind_keep_their_order(
    wire: Wire, bucket: Bucket, data: bytes
) -> None:
    rng = random.Random(7)
    bucket.object("small").get_writer().put_content(b"small")
    path = f"/v1/objects/{bucket.name}/large"
    address = target_address(wire, path)
    for _ in range(5):
        asked: list[bytes] = []
        methods: list[str] = []
        expected: list[tuple[int, bytes | None]] = []
        for _ in range(12):
            start = rng.randrange(len(data))
            length = rng.choice([1, 30_000, 33_000, 70_001, MIB, 3 * MIB])
            kind = rng.randrange(6)
            method = "HEAD" if kind == 1 else "GET"
            methods.append(method)
            if kind == 0:
                asked.append(request(path))
                expected.append((200, data))
            elif kind == 1:
                asked.append(request(path, method="HEAD"))
                expected.append((200, b""))
            elif kind == 2:
                asked.append(request(path + "-absent"))
                expected.append((404, None))
            elif kind == 3:
                asked.append(request(path, f"-{length}"))
                expected.append((206, data[-length:]))
            elif kind == 4:
                asked.append(request(path, f"{len(data)}-"))
                expected.append((416, None))
            else:
                asked.append(request(path, f"{start}-{start + length - 1}"))
                expected.append((206, data[start : start + length]))
        asked.append(request(path, "0-9", last=True))
        methods.append("GET")
        expected.append((206, data[:10]))
        with socket.create_connection(address, timeout=30) as connection:
            connection.sendall(b"".join(asked))
            answers = bodies(read_all(connection), methods)
        for (status, body), (wanted, exact) in zip(answers, expected, strict=True):
            assert status == wanted
            assert exact is None or body == exact


def test_a_slow_reader_with_a_tiny_window_gets_every_byte(
    wire: Wire, bucket: Bucket, data: bytes
) -> None:
    path = f"/v1/objects/{bucket.name}/large"
    address = target_address(wire, path)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(60)
        connection.connect(address)
        connection.sendall(request(path, last=True))
        [(status, body)] = bodies(read_all(connection, 1500), ["GET"])
    assert status == 200 and body == data


def test_readers_who_hang_up_leave_nothing_open(
    own_cluster: aistore.LocalCluster, wire: Wire
) -> None:
    wire = Wire(own_cluster.endpoint)
    bucket = aistore.sdk.Client(own_cluster.endpoint).bucket("b").create()
    data = content(8 * MIB)
    bucket.object("large").get_writer().put_content(data)
    path = "/v1/objects/b/large"
    address = target_address(wire, path)

    def open_files() -> int:
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in own_cluster.pids)

    def hang_up(n: int) -> None:
        with socket.create_connection(address, timeout=30) as connection:
            connection.sendall(request(path) * 3)
            connection.recv(1 + n * 1000)
            # A reset, not an orderly end.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    hang_up(0)
    before = open_files()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(hang_up, range(64)))
    wait_until(lambda: open_files() <= before + 1, "connections and files to be closed")
    assert bucket.object("large").get_reader().read_all() == data


def blobs(cluster: aistore.LocalCluster, size: int) -> list[Path]:
    found = cluster.root.rglob("blobs/*/*")
    return [path for path in found if path.is_file() and path.stat().st_size >= size]


def test_bytes_that_left_the_page_cache_arrive_all_the_same(
    own_cluster: aistore.LocalCluster,
) -> None:
    bucket = aistore.sdk.Client(own_cluster.endpoint).bucket("b").create()
    data = content(24 * MIB + 17)
    digest = hashlib.sha256(data).hexdigest()
    bucket.object("cold").get_writer().put_content(data)
    [blob] = blobs(own_cluster, len(data))
    with blob.open("rb") as file:
        os.fsync(file.fileno())
        # All of it, then every other mebibyte: windows in memory and windows on disk take turns.
        for start in [None, *range(0, len(data), 2 * MIB)]:
            begin, length = (0, 0) if start is None else (start, MIB)
            os.posix_fadvise(file.fileno(), begin, length, os.POSIX_FADV_DONTNEED)
            if start is None or start % (8 * MIB) == 0:
                read = bucket.object("cold").get_reader().read_all()
                assert hashlib.sha256(read).hexdigest() == digest


def test_a_truncated_file_closes_the_connection_and_sends_no_other_bytes(
    own_cluster: aistore.LocalCluster,
) -> None:
    wire = Wire(own_cluster.endpoint)
    bucket = aistore.sdk.Client(own_cluster.endpoint).bucket("b").create()
    data = content(6 * MIB)
    bucket.object("o").get_writer().put_content(data)
    [blob] = blobs(own_cluster, len(data))
    path = "/v1/objects/b/o"
    address = target_address(wire, path)
    os.truncate(blob, 2 * MIB + 5)
    with socket.create_connection(address, timeout=30) as connection:
        connection.sendall(request(path, last=True))
        head, _, body = read_all(connection).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert len(body) < len(data) and data.startswith(body)


def test_an_object_of_parts_is_served_whole_and_in_ranges_across_them(
    wire: Wire, bucket: Bucket
) -> None:
    parts = [content(n, n) for n in (3 * MIB, 40_000, 1, 2 * MIB + 3)]
    obj = bucket.object("parts")
    upload = obj.multipart_upload().create()
    for number, part in enumerate(parts, 1):
        upload.add_part(number).put_content(part)
    upload.complete()
    data = b"".join(parts)
    path = f"/v1/objects/{bucket.name}/parts"
    with socket.create_connection(target_address(wire, path), timeout=30) as connection:
        ranges = [(0, len(data)), (3 * MIB - 5, 40_011), (MIB, 4 * MIB), (3 * MIB + 40_000, 1)]
        asked = [request(path, f"{start}-{start + size - 1}") for start, size in ranges]
        connection.sendall(b"".join(asked) + request(path, last=True))
        answers = bodies(read_all(connection), ["GET"] * 5)
    expected = [*(data[start : start + size] for start, size in ranges), data]
    assert [body == wanted for (_, body), wanted in zip(answers, expected, strict=True)] == [
        True
    ] * 5


def test_many_readers_of_many_objects_at_once(bucket: Bucket) -> None:
    sizes = [10_000, 32_768, 33_000, 300_000, MIB, 2 * MIB + 1]
    objects = {f"o{n}": content(size, n) for n, size in enumerate(sizes)}
    for name, data in objects.items():
        bucket.object(name).get_writer().put_content(data)

    def read(n: int) -> bool:
        name = f"o{n % len(sizes)}"
        return bucket.object(name).get_reader().read_all() == objects[name]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(200)))
