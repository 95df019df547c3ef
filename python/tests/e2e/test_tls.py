"""Clusters that serve https: our client, `ais`, and raw sockets for what the official SDK sends."""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from support import make_certificate, wait_until

import aistore
from aistore.sdk import Client
from aistore.sdk.errors import AISError

_PART = 16 << 20


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("tls"), "node")


@pytest.fixture(scope="module")
def secure(
    certificate: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[aistore.LocalCluster]:
    root = tmp_path_factory.mktemp("secure")
    with aistore.LocalCluster(targets=2, root=root, tls=certificate) as running:
        yield running


def _connect(url: str, certificate: tuple[Path, Path]) -> ssl.SSLSocket:
    address = urlsplit(url)
    context = ssl.create_default_context(cafile=str(certificate[0]))
    plain = socket.create_connection((address.hostname or "", address.port or 443), timeout=10)
    return context.wrap_socket(plain, server_hostname=address.hostname)


def test_every_node_is_https_and_objects_survive_the_way(secure: aistore.LocalCluster) -> None:
    client = secure.client()
    smap = client.cluster().get_info()
    nodes = [*smap.pmap.values(), *smap.tmap.values()]
    assert all(node.public_net.direct_url.startswith("https://127.0.0.1:") for node in nodes)
    bucket = client.bucket("tls-objects").create()
    # Small ones go over the quick path, this one in parts by several threads.
    large = bytes(range(256)) * ((3 * _PART) // 256) + b"end"
    contents = {"empty": b"", "small": b"x" * 100, "a/b%?# ü": b"names", "large": large}
    for name, content in contents.items():
        bucket.object(name).get_writer().put_content(content)
    for name, content in contents.items():
        assert bucket.object(name).get_reader().read_all() == content
    part = bucket.object("large").get_reader(byte_range=f"bytes={_PART - 5}-{_PART + 4}")
    assert part.read_all() == large[_PART - 5 : _PART + 5]
    assert {entry.name for entry in bucket.list_all_objects()} == set(contents)
    batch = client.batch([bucket.object(name) for name in ("small", "large")])
    assert [content for _, content in batch.get()] == [contents["small"], large]
    bucket.delete()


def test_strangers_are_not_trusted_and_the_remedy_is_named(
    secure: aistore.LocalCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AIS_CLIENT_CA", "AIS_SKIP_VERIFY_CRT", "AIS_SKIP_VERIFY"):
        monkeypatch.delenv(name, raising=False)
    other, _ = make_certificate(tmp_path, "other")
    for ca in (None, str(other)):
        with pytest.raises(AISError, match="AIS_CLIENT_CA"):
            Client(secure.endpoint, ca_cert=ca).cluster().get_info()
    with pytest.raises(ValueError, match=r"no-such\.pem"):
        Client(secure.endpoint, ca_cert="no-such.pem").cluster().get_info()
    with pytest.warns(UserWarning, match="not verified"):
        skipping = Client(secure.endpoint, skip_verify=True)
    assert skipping.cluster().get_info().tmap
    monkeypatch.setenv("AIS_SKIP_VERIFY", "yes")
    with pytest.warns(UserWarning, match="not verified"):
        assert Client(secure.endpoint).cluster().get_info().tmap


def test_the_environment_names_the_authority(
    secure: aistore.LocalCluster, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIS_CLIENT_CA", str(certificate[0]))
    monkeypatch.setenv("AIS_CRT", str(certificate[0]))
    monkeypatch.setenv("AIS_CRT_KEY", str(certificate[1]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Client(secure.endpoint).cluster().get_info().tmap
    program = "import sys; from aistore._entry import ais; sys.exit(ais())"
    shown = subprocess.run(
        [sys.executable, "-c", program, "ls", "--endpoint", secure.endpoint],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr


def test_a_put_is_redirected_before_its_body_is_sent(
    secure: aistore.LocalCluster, certificate: tuple[Path, Path]
) -> None:
    secure.client().bucket("tls-put").create(exist_ok=True)
    head = (
        "PUT /v1/objects/tls-put/o?provider=ais HTTP/1.1\r\nHost: x\r\n"
        "Content-Length: 10485760\r\nConnection: close\r\n\r\n"
    )
    with _connect(secure.endpoint, certificate) as gateway:
        gateway.sendall(head.encode())
        answer = gateway.recv(65536).decode()
    assert answer.split()[1] == "307"
    fields = dict(line.split(": ", 1) for line in answer.split("\r\n")[1:] if ": " in line)
    location = next(value for key, value in fields.items() if key.lower() == "location")
    assert location.startswith("https://127.0.0.1:")
    there = urlsplit(location)
    body = b"z" * 10_485_760
    request = head.replace("/v1/objects/tls-put/o?provider=ais", f"{there.path}?{there.query}")
    with _connect(location, certificate) as target:
        target.sendall(request.encode() + body)
        assert target.recv(65536).split()[1] == b"200"
    assert secure.client().bucket("tls-put").object("o").get_reader().read_all() == body


def test_silent_and_plain_clients_do_not_hold_up_others(
    secure: aistore.LocalCluster, certificate: tuple[Path, Path]
) -> None:
    address = urlsplit(secure.endpoint)
    where = (address.hostname or "", address.port or 443)
    silent = [socket.create_connection(where, timeout=10) for _ in range(300)]
    try:
        assert secure.client().cluster().get_info().tmap
        with socket.create_connection(where, timeout=10) as plain:
            plain.sendall(b"GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = plain.recv(4096)
        assert answer.startswith(b"HTTP/1.1 400 ") and b"https" in answer
    finally:
        for connection in silent:
            connection.close()


def test_what_the_certificate_says_can_be_asked(
    secure: aistore.LocalCluster, certificate: tuple[Path, Path]
) -> None:
    with _connect(secure.endpoint, certificate) as gateway:
        gateway.sendall(
            b"GET /v1/daemon?what=tls_certificate HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        answer = b""
        while piece := gateway.recv(65536):
            answer += piece
    facts = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert "127.0.0.1" in facts["names"] and "CN=node" in facts["subject"]
    assert all(isinstance(value, str) for value in facts.values())


def test_certificates_are_shown_and_loaded_on_demand(
    secure: aistore.LocalCluster, certificate: tuple[Path, Path]
) -> None:
    def ais(*words: str, code: int = 0) -> str:
        done = subprocess.run(
            [Path(sys.executable).parent / "ais", *words], capture_output=True, check=False,
            timeout=60, text=True,
            env={**os.environ, "AIS_ENDPOINT": secure.endpoint, "AIS_CLIENT_CA": str(certificate[0])},
        )  # fmt: skip
        assert done.returncode == code, (words, done.stdout, done.stderr)
        return done.stdout + done.stderr

    target = next(iter(secure.client().cluster().get_info().tmap))
    assert "CN=node" in ais("tls", "show")
    assert "CN=node" in ais("tls", "show", f"t[{target}]")
    assert "all nodes" in ais("tls", "load-certificate")
    assert target in ais("tls", "load-certificate", target)
    kept = certificate[1].read_bytes()
    certificate[1].write_bytes(b"no key")
    try:
        assert "keeps its certificate" in ais("tls", "load-certificate", target, code=1)
    finally:
        certificate[1].write_bytes(kept)
    assert "CN=node" in ais("tls", "show", target)


def test_a_renewed_certificate_is_taken_over_without_a_restart(tmp_path: Path) -> None:
    cert, key = make_certificate(tmp_path, "first")
    new_cert, new_key = make_certificate(tmp_path, "second")
    both = tmp_path / "both.pem"
    both.write_text(cert.read_text() + new_cert.read_text())
    with aistore.LocalCluster(targets=1, root=tmp_path / "c", tls=(cert, key)) as running:
        shutil.copy(new_cert, cert)
        shutil.copy(new_key, key)

        def shown() -> bool:
            certificates = []
            for node in (*running.gateways, *running.targets):
                with _connect(node.url, (both, key)) as connection:
                    certificates.append(str(connection.getpeercert()))
            return all("second" in text for text in certificates)

        wait_until(shown, "the new certificate is shown", 30)
        # Nodes trust each other's new certificate too.
        client = Client(running.endpoint, ca_cert=str(new_cert))
        bucket = client.bucket("renewed").create()
        bucket.object("o").get_writer().put_content(b"1")
        assert [entry.name for entry in bucket.list_all_objects()] == ["o"]
