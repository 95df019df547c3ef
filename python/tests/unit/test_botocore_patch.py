"""boto3 follows a cluster's redirects once the patch is imported."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from aistore.botocore_patch import botocore as patch


class Node(BaseHTTPRequestHandler):
    """A gateway that redirects, or a target that stores, by its server's settings."""

    def answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        server = self.server
        server.seen.append((self.command, self.path))
        if server.redirects_to:
            self.send_response(server.status)
            self.send_header("Location", server.redirects_to + self.path)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if self.command == "PUT":
            server.stored[self.path.split("?")[0]] = body
        content = server.stored.get(self.path.split("?")[0], b"") if self.command != "PUT" else b""
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_PUT = do_HEAD = answer

    def log_message(self, *_arguments: object) -> None:
        pass


def start(redirects_to: str = "", status: int = 307) -> ThreadingHTTPServer:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Node)
    server.seen, server.stored = [], {}
    server.redirects_to, server.status = redirects_to, status
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def url(server: ThreadingHTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_port}"


@pytest.fixture
def target() -> Iterator[ThreadingHTTPServer]:
    server = start()
    yield server
    server.shutdown()
    server.server_close()


def client(server: ThreadingHTTPServer) -> boto3.client:
    return boto3.client(
        "s3",
        endpoint_url=url(server),
        region_name="us-east-1",
        aws_access_key_id="k",
        aws_secret_access_key="s",
        config=Config(
            s3={"addressing_style": "path"},
            retries={"max_attempts": 1},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


@pytest.mark.parametrize("status", [301, 302, 307])
def test_puts_and_gets_are_redirected(target: ThreadingHTTPServer, status: int) -> None:
    gateway = start(url(target), status)
    s3 = client(gateway)
    s3.put_object(Bucket="bucket", Key="a/b", Body=b"content")
    assert target.stored == {"/bucket/a/b": b"content"}
    assert s3.get_object(Bucket="bucket", Key="a/b")["Body"].read() == b"content"
    assert [method for method, _ in gateway.seen] == ["PUT", "GET"]
    s3.close()
    gateway.shutdown()
    gateway.server_close()


def test_a_circle_ends() -> None:
    gateway = start("")
    gateway.redirects_to = url(gateway)
    s3 = client(gateway)
    with pytest.raises(ClientError):
        s3.get_object(Bucket="bucket", Key="o")
    gets = [path for method, path in gateway.seen if method == "GET"]
    assert len(gets) == 5
    s3.close()
    gateway.shutdown()
    gateway.server_close()


def test_an_unknown_botocore_is_refused() -> None:
    class S3RegionRedirectorOther:
        def redirect_from_error(self, something_else: object) -> None:
            pass

    with pytest.raises(RuntimeError, match="another version of botocore"):
        patch._patch(S3RegionRedirectorOther)
