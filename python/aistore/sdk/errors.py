"""Exceptions. All pickle; those that come from a request carry its status, text and URL."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

_NOT_FOUND = 404
_CONFLICT = 409

# What a server error is about: the first bucket or object URL in its text.
_CNAME = re.compile(r"(ais|aws|azure|gcp|oci|gs|s3)://([A-Za-z0-9@#._-]{1,132})(/?)")


# What a request is about: the bucket and the object in its path.
_PATH = re.compile(r"/v1/(?:objects|buckets)/([^/]+)/?(.*)")


@dataclass(frozen=True)
class RequestInfo:
    """What was asked when an error came back."""

    method: str
    url: str


class APIRequestError(Exception):
    """A request failed.

    Attributes:
        status_code: HTTP status; 0 when no answer arrived.
        message: The server's text, or what went wrong on the way.
        req_url: URL of the request.
        req: The request.
        bucket: What bucket the request was about: `ais://name`; empty if about none.
        obj_name: What object of it; empty if about none.
    """

    def __init__(
        self, status_code: int, message: str, req_url: str = "", req: RequestInfo | None = None
    ) -> None:
        self.status_code = status_code
        self.message = message
        self.req_url = req_url
        self.req = req
        super().__init__(f"STATUS:{status_code}, MESSAGE:{message}, REQ_URL:{req_url}")

    @property
    def bucket(self) -> str:
        """`provider://name` of the bucket that the request was about; empty if about none."""
        provider, bucket, _ = _subject(self.req_url, self.message)
        return f"{provider}://{bucket}" if bucket else ""

    @property
    def obj_name(self) -> str:
        """Name of the object that the request was about; empty if about none."""
        return _subject(self.req_url, self.message)[2]

    def __str__(self) -> str:
        return f"STATUS:{self.status_code}, MESSAGE:{self.message}, REQ_URL:{self.req_url}"

    def __reduce__(
        self,
    ) -> tuple[type[APIRequestError], tuple[int, str, str, RequestInfo | None]]:
        return type(self), (self.status_code, self.message, self.req_url, self.req)


def _subject(url: str, message: str) -> tuple[str, str, str]:
    """Provider, bucket and object of a request, by its URL, else by the server's text."""
    parts = urlsplit(url)
    found = _PATH.search(parts.path)
    if found:
        provider = parse_qs(parts.query).get("provider", ["ais"])[0]
        return provider, unquote(found[1]), unquote(found[2] or "")
    named = _CNAME.search(message)
    return (named[1], named[2], "") if named else ("", "", "")


class AISError(APIRequestError):
    """The cluster answered with an error, or could not be asked."""


class AISRetryableError(AISError):
    """The same request may succeed later."""


class ErrObjNotFound(AISRetryableError):
    """No such object."""


class ErrGETConflict(AISRetryableError):
    """The object is busy."""


class ErrRemoteBckNotFound(AISError):
    """No such bucket at its remote home."""


class ErrBckNotFound(AISError):
    """No such bucket."""


class ErrBckAlreadyExists(AISError):
    """A bucket of this name exists."""


class ErrETLAlreadyExists(AISError):
    """A transformer of this name exists."""


class ErrETLNotFound(AISError):
    """No such transformer."""


class AISConnectionError(AISError, ConnectionError):
    """No connection, or it broke before the answer was complete."""

    def __str__(self) -> str:
        return self.message


class AISTruncatedError(AISConnectionError):
    """The answer ended before its announced length."""


class AISTimeoutError(AISError, TimeoutError):
    """No answer in time."""

    def __str__(self) -> str:
        return self.message


class InvalidBckProvider(Exception):
    """The operation does not exist for buckets of this provider."""

    def __init__(self, provider: object) -> None:
        self.provider = provider
        super().__init__(f"Invalid bucket provider: '{provider}'")

    def __reduce__(self) -> tuple[type[InvalidBckProvider], tuple[object]]:
        return type(self), (self.provider,)


class Timeout(Exception):
    """A wait ran out."""

    def __init__(self, action: str, message: str = "") -> None:
        self.action, self.detail = action, message
        super().__init__(f"Timed out while waiting for {action}. {message}".rstrip())

    def __reduce__(self) -> tuple[type[Timeout], tuple[str, str]]:
        return type(self), (self.action, self.detail)


class InvalidObjectRangeIndex(Exception):
    """The bounds of an object range contradict each other."""

    def __init__(self, message: str) -> None:
        super().__init__(f"Invalid argument provided for object range index: {message}")
        self.message = message

    def __reduce__(self) -> tuple[type[InvalidObjectRangeIndex], tuple[str]]:
        return type(self), (self.message,)


class JobInfoNotFound(Exception):
    """The cluster knows nothing of the job."""


class UnexpectedHTTPStatusCode(Exception):
    """An answer with a status that the protocol does not have here."""

    def __init__(self, expected: object, received: int) -> None:
        self.expected, self.received = expected, received
        super().__init__(f"Unexpected HTTP status: expected {expected}, received {received}")

    def __reduce__(self) -> tuple[type[UnexpectedHTTPStatusCode], tuple[object, int]]:
        return type(self), (self.expected, self.received)


class InvalidURLException(Exception):
    """Not a URL of an object."""

    def __init__(self, url: str) -> None:
        self.url = url
        super().__init__(
            f"Invalid URL '{url}': expected provider://bucket/object, for instance ais://data/a.tar"
        )

    def __reduce__(self) -> tuple[type[InvalidURLException], tuple[str]]:
        return type(self), (self.url,)


class NoTargetError(Exception):
    """The cluster map has no target that accepts data."""

    def __init__(self, total_nodes: int) -> None:
        self.total_nodes = total_nodes
        super().__init__(f"No available targets in the map. Total nodes: {total_nodes}")

    def __reduce__(self) -> tuple[type[NoTargetError], tuple[int]]:
        return type(self), (self.total_nodes,)


class InvalidPipelineError(ValueError):
    """Transformers that cannot be chained."""


class ETLDirectPutTransientError(Exception):
    """A transformer could not hand an object on; trying again may help."""

    def __init__(
        self, url: str, cause: BaseException | str, bail_without_local_retry: bool = False
    ) -> None:
        super().__init__(f"direct put to {url} failed: {cause}")
        self.url, self.cause = url, cause
        self.bail_without_local_retry = bail_without_local_retry

    def __reduce__(
        self,
    ) -> tuple[type[ETLDirectPutTransientError], tuple[str, BaseException | str, bool]]:
        return type(self), (self.url, self.cause, self.bail_without_local_retry)


class LocalClusterError(RuntimeError):
    """An embedded cluster did not come up, or one of its nodes ended by itself."""


def classify(status: int, method: str, text: str) -> type[AISError]:
    """Picks the exception class for an error answer.

    Args:
        status: HTTP status, 400 or above.
        method: HTTP method of the request.
        text: Raw body; decides by the first bucket or object URL in it.
    """
    if status not in {_NOT_FOUND, _CONFLICT}:
        return AISError
    if status == _CONFLICT and method.upper() == "GET":
        return ErrGETConflict
    if "etl job" in text:
        return ErrETLNotFound if status == _NOT_FOUND else ErrETLAlreadyExists
    found = _CNAME.search(text)
    if found is None:
        return AISError
    provider, name, slash = found.groups()
    if status == _CONFLICT:
        return AISError if slash else ErrBckAlreadyExists
    if slash:
        return ErrObjNotFound
    remote = provider != "ais" or "@" in name
    return ErrRemoteBckNotFound if remote else ErrBckNotFound


_BY_KIND: dict[str, type[AISError]] = {
    "connect": AISConnectionError,
    "connection": AISConnectionError,
    "io": AISConnectionError,
    "timeout": AISTimeoutError,
    "truncated": AISTruncatedError,
}


def from_native(
    kind: str,
    status: int | None = None,
    message: str = "",
    url: str = "",
    method: str = "",
    body: str | bytes | None = None,
) -> Exception:
    """Builds the exception for a failure that the native client reports.

    Args:
        kind: `api` (an error answer), `connect`, `timeout`, `truncated`, or `invalid` (refused
            before anything was sent).
        status: HTTP status of an error answer.
        message: Text for people.
        url: URL of the request.
        method: Its HTTP method.
        body: Raw body of an error answer; classification reads it, or the message without it.
    """
    if isinstance(body, bytes):
        body = body.decode("utf-8", "replace")
    req = RequestInfo(method, url)
    if kind == "invalid":
        return ValueError(message)
    if kind in _BY_KIND:
        return _BY_KIND[kind](status or 0, message, url, req)
    status = status or 0
    return classify(status, method, body or message)(status, message or body or "", url, req)
