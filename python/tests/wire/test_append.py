"""Appending to objects, as any HTTP client meets it."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote, urlsplit

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


def test_of_clients_that_share_a_handle_one_appends(wire: Wire, path: str) -> None:
    first = handle_of(append(wire, path, "", b"a"))
    second = handle_of(append(wire, path, first, b"bb"))
    third = handle_of(append(wire, path, second, b"c"))
    for handle, body in ((first, b"bb"), (second, b"d"), (second, b"cc"), (second, b"")):
        behind = append(wire, path, handle, body)
        assert behind.status == 409, behind.body
        assert "stands at 4 bytes" in behind.json()["message"]
    assert flush(wire, path, second, body=b"").status == 409
    assert handle_of(append(wire, path, second, b"c")) == third
    assert flush(wire, path, third, body=b"").status == 200
    assert wire.follow("GET", path).body == b"abbc"
    for step in ("append", "flush"):
        gone = append(wire, path, third, b"", step)
        assert gone.status == 404, gone.body
        assert "append again with an empty handle" in gone.json()["message"]


def test_concurrent_appends_with_one_handle_count_once(bucket: Bucket, wire: Wire) -> None:
    path = f"/v1/objects/{bucket.name}/shared"
    handle = handle_of(append(wire, path, "", b""))
    bodies = [bytes([65 + at]) * 400_000 for at in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda body: append(wire, path, handle, body), bodies))
    won = [at for at, answer in enumerate(answers) if answer.status == 200]
    assert sorted({answer.status for answer in answers}) == [200, 409]
    assert len(won) == 1
    assert flush(wire, path, handle_of(answers[won[0]]), body=b"").status == 200
    assert wire.follow("GET", path).body == bodies[won[0]]


def test_a_cut_append_is_repeated_with_the_same_handle(wire: Wire, path: str) -> None:
    handle = handle_of(append(wire, path, "", b"a"))
    query = f"append_type=append&append_handle={quote(handle, safe='')}"
    body = b"b" * 700_000
    target = urlsplit(wire.send("PUT", f"{path}?{query}", body=b"").header("location") or "")
    head = (
        f"PUT {target.path}?{target.query} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
    )
    with socket.create_connection((str(target.hostname), target.port or 0)) as cut:
        cut.sendall(head.encode() + b"\r\n" + body[:500_000])
    deadline = time.monotonic() + 10
    while (answer := append(wire, path, handle, body)).status == 409:
        assert time.monotonic() < deadline, answer.body
        time.sleep(0.02)
    assert flush(wire, path, handle_of(answer), body=b"").status == 200
    assert wire.follow("GET", path).body == b"a" + body


def test_forged_handles_are_refused(wire: Wire, path: str) -> None:
    handle = handle_of(append(wire, path, "", b"abc"))
    target, session, kind, _ = handle.split("|")
    for forged, status in (
        (f"{target}|{session}|{kind}|18446744073709551615", 409),
        (f"{target}|{session}|{kind}|18446744073709551616", 400),
        (f"{target}|{session}|{kind}|2", 409),
        (f"{target}|{'0' * 16}|{kind}|3", 404),
        (f"tNobody|{session}|{kind}|3", 400),
        (f"{target}|{session}|sha3|3", 400),
    ):
        for step in ("append", "flush"):
            answer = append(wire, path, forged, b"x", step)
            assert answer.status == status, (forged, step, answer)
    other = append(wire, path + "-other", handle, b"x")
    assert other.status == 404, other
    assert flush(wire, path, handle, body=b"").status == 200
    assert wire.follow("GET", path).body == b"abc"


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
