"""GetBatch on the wire: statuses, formats, the mark at the end, and what becomes of clients that go away."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
from urllib.parse import urlsplit

import pytest
from support import Wire, fetch, wait_until

import aistore
from aistore.sdk import Bucket

_MIB = 1 << 20


def ask(*names: str, **options: object) -> bytes:
    return json.dumps({"in": [{"objname": name} for name in names], **options}).encode()


def final_url(wire: Wire, bucket: Bucket, body: bytes) -> str:
    """Where the gateway sends a batch."""
    answer = wire.send("GET", f"/v1/ml/moss/{bucket.name}", body=body)
    assert answer.status == 307
    return answer.header("location") or ""


def start(url: str, body: bytes, headers: str = "") -> socket.socket:
    """Sends a request and leaves the answer to be read."""
    there = urlsplit(url)
    sock = socket.create_connection((there.hostname or "", there.port or 80), timeout=30)
    head = f"GET {there.path}?{there.query} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
    sock.sendall(f"{head}{headers}\r\n".encode() + body)
    return sock


def read_to_end(sock: socket.socket) -> bytes:
    with contextlib.closing(sock):
        return b"".join(iter(lambda: sock.recv(_MIB), b""))


@pytest.mark.parametrize(
    ("mime", "content_type"),
    [
        (None, "application/x-tar"),
        (".tar", "application/x-tar"),
        ("application/x-tar", "application/x-tar"),
        (".tgz", "application/gzip"),
        ("tar.gz", "application/gzip"),
        (".tar.lz4", "application/x-lz4"),
        ("zip", "application/zip"),
        (".ZIP", "application/zip"),
    ],
)
def test_formats_have_their_content_types(
    wire: Wire, bucket: Bucket, mime: str | None, content_type: str
) -> None:
    bucket.object("o").get_writer().put_content(b"content" * 100)
    path = f"/v1/ml/moss/{bucket.name}"
    streamed = wire.follow("GET", path, body=ask("o", mime=mime, strm=True))
    assert (streamed.status, streamed.header("content-type")) == (200, content_type)
    buffered = wire.follow("GET", path, body=ask("o", mime=mime, strm=False))
    assert (buffered.header("content-type") or "").startswith("multipart/mixed; boundary=")
    if content_type == "application/gzip":
        assert b"content" * 100 in gzip.decompress(streamed.body)


def test_the_mark_at_the_end_is_for_those_who_ask_for_trailers(wire: Wire, bucket: Bucket) -> None:
    bucket.object("o").get_writer().put_content(b"x" * 1000)
    body = ask("o", "gone", strm=True, coer=True)
    url = final_url(wire, bucket, body)
    close = "Connection: close\r\n"
    marked = read_to_end(start(url, body, f"TE: trailers\r\n{close}"))
    head, _, rest = marked.partition(b"\r\n\r\n")
    assert b"trailer: ais-batch-end" in head.lower()
    # Header, 1,000 bytes padded to 1,024, header of the missing one, two blocks at the end.
    assert rest.endswith(b"0\r\nais-batch-end: entries=2, missing=1, bytes=3072\r\n\r\n")
    plain = read_to_end(start(url, body, close))
    assert plain.endswith(b"\r\n0\r\n\r\n")


@pytest.mark.parametrize(
    ("method", "path", "query", "body", "status", "text"),
    [
        ("GET", "", {}, b"{}", 400, "empty input"),
        ("GET", "", {}, b"[", 400, "malformed JSON"),
        ("GET", "", {"coloc": "3"}, ask("o"), 400, "coloc"),
        ("GET", "", {}, ask("o", mime="rar"), 400, "unknown mime type"),
        ("GET", "", {}, ask("../o"), 400, "../o"),
        ("GET", "-absent", {}, ask("o"), 404, "does not exist"),
        ("POST", "", {}, ask("o"), 405, ""),
        ("PUT", "", {}, ask("o"), 405, ""),
    ],
)
def test_requests_that_are_refused(
    wire: Wire, bucket: Bucket, method: str, path: str, query: dict[str, str], body: bytes,
    status: int, text: str,
) -> None:  # fmt: skip
    answer = wire.follow(method, f"/v1/ml/moss/{bucket.name}{path}", body=body, **query)
    assert answer.status == status
    assert text in answer.body.decode()


def test_targets_are_asked_through_gateways(wire: Wire, bucket: Bucket) -> None:
    url = urlsplit(final_url(wire, bucket, ask("o")))
    direct = wire.send("GET", url.path, body=ask("o"), base=f"http://{url.netloc}")
    assert direct.status == 401


def used_memory(cluster: aistore.LocalCluster) -> int:
    """What batches occupy on all targets, for clients and for each other."""
    lines = [
        line
        for target in cluster.targets
        for line in fetch(f"{target.url}/metrics").decode().splitlines()
        if line.startswith("ais_memory_used_bytes{")
    ]
    ours = [line for line in lines if '"batches"' in line or '"frames"' in line]
    assert len(ours) == 2 * len(cluster.targets)
    return sum(int(line.rpartition(" ")[2]) for line in ours)


def test_clients_that_go_away_leave_nothing_behind(
    wire: Wire, cluster: aistore.LocalCluster, bucket: Bucket
) -> None:
    names = [f"big-{i}" for i in range(8)]
    bucket.put_many([(name, bytes(4 * _MIB)) for name in names])
    socks = []
    for streaming in (True, False) * 4:
        body = ask(*names * 4, strm=streaming)
        socks.append(start(final_url(wire, bucket, body), body))
    for sock in socks[::2]:
        assert sock.recv(1000).startswith(b"HTTP/1.1 200")
    assert used_memory(cluster) > 0
    for sock in socks:
        sock.close()
    wait_until(lambda: used_memory(cluster) == 0, "batches end on all targets")
