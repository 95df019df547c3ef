"""Conventions of the wire: paths, methods, encodings, errors, redirects. No client code of ours."""

from __future__ import annotations

import json
import re
import socket
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from support import Wire

from aistore.sdk import Bucket

ERROR_KEYS = ["tcode", "message", "method", "url_path", "remote_addr", "caller", "node", "status"]


@pytest.fixture
def name(bucket: Bucket) -> str:
    return bucket.name


def raw(endpoint: str, request: bytes) -> bytes:
    """Sends bytes as they are, and reads until the server has nothing more to say."""
    address = urlsplit(endpoint)
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(request)
        connection.settimeout(3)
        received = b""
        try:
            while piece := connection.recv(65_536):
                received += piece
        except TimeoutError:
            pass
        return received


def is_error(answer: Any, status: int, tcode: str | None = None) -> str:
    """Checks the envelope; answers the message."""
    assert answer.status == status, answer.body
    assert answer.header("content-type") == "application/json"
    assert answer.header("x-content-type-options") == "nosniff"
    error = answer.json()
    keys = ERROR_KEYS if "tcode" in error else ERROR_KEYS[1:]
    assert list(error) == keys
    assert error["status"] == status
    assert re.fullmatch(r"[pt]\[\w+\]", error["node"])
    assert re.fullmatch(r".+:\d+", error["remote_addr"])
    assert error["caller"] == ""
    if tcode:
        assert error.get("tcode") == tcode
    return str(error["message"])


@pytest.mark.parametrize("path", ["/v1/nowhere", "/v2/buckets", "/v1", "/", "/x", "/v1/clusters/x"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_unknown_paths_are_400_and_named(wire: Wire, path: str, method: str) -> None:
    message = is_error(wire.send(method, path), 400)
    assert path.strip("/") in message


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/v1/health"), ("DELETE", "/v1/health"), ("POST", "/v1/health"), ("DELETE", "/v1/daemon"),
        ("OPTIONS", "/v1/objects/b/o"), ("TRACE", "/v1/buckets/b"), ("POST", "/metrics"), ("PUT", "/v1/ml/moss"),
    ],
)  # fmt: skip
def test_methods_that_do_not_exist_are_405_with_allow(wire: Wire, method: str, path: str) -> None:
    answer = wire.send(method, path)
    assert answer.status == 405
    allow = (answer.header("allow") or "").replace(" ", "").split(",")
    assert allow
    assert method not in allow
    assert (answer.header("content-type") or "").startswith("text/plain")


def test_empty_path_segments_are_ignored(wire: Wire, name: str) -> None:
    list_all = {"action": "list"}
    plain = wire.send("GET", "/v1/buckets", action=list_all).json()
    for path in ("/v1/buckets/", "//v1//buckets", "/v1/buckets//"):
        assert wire.send("GET", path, action=list_all).json() == plain
    assert wire.send("HEAD", f"/v1/buckets//{name}/").status == 200


@pytest.mark.parametrize("provider", ["ais", "", "AIS"])
def test_providers(wire: Wire, name: str, provider: str) -> None:
    answer = wire.send("HEAD", f"/v1/buckets/{name}", provider=provider)
    assert answer.status == (400 if provider == "AIS" else 200)


@pytest.mark.parametrize(
    "verb", [("GET", "/v1/buckets/b"), ("GET", "/v1/objects/b/o"), ("PUT", "/v1/objects/b/o")]
)
def test_an_unknown_provider_is_400(wire: Wire, verb: tuple[str, str]) -> None:
    method, path = verb
    action = {"action": "list"} if "buckets" in path else None
    message = is_error(
        wire.send(method, path, action=action, provider="ftp"), 400, "ErrInvalidBackendProvider"
    )
    assert "ftp" in message


@pytest.mark.parametrize(
    ("namespace", "status"),
    [("", 200), ("@#", 200), ("#", 200), ("@u!#n", 400), ("@" + "u" * 33 + "#", 400)],
)
def test_namespaces(wire: Wire, name: str, namespace: str, status: int) -> None:
    answer = wire.send("HEAD", f"/v1/buckets/{name}", namespace=namespace, provider="ais")
    assert answer.status == status


@pytest.mark.parametrize("bad", ["a..b", ".x", "x" * 65, "a b", "a%23b", "%C3%BC"])
def test_bad_bucket_names_are_400_everywhere(wire: Wire, bad: str) -> None:
    bad = bad.replace(" ", "%20")
    is_error(wire.send("POST", f"/v1/buckets/{bad}", action={"action": "create-bck"}), 400)
    is_error(wire.send("PUT", f"/v1/objects/{bad}/o", body=b"x"), 400)
    assert wire.send("HEAD", f"/v1/buckets/{bad}").status == 400


@pytest.mark.parametrize("good", ["a", "x" * 64, "A-b_c.d", "0"])
def test_good_bucket_names(wire: Wire, good: str) -> None:
    assert wire.send("POST", f"/v1/buckets/{good}", action={"action": "create-bck"}).status == 200
    assert (
        wire.send("DELETE", f"/v1/buckets/{good}", action={"action": "destroy-bck"}).status == 200
    )


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'"list"', b"\xff", b'{"action": 7}', b"null", b"{" * 10_000]
)
def test_malformed_action_messages_are_400(wire: Wire, name: str, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    for method in ("POST", "PATCH", "DELETE"):
        is_error(wire.send(method, f"/v1/buckets/{name}", body=body, headers=headers), 400)
    is_error(wire.send("PUT", "/v1/cluster", body=body, headers=headers), 400)


def test_unknown_actions_are_400_and_named(wire: Wire, name: str) -> None:
    for method, path in (
        ("POST", f"/v1/buckets/{name}"), ("PATCH", f"/v1/buckets/{name}"), ("DELETE", f"/v1/buckets/{name}"),
        ("GET", f"/v1/buckets/{name}"), ("PUT", "/v1/cluster"), ("POST", f"/v1/objects/{name}"),
    ):  # fmt: skip
        message = is_error(wire.send(method, path, action={"action": "crate-bck"}), 400)
        assert "crate-bck" in message, path


def test_curl_lists_without_a_message(wire: Wire, name: str) -> None:
    wire.follow("PUT", f"/v1/objects/{name}/o", body=b"x")
    assert name in [found["name"] for found in wire.send("GET", "/v1/buckets").json()]
    page = wire.send("GET", f"/v1/buckets/{name}").json()
    assert [entry["name"] for entry in page["entries"]] == ["o"]


@pytest.mark.parametrize("text", ["1", "t", "T", "true", "True", "TRUE", "y", "yes", "on"])
def test_true(wire: Wire, text: str) -> None:
    # A health query with a true `cii` has a body, one with a false one has none.
    assert wire.send("GET", "/v1/health", cii=text).body


@pytest.mark.parametrize("text", ["0", "f", "false", "False", "no", "off", "2", "tRUE", ""])
def test_everything_else_is_false(wire: Wire, text: str) -> None:
    answer = wire.send("GET", "/v1/health", cii=text)
    assert (answer.status, answer.body) == (200, b"")


def test_too_many_query_pairs_are_400(wire: Wire, name: str) -> None:
    many = {f"k{i}": "v" for i in range(101)}
    answer = wire.send("GET", f"/v1/objects/{name}/o", **many)
    assert is_error(answer, 400).startswith("dpq:")
    few = {f"k{i}": "v" for i in range(99)}
    assert wire.send("GET", f"/v1/objects/{name}/o", **few).status == 301


def test_json_answers_are_marked_and_end_in_a_newline(wire: Wire) -> None:
    for path, query in (("/v1/cluster", {"what": "smap"}), ("/v1/daemon", {"what": "bmd"})):
        answer = wire.send("GET", path, **query)
        assert answer.header("content-type") == "application/json; charset=utf-8"
        assert answer.header("content-length") == str(len(answer.body))
        assert answer.body.endswith(b"\n")
        assert b"\\u003c" not in answer.body


def test_errors_on_head_are_one_line_in_a_header(wire: Wire, name: str) -> None:
    for path, status in (
        (f"/v1/objects/{name}/none", 404),
        ("/v1/buckets/none-such", 404),
        ("/v1/buckets/a..b", 400),
    ):
        answer = wire.follow("HEAD", path)
        assert (answer.status, answer.body) == (status, b"")
        error = json.loads(answer.header("hdr-error") or "")
        assert (error["status"], error["method"]) == (status, "HEAD")


def test_messages_name_bucket_and_object_as_the_sdk_looks_for_them(wire: Wire, name: str) -> None:
    pattern = re.compile(r"(ais|aws|azure|gcp|oci|gs|s3)://([A-Za-z0-9@#._-]{1,132})(.?)")
    missing = wire.follow("GET", f"/v1/objects/{name}/no/such").body.decode()
    found = pattern.search(missing)
    assert found
    assert found.groups() == ("ais", name, "/")
    for method, action in (("GET", "list"), ("DELETE", "destroy-bck"), ("PATCH", "set-bprops")):
        action_message = {"action": action, "value": {}}
        gone = wire.send(method, "/v1/buckets/no-such-b", action=action_message)
        assert gone.status == 404
        found = pattern.search(gone.body.decode())
        assert found
        assert found.groups() in {
            ("ais", "no-such-b", '"'),
            ("ais", "no-such-b", " "),
            ("ais", "no-such-b", "\\"),
        }
        assert "etl job" not in gone.body.decode()


def test_the_gateway_answers_a_put_before_its_body(wire: Wire, name: str) -> None:
    """Over HTTPS the SDK sends the headers of a PUT only, and waits for the redirect."""
    head = f"PUT /v1/objects/{name}/o HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\nConnection: close\r\n\r\n"
    answer = raw(wire.endpoint, head.encode())
    assert answer.startswith(b"HTTP/1.1 307 ")
    assert b"\r\nlocation: http://" in answer.lower()


def test_expect_continue_is_answered_with_the_redirect(wire: Wire, name: str) -> None:
    head = f"PUT /v1/objects/{name}/o HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    assert raw(wire.endpoint, head.encode()).startswith(b"HTTP/1.1 307 ")


def test_redirects_are_absolute_and_keep_the_query(wire: Wire, name: str) -> None:
    answer = wire.send(
        "GET", f"/v1/objects/{name}/a%20b%2Fc", provider="ais", archpath="x y", unknown="1"
    )
    assert answer.status == 301
    location = urlsplit(answer.header("location") or "")
    assert location.scheme == "http"
    assert location.path == f"/v1/objects/{name}/a%20b/c"
    query = parse_qs(location.query)
    assert (query["archpath"], query["unknown"], query["provider"]) == (["x y"], ["1"], ["ais"])
    assert int(query["utm"][0], 36) > 0


def test_garbage_on_the_connection_ends_it_and_not_the_server(wire: Wire) -> None:
    for garbage in (
        b"\x16\x03\x01\x02\x00",
        b"GET\r\n\r\n",
        b"\x00" * 1000,
        b"GET / HTTP/1.1\r\n" + b"a" * 100_000,
    ):
        raw(wire.endpoint, garbage)
    assert wire.send("GET", "/v1/health").status == 200


def test_nodes_that_are_starting_say_503_with_an_empty_body(wire: Wire) -> None:
    # A node that is up never says so: the form of a readiness failure is the only one seen from outside.
    answer = wire.send("GET", "/v1/health", readiness="true")
    assert (answer.status, answer.body) == (200, b"")


def test_reverse_needs_a_node(wire: Wire) -> None:
    is_error(wire.send("GET", "/v1/reverse/daemon", what="snode"), 400)
    headers = {"Ais-Node-Id": "tnonesuch9"}
    is_error(
        wire.send("GET", "/v1/reverse/daemon", what="snode", headers=headers),
        404,
        "errNodeNotFound",
    )
