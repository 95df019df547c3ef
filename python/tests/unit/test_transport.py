"""What is below the client: executors, handlers, retries, waiting for locks."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import pytest

from aistore.sdk import ColdGetConf, RetryConfig
from aistore.sdk.errors import (
    AISConnectionError,
    AISError,
    AISTimeoutError,
    ErrBckNotFound,
    ErrGETConflict,
    ErrObjNotFound,
    RequestInfo,
)
from aistore.sdk.lock_poller import LockPoller
from aistore.sdk.request_client import RequestClient
from aistore.sdk.response import Response
from aistore.sdk.response_handler import AISResponseHandler
from aistore.sdk.retry_config import HttpRetry, NetworkRetry
from aistore.sdk.retry_manager import RetryManager, is_cold, read_cold
from aistore.sdk.session_manager import SessionManager, resolve_ssl_config

URL = "http://t/v1/objects/far/o?provider=aws"
QUICK = RetryConfig(HttpRetry(total=0, backoff_factor=0), NetworkRetry(attempts=3))


class Locks:
    """Answers `check-lock` from a list."""

    def __init__(self, *statuses: int, size: int = 0) -> None:
        self.statuses, self.size = list(statuses), size
        self.asked: list[tuple[str, str, dict[str, object]]] = []

    def request(self, method: str, path: str, *, params: Any = None, json: Any = None) -> Response:
        self.asked.append((method, path, dict(params or {})))
        if method == "HEAD":
            return Response(200, [("Content-Length", str(self.size))])
        assert json["action"] == "check-lock"
        status = self.statuses.pop(0)
        if status == 423:
            raise AISError(423, "locked")
        return Response(status)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Time that passes in sleeps only; gives the pauses."""
    pauses: list[float] = []
    monkeypatch.setattr("aistore.sdk.lock_poller.time.sleep", pauses.append)
    monkeypatch.setattr("aistore.sdk.lock_poller.time.monotonic", lambda: sum(pauses))
    return iter([pauses]).__next__()


def late() -> AISTimeoutError:
    return AISTimeoutError(0, "no answer", URL, RequestInfo("GET", URL))


def busy(url: str = URL) -> ErrGETConflict:
    return ErrGETConflict(409, "busy", url, RequestInfo("GET", url))


def failing(*errors: Exception) -> Any:
    left = list(errors)

    def send() -> str:
        if left:
            raise left.pop(0)
        return "content"

    return send


def test_locks_are_waited_for_with_growing_pauses(clock: list[float]) -> None:
    locks = Locks(423, 423, 423, 423, 423, 202)
    assert LockPoller(locks, ColdGetConf()).wait_for_unlock(RequestInfo("GET", URL))
    assert clock == [2.0, 3.0, 4.5, 6.75, 10.0]
    assert {(method, path) for method, path, _ in locks.asked} == {
        ("POST", "objects/far/o"),
        ("HEAD", "objects/far/o"),
    }
    assert all(params["provider"] == "aws" for _, _, params in locks.asked)


def test_large_objects_are_asked_for_less_often(clock: list[float]) -> None:
    locks = Locks(423, 200, size=400 << 30)
    conf = ColdGetConf(est_bandwidth_bps=10 << 30)
    assert LockPoller(locks, conf).wait_for_unlock(RequestInfo("GET", URL))
    assert clock == [5.0]


def test_a_wait_for_a_lock_ends(clock: list[float]) -> None:
    locks = Locks(*[423] * 100)
    conf = ColdGetConf(max_cold_wait=20, enable_remote_head=False)
    assert not LockPoller(locks, conf).wait_for_unlock(RequestInfo("GET", URL))
    assert sum(clock) == 20


@pytest.mark.parametrize("error", [late(), busy()], ids=["timeout", "conflict"])
def test_cold_reads_go_on_when_the_object_has_arrived(clock: list[float], error: Exception) -> None:
    locks = Locks(423, 200)
    assert read_cold(locks, QUICK, failing(error)) == "content"
    assert clock == [2.0]


def test_cold_reads_give_up_in_the_end(clock: list[float]) -> None:
    locks = Locks(*[200] * 10)
    with pytest.raises(ErrGETConflict):
        read_cold(locks, QUICK, failing(*[busy()] * 10))
    assert len(locks.asked) == QUICK.attempts - 1
    conf = RetryConfig(NetworkRetry(attempts=9), cold_get_conf=ColdGetConf(max_cold_wait=0))
    with pytest.raises(AISTimeoutError):
        read_cold(Locks(423, 423), conf, failing(late(), late()))
    assert clock == []


@pytest.mark.parametrize(
    ("url", "cold"),
    [
        (URL, True),
        ("http://t/v1/objects/b/o?provider=ais", False),
        ("http://t/v1/objects/b/o?provider=ais&namespace=%40%23mine", False),
        ("http://t/v1/objects/b/o?provider=ais&namespace=%40other%23", True),
        ("http://t/v1/buckets/b?provider=aws", False),
    ],
)
def test_only_reads_of_remote_objects_are_cold(url: str, cold: bool) -> None:
    assert is_cold(busy(url)) == cold
    assert not is_cold(AISConnectionError(0, "", url))
    assert not is_cold(ErrObjNotFound(404, "", url))


def test_conflicts_elsewhere_are_raised_once() -> None:
    local = "http://t/v1/objects/b/o?provider=ais"
    with pytest.raises(ErrGETConflict):
        read_cold(Locks(), QUICK, failing(busy(local)))


def test_retries_of_what_is_sent_once() -> None:
    lost = AISConnectionError(0, "reset")
    manager = RetryManager(Locks(), QUICK)
    assert manager.retry_config is QUICK
    assert manager.with_retry(failing(lost, lost)) == "content"
    with pytest.raises(AISConnectionError):
        manager.with_retry(failing(lost, lost, lost))
    with pytest.raises(ValueError, match="mine"):
        manager.with_retry(failing(ValueError("mine")))


def test_handlers_pick_exceptions() -> None:
    handler = AISResponseHandler()
    fine = Response(206)
    assert handler.handle_response(fine) is fine
    assert handler.exc_class is AISError
    with pytest.raises(ErrBckNotFound) as caught:
        handler.handle_response(Response(404, (), b"no bucket ais://b", "http://t", "HEAD"))
    assert (caught.value.status_code, caught.value.req) == (404, RequestInfo("HEAD", "http://t"))
    with pytest.raises(ErrGETConflict):
        Response(409, (), b"busy", "http://t", "GET").raise_for_status()


def test_settings_of_sessions_pickle(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AIS_SKIP_VERIFY_CRT", "AIS_SKIP_VERIFY", "AIS_CLIENT_CA", "AIS_CRT"):
        monkeypatch.delenv(name, raising=False)
    made = SessionManager(ca_cert="/ca", client_cert=("/c", "/k"), max_pool_size=3)
    client = pickle.loads(pickle.dumps(RequestClient("http://h", made, timeout=5)))
    again = client.session_manager
    assert (again.ca_cert, again.client_cert, again.max_pool_size) == ("/ca", ("/c", "/k"), 3)
    assert client.timeout == (5, 5)
    other = client.clone("http://other/v1")
    assert (other.base_url, client.base_url) == ("http://other/v1", "http://h/v1")
    assert resolve_ssl_config(ca_cert="/ca") == ("/ca", None)
    assert resolve_ssl_config() == (True, None)
    with pytest.warns(UserWarning, match="not verified"):
        assert resolve_ssl_config(skip_verify=True) == (False, None)
