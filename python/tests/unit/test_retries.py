"""How often requests are sent, counted by a server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from aistore.sdk import Client, RetryConfig
from aistore.sdk.errors import AISError, AISTimeoutError
from aistore.sdk.retry_config import HttpRetry, NetworkRetry

SILENCE_S = 0.5


class Counting(ThreadingHTTPServer):
    """Answers everything with `status`; 0 is silence, -1 hangs up."""

    status = 503

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.sent: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        assert isinstance(self.server, Counting)
        self.server.sent.append(self.command)
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.server.status > 0:
            self.send_response(self.server.status)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if self.server.status == 0:
            time.sleep(SILENCE_S)
        self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PATCH = answer  # noqa: N815 - names of the base class

    def log_message(self, *_arguments: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def server() -> Iterator[Counting]:
    with Counting() as serving:
        thread = threading.Thread(target=serving.serve_forever, args=(0.01,))
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


def head(client: Client) -> None:
    client.bucket("b").head()


def create(client: Client) -> None:
    client.bucket("b").create()


def config(retries: int, attempts: int = 5) -> RetryConfig:
    return RetryConfig(HttpRetry(total=retries, backoff_factor=0.001), NetworkRetry(attempts))


@pytest.mark.parametrize("retries", [0, 1, 3, 8])
def test_answers_count_against_http_retry(server: Counting, retries: int) -> None:
    with pytest.raises(AISError):
        head(Client(server.url, retry_config=config(retries)))
    assert len(server.sent) == retries + 1


@pytest.mark.parametrize("attempts", [1, 3])
def test_broken_connections_count_against_network_retry(server: Counting, attempts: int) -> None:
    server.status = -1
    with pytest.raises(AISError):
        head(Client(server.url, retry_config=config(7, attempts)))
    assert len(server.sent) == attempts


@pytest.mark.parametrize(("send", "attempts", "sent"), [(head, 1, 1), (head, 3, 3), (create, 3, 1)])
def test_silence_is_repeated_for_what_changes_nothing(
    server: Counting, send: Callable[[Client], None], attempts: int, sent: int
) -> None:
    server.status = 0
    with pytest.raises(AISTimeoutError):
        send(Client(server.url, timeout=SILENCE_S / 5, retry_config=config(7, attempts)))
    assert len(server.sent) == sent
