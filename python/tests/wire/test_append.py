"""Appending to objects, as any HTTP client meets it."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from support import Answer, Wire

from aistore.sdk import Bucket


@pytest.fixture
def path(bucket: Bucket) -> str:
    return f"/v1/objects/{bucket.name}/log/today"


def append(wire: Wire, path: str, handle: str, body: bytes, step: str = "append") -> Answer:
    query = f"append_type={step}&append_handle={quote(handle, safe='')}"
    return wire.follow("PUT", f"{path}?{query}", body=body)


def handle_of(answer: Answer) -> str:
    assert answer.status == 200, answer.body
    handle = answer.header("ais-append-handle")
    assert handle
    assert handle.count("|") == 3
    return handle


def flush(wire: Wire, path: str, handle: str, **options: object) -> Answer:
    query = f"append_type=flush&append_handle={quote(handle, safe='')}"
    return wire.follow("PUT", f"{path}?{query}", **options)


def test_what_was_appended_shows_at_the_flush(wire: Wire, path: str) -> None:
    assert wire.follow("PUT", path, body=b"old").status == 200
    handle = ""
    for piece in (b"+1", b"", b"+2"):
        handle = handle_of(append(wire, path, handle, piece))
        assert wire.follow("GET", path).body == b"old"
    done = flush(wire, path, handle, body=b"discarded")
    assert (done.status, done.header("ais-append-handle")) == (200, None)
    answer = wire.follow("GET", path)
    assert answer.body == b"old+1+2"
    assert answer.header("ais-version") == "2"
    assert flush(wire, path, handle, body=b"").status == 404


def test_an_append_that_is_sent_again_counts_once(wire: Wire, path: str) -> None:
    first = handle_of(append(wire, path, "", b"a"))
    handle_of(append(wire, path, first, b"b"))
    second = handle_of(append(wire, path, first, b"b"))
    assert flush(wire, path, second, body=b"").status == 200
    assert wire.follow("GET", path).body == b"ab"


def test_a_wrong_checksum_is_an_error_and_the_session_stays(wire: Wire, path: str) -> None:
    handle = handle_of(append(wire, path, "", b"abc"))
    wrong = {"Ais-Checksum-Type": "xxhash2", "Ais-Checksum-Value": "0" * 16}
    answer = flush(wire, path, handle, body=b"", headers=wrong)
    assert answer.status == 500
    assert b"BAD DATA CHECKSUM" in answer.body
    assert wire.follow("GET", path).status == 404
    right = {"Ais-Checksum-Type": "xxhash2", "Ais-Checksum-Value": "44bc2cf5ad770999"}
    assert flush(wire, path, handle, body=b"", headers=right).status == 200
    assert wire.follow("GET", path).body == b"abc"


@pytest.mark.parametrize("handle", ["x", "a|b|c", "t|x|xxhash2|1", "a|b|c|d|e"])
def test_nonsense_handles(wire: Wire, path: str, handle: str) -> None:
    answer = append(wire, path, handle, b"x")
    assert answer.status == 400
    assert b"invalid APPEND handle" in answer.body


def test_flush_needs_a_handle_and_the_type_must_be_known(wire: Wire, path: str) -> None:
    assert flush(wire, path, "", body=b"").status == 400
    assert append(wire, path, "", b"x", step="prepend").status == 400
