"""What tests share: raw HTTP, bounded polling, processes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Runs `ais` with these words; `stdin` and the expected exit status `code` by keyword.
Ais = Callable[..., subprocess.CompletedProcess[bytes]]
SDK_PYTHON = ROOT / ".venv-sdk" / "bin" / "python"


@dataclass
class Answer:
    """One HTTP answer, whole."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """First value of a header."""
        return next((v for k, v in self.headers if k.lower() == name.lower()), None)

    def json(self) -> Any:
        """Body as JSON."""
        return json.loads(self.body)


@dataclass
class Wire:
    """Plain HTTP without redirects, retries or any of our client code."""

    endpoint: str
    default_headers: dict[str, str] = field(default_factory=dict)

    def send(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        action: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        base: str | None = None,
        **query: str,
    ) -> Answer:
        """Sends one request and reads the whole answer."""
        if action is not None:
            body = json.dumps({"name": "", "value": None, **action}).encode()
        address = urlsplit(base or self.endpoint)
        target = path + ("?" + urlencode(query) if query else "")
        connection = HTTPConnection(address.hostname or "", address.port, timeout=30)
        try:
            connection.request(method, target, body, {**self.default_headers, **(headers or {})})
            answer = connection.getresponse()
            return Answer(answer.status, answer.getheaders(), answer.read())
        finally:
            connection.close()

    def follow(self, method: str, path: str, **options: Any) -> Answer:
        """Sends a request and follows one redirect by hand, method and body kept."""
        first = self.send(method, path, **options)
        if first.status not in {301, 307}:
            return first
        there = urlsplit(first.header("location") or "")
        options = {k: v for k, v in options.items() if k in {"body", "action", "headers"}}
        return self.send(
            method, f"{there.path}?{there.query}", base=f"http://{there.netloc}", **options
        )


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 15) -> None:
    """Polls a condition; fails with `what` when the time is up."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds} s: {what}")
        time.sleep(0.02)


def process_is_gone(pid: int) -> bool:
    """Whether a process has ended (a zombie of ours counts as ended)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state == "Z"


def fetch(url: str) -> bytes:
    """GET with redirects followed, as curl -L would."""
    with urllib.request.urlopen(url, timeout=30) as answer:
        return bytes(answer.read())


def make_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that is its own authority, as operators make them, and its key."""
    cert, key = folder / f"{name}.crt", folder / f"{name}.key"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30"
        f" -subj /CN={name} -addext subjectAltName=IP:127.0.0.1,DNS:localhost"
    )
    subprocess.run(
        [*command.split(), "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True
    )
    return cert, key


def start(wire: Wire, action: str, source: str, to: str, **value: Any) -> str:
    """Starts a job from bucket to bucket; its id."""
    answer = wire.send(
        "POST",
        f"/v1/buckets/{source}",
        action={"action": action, "value": value or None},
        bck_to=f"ais/@#/{to}/",
    )
    assert answer.status == 200, answer.body
    return answer.body.decode()


def status(wire: Wire, job: str) -> dict[str, Any]:
    """What the cluster says of a job."""
    body = json.dumps({"id": job}).encode()
    answer = wire.send("GET", "/v1/cluster", body=body, what="status")
    assert answer.status == 200, answer.body
    return dict(answer.json())


def ended(wire: Wire, job: str, seconds: float = 120) -> dict[str, Any]:
    """Waits for the end of a job; its status."""
    wait_until(lambda: bool(status(wire, job)["end_time"]), f"end of {job}", seconds)
    return status(wire, job)


def inspect(mountpath: str | Path, *options: str) -> list[dict[str, Any]]:
    """What `aisnode inspect` says of a mountpath, a dictionary for each line."""
    command = [sys.executable, "-m", "aistore._entry", "aisnode", "inspect", str(mountpath)]
    done = subprocess.run(  # noqa: S603 - our own program
        [*command, "--json", *options], check=True, capture_output=True, timeout=60
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def stored_blobs(*mountpaths: str | Path) -> list[dict[str, Any]]:
    """The blobs of mountpaths, without those that are waste."""
    found = [blob for mountpath in mountpaths for blob in inspect(mountpath)]
    return [blob for blob in found if not blob["dead"]]
