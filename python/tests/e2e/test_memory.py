"""A node with little memory: what it cannot hold waits or is refused, and it never grows past its budget."""

from __future__ import annotations

import json
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPSConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from support import make_certificate, wait_until

import aistore

_BUDGET_MIB = 64
# Threads, code, tables of the runtime, connections and what malloc does not give back at once.
_SLACK_MIB = 64
_CLIENTS = 64
_OBJECT = 8 << 20


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("tls"), "node")


@pytest.fixture
def small(certificate: tuple[Path, Path], tmp_path: Path) -> Iterator[aistore.LocalCluster]:
    """One target that serves https, so every byte that it sends is copied."""
    budget, root = f"{_BUDGET_MIB}MiB", tmp_path / "c"
    with aistore.LocalCluster(
        1, mountpaths=1, root=root, tls=certificate, memory=budget
    ) as running:
        yield running


class _Peak:
    """The largest resident set of the target, sampled."""

    def __init__(self, pid: int) -> None:
        self.mib = 0.0
        self._pid = pid
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def _sample(self) -> None:
        while not self._stop.wait(0.02):
            pages = int(Path(f"/proc/{self._pid}/statm").read_text().split()[1])
            self.mib = max(self.mib, pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20))

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def _target(cluster: aistore.LocalCluster) -> tuple[int, str]:
    info = cluster.client().cluster().get_info()
    [node] = info.tmap.values()
    return cluster.pids[-1], node.public_net.direct_url


def test_slow_readers_uploads_and_batches_stay_within_the_budget(
    small: aistore.LocalCluster, certificate: tuple[Path, Path]
) -> None:
    pid, url = _target(small)
    address = urlsplit(url)
    context = ssl.create_default_context(cafile=str(certificate[0]))
    bucket = small.client().bucket("b").create()
    content = os.urandom(_OBJECT)
    bucket.object("large").get_writer().put_content(content)
    query = "provider=ais&pid=p&utm=1"  # As a gateway redirects.

    def request(method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        connection = HTTPSConnection(
            address.hostname or "", address.port, timeout=60, context=context
        )
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            if answer.status == 429:
                assert int(answer.getheader("retry-after") or 0) > 0
            return answer.status, answer.read()
        finally:
            connection.close()

    def slow_reader(_: int) -> ssl.SSLSocket:
        plain = socket.socket()
        # Little room on this side, so the target holds what it may hold.
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 10)
        plain.settimeout(60)
        plain.connect((address.hostname or "", address.port or 443))
        secure = context.wrap_socket(plain, server_hostname=address.hostname)
        secure.sendall(f"GET /v1/objects/b/large?{query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        return secure

    def status(reader: ssl.SSLSocket) -> int:
        return int(reader.recv(13).split()[1])

    peak = _Peak(pid)
    with peak, ThreadPoolExecutor(_CLIENTS) as pool:
        readers = list(pool.map(slow_reader, range(_CLIENTS)))
        begun = list(pool.map(status, readers))
        assert set(begun) <= {200, 429}
        assert begun == [200] * _CLIENTS, "a slow reader leaves room for the next"

        # While they hold their share: uploads and batches have their own.
        piece = content[: 1 << 20]

        def upload(i: int) -> int:
            return request("PUT", f"/v1/objects/b/u{i}?{query}", piece)[0]

        wanted = {"in": [{"objname": "large"}] * 3, "strm": True}

        def batch(_: int) -> int:
            path = f"/v1/ml/moss/b?{query}"
            status, archive = request("GET", path, json.dumps(wanted).encode())
            assert status == 429 or len(archive) > 3 * _OBJECT
            return status

        uploads, batches = pool.map(upload, range(_CLIENTS)), pool.map(batch, range(_CLIENTS))
        uploaded, batched = list(uploads), list(batches)
        assert set(uploaded) <= {200, 429}
        assert 200 in uploaded
        assert set(batched) <= {200, 429}
        assert 200 in batched
        assert len(list(bucket.list_all_objects())) == 1 + uploaded.count(200)
        for reader in readers:
            reader.close()
    assert peak.mib < _BUDGET_MIB + _SLACK_MIB

    # All of it came back, and those refused are served now.
    def at_rest() -> bool:
        connection = HTTPSConnection(address.hostname or "", address.port, context=context)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        used = [line for line in text.splitlines() if line.startswith("ais_memory_used_bytes{")]
        assert len(used) == 7 and f"ais_memory_budget_bytes {_BUDGET_MIB << 20}" in text
        return all(line.endswith(" 0") for line in used)

    wait_until(at_rest, "memory is given back")
    assert request("GET", f"/v1/objects/b/large?{query}")[1] == content
