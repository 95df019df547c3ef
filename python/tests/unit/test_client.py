"""Client settings, pickling and forks."""

from __future__ import annotations

import os
import pickle

import pytest

from aistore.sdk import Client, RetryConfig, _handles
from aistore.sdk.errors import InvalidBckProvider, InvalidURLException
from aistore.sdk.retry_config import HttpRetry, NetworkRetry

URL = "http://127.0.0.1:1"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, (3.0, 20.0)),
        (5, (5, 5)),
        (0, (None, None)),
        ((0, 0), (None, None)),
        ((1.5, 0), (1.5, None)),
        ((0, 2), (None, 2)),
    ],
)
def test_timeouts(
    given: float | tuple[float, float] | None, expected: tuple[float | None, float | None]
) -> None:
    assert Client(URL, timeout=given).request_client.timeout == expected


def test_settings_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIS_CONNECT_TIMEOUT", "7")
    monkeypatch.setenv("AIS_READ_TIMEOUT", "0")
    monkeypatch.setenv("AIS_AUTHN_TOKEN", "secret")
    client = Client(URL)
    assert client.request_client.timeout == (7.0, None)
    assert client.request_client.token == "secret"
    assert Client(URL, token="mine", timeout=1).request_client.token == "mine"


def test_garbage_in_the_environment_warns_and_falls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIS_CONNECT_TIMEOUT", "soon")
    with pytest.warns(UserWarning, match="AIS_CONNECT_TIMEOUT='soon'"):
        assert Client(URL).request_client.timeout == (3.0, 20.0)


@pytest.mark.parametrize("endpoint", ["", "localhost:8080", "ftp://x", "https://", "http://"])
def test_bad_endpoints_are_refused_by_name(endpoint: str) -> None:
    with pytest.raises(ValueError, match="expected http://host:port"):
        Client(endpoint)


@pytest.mark.parametrize("timeout", [-1, (1, float("nan")), float("inf")])
def test_bad_timeouts_are_refused(timeout: float | tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="timeout"):
        Client(URL, timeout=timeout)


def test_clients_pickle_with_all_settings() -> None:
    client = Client(URL, timeout=(1, 2), token="t", max_pool_size=50)
    again = pickle.loads(pickle.dumps(client))
    assert again.endpoint == URL
    assert again.request_client.timeout == (1, 2)
    assert again.request_client.token == "t"
    bucket = pickle.loads(pickle.dumps(client.bucket("b")))
    assert (bucket.name, bucket.client.endpoint) == ("b", URL)


def test_equal_settings_share_one_native_client() -> None:
    one, two, other = Client(URL), Client(URL), Client(URL, timeout=9)
    assert one.request_client.native is two.request_client.native
    assert one.request_client.native is not other.request_client.native


def test_a_forked_child_opens_a_client_of_its_own() -> None:
    client = Client(URL)
    before, generation = client.request_client.native, _handles.generation()
    pid = os.fork()
    if pid == 0:
        good = (
            client.request_client.native is not before and _handles.generation() == generation + 1
        )
        os._exit(0 if good else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert client.request_client.native is before


def test_objects_by_url() -> None:
    obj = Client(URL).get_object_from_url("s3://b/dir/o")
    assert (obj.bucket_name, obj.bucket_provider.value, obj.name) == ("b", "aws", "dir/o")
    assert obj.uname == "aws/@#/b/dir/o"
    assert Client(URL).fetch_object_by_url("ais://b/o").get_semantic_url() == "ais://b/o"
    with pytest.raises(InvalidURLException):
        Client(URL).get_object_from_url("ais://b")
    with pytest.raises(InvalidBckProvider):
        Client(URL).get_object_from_url("ftp://b/o")


def test_object_urls_are_percent_encoded() -> None:
    obj = Client(URL + "/").bucket("b").object("a b/ü?")
    assert obj.get_url() == f"{URL}/v1/objects/b/a%20b/%C3%BC%3F?provider=ais"
    assert (
        obj.get_url(archpath="x/y")
        == f"{URL}/v1/objects/b/a%20b/%C3%BC%3F?provider=ais&archpath=x%2Fy"
    )


def test_retry_settings() -> None:
    assert RetryConfig.default().attempts == 5
    assert RetryConfig(HttpRetry(total=0), NetworkRetry(attempts=1)).attempts == 1
    assert RetryConfig(HttpRetry(total=0)).answered_attempts == 1

    class Stop:
        max_attempt_number = 9

    class Foreign:
        stop = Stop()

    config = RetryConfig(http_retry=object(), network_retry=Foreign())
    assert config.attempts == 9
    assert pickle.loads(pickle.dumps(config)).attempts == 9


def test_no_retry_goes_on_without_end() -> None:
    endless = HttpRetry(total=10**9, backoff_factor=float("inf"), backoff_max=float("inf"))
    config = RetryConfig(endless, NetworkRetry(attempts=10**12))
    assert (config.attempts, config.answered_attempts) == (1000, 1000)
    assert config.backoff == (3600.0, 3600.0)


def test_waits_and_statuses_reach_the_native_client(monkeypatch: pytest.MonkeyPatch) -> None:
    class Foreign:  # as urllib3.Retry
        total, backoff_factor, backoff_max, status_forcelist = 2, 3.0, 48, {500, 503}

    config = RetryConfig(http_retry=Foreign(), network_retry=NetworkRetry(attempts=1))
    for each in (config, pickle.loads(pickle.dumps(config))):
        assert (each.attempts, each.answered_attempts) == (1, 3)
        assert (each.backoff, each.statuses) == ((3.0, 48.0), (500, 503))
    opened: list[dict[str, object]] = []

    class Native:
        def __init__(self, **settings: object) -> None:
            opened.append(settings)

        def close(self) -> None:
            """Nothing is open."""

    monkeypatch.setattr("aistore.sdk._handles._native.Client", Native)
    client = pickle.loads(pickle.dumps(Client("http://only-here", retry_config=config)))
    assert client.request_client.native
    client.close()
    keys = ("attempts", "answered_attempts", "backoff", "backoff_max", "retry_statuses")
    assert {key: opened[0][key] for key in keys} == {
        "attempts": 1,
        "answered_attempts": 3,
        "backoff": 3.0,
        "backoff_max": 48.0,
        "retry_statuses": (500, 503),
    }


def test_only_native_buckets_are_made_here() -> None:
    with pytest.raises(InvalidBckProvider):
        Client(URL).bucket("b", "s3").create()
    with pytest.raises(InvalidBckProvider):
        Client(URL).bucket("b").verify_cloud_bucket()
    with pytest.raises(NotImplementedError):
        Client(URL).bucket("b", "gs").list_objects(start_after="x")
