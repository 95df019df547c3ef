"""Errors: classified by status and text, picklable, and caught by the built-in classes they are."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

from aistore.sdk import errors
from aistore.sdk.obj.obj_file import errors as file_errors


@pytest.mark.parametrize(
    ("status", "method", "text", "expected"),
    [
        (404, "GET", "t[abc]: ais://b/o does not exist", errors.ErrObjNotFound),
        (404, "GET", 'bucket "ais://b" does not exist', errors.ErrBckNotFound),
        (404, "GET", 'bucket "s3://b" does not exist', errors.ErrRemoteBckNotFound),
        (404, "GET", 'bucket "ais://@uuid" is unreachable', errors.ErrRemoteBckNotFound),
        (404, "GET", "etl job x for ais://b/o not found", errors.ErrETLNotFound),
        (404, "HEAD", "", errors.AISError),
        (404, "GET", "az://b/o is gone", errors.AISError),
        (409, "GET", "busy", errors.ErrGETConflict),
        (409, "get", "etl job x", errors.ErrGETConflict),
        (409, "POST", 'bucket "ais://b" already exists', errors.ErrBckAlreadyExists),
        (409, "POST", "etl job x exists", errors.ErrETLAlreadyExists),
        (409, "PUT", "ais://b/o is busy", errors.AISError),
        (500, "GET", "ais://b/o: disk failed", errors.AISError),
        (404, "GET", "ais://b/o in s3://other", errors.ErrObjNotFound),
    ],
)
def test_class_follows_from_status_and_first_url(
    status: int, method: str, text: str, expected: type[errors.AISError]
) -> None:
    error = errors.from_native("api", status, text, "http://h/v1/x", method, text)
    assert type(error) is expected
    assert (error.status_code, error.message, error.req_url) == (status, text, "http://h/v1/x")
    assert error.req == errors.RequestInfo(method, "http://h/v1/x")
    assert str(error) == f"STATUS:{status}, MESSAGE:{text}, REQ_URL:http://h/v1/x"


def test_body_decides_and_message_is_shown() -> None:
    body = b'{"message":"t[x]: ais://b/o does not exist","status":404}'
    error = errors.from_native("api", 404, "gone", "u", "GET", body)
    assert type(error) is errors.ErrObjNotFound
    assert error.message == "gone"


@pytest.mark.parametrize(
    ("kind", "caught"),
    [("connect", ConnectionError), ("timeout", TimeoutError), ("truncated", ConnectionError)],
)
def test_transport_errors_are_built_in_errors_too(kind: str, caught: type[Exception]) -> None:
    text = "cannot connect to http://h:1: is a gateway listening there?"
    error = errors.from_native(kind, None, text, "http://h:1", "GET")
    assert isinstance(error, caught)
    assert isinstance(error, errors.AISError)
    assert str(error) == text
    assert error.status_code == 0


def test_a_refused_argument_is_a_value_error() -> None:
    assert type(errors.from_native("invalid", None, "bad endpoint")) is ValueError


@pytest.mark.parametrize(
    "error",
    [
        errors.from_native(kind, 404, "ais://b/o", "u", "GET", "ais://b/o")
        for kind in ("api", "connect", "timeout", "truncated")
    ]
    + [
        errors.InvalidBckProvider("x"),
        errors.Timeout("job", "later"),
        errors.InvalidObjectRangeIndex("m"),
        errors.UnexpectedHTTPStatusCode([200], 500),
        errors.InvalidURLException("u"),
        errors.NoTargetError(3),
        errors.LocalClusterError("m"),
        file_errors.ObjectFileReaderStreamError("m"),
        file_errors.ObjectFileReaderMaxResumeError(ValueError("v"), 2),
        file_errors.ObjectFileReaderUnexpectedEOF(1, 2),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_pickle(error: Exception) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    state = {k: str(v) for k, v in vars(error).items()}
    assert {k: str(v) for k, v in vars(again).items()} == state


def test_importing_the_package_loads_neither_pydantic_nor_torch() -> None:
    code = (
        "import sys, aistore, aistore.sdk, aistore._entry, aistore.sdk.errors; print(*sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in out.stdout.split()}
    assert not loaded & {"pydantic", "torch", "numpy", "asyncio"}


@pytest.mark.parametrize(
    ("url", "message", "bucket", "name"),
    [
        ("http://h/v1/objects/b/a%20b/c?provider=aws", "gone", "aws://b", "a b/c"),
        ("http://h/v1/buckets/b?provider=ais", "gone", "ais://b", ""),
        ("http://h/v1/ml/moss", 'bucket "gcp://b" does not exist', "gcp://b", ""),
        ("http://h/v1/daemon", "busy", "", ""),
    ],
)
def test_errors_say_what_they_are_about(url: str, message: str, bucket: str, name: str) -> None:
    error = pickle.loads(pickle.dumps(errors.from_native("api", 503, message, url, "GET")))
    assert (error.status_code, error.bucket, error.obj_name) == (503, bucket, name)
