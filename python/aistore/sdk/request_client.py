"""Requests to a cluster: the picklable, thread-safe holder of a native client.

Invariant: no networking, retrying or routing here; that is native.
"""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from json import dumps
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from pydantic import TypeAdapter

from aistore.sdk._handles import Settings, forget_endpoint, generation, open_handle
from aistore.sdk.errors import APIRequestError
from aistore.sdk.response import Response
from aistore.sdk.retry_config import RetryConfig
from aistore.sdk.session_manager import SessionManager
from aistore.sdk.types import Smap

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aistore import _native
    from aistore.sdk.multipart_config import MultipartConfig
    from aistore.sdk.response_handler import ResponseHandler

T = TypeVar("T")


def quote_name(name: str) -> str:
    """Percent-encodes an object name for a URL path; slashes stay."""
    return quote(name)


class RequestClient:
    """Sends requests to one cluster. Share it between threads, pickle it, use it after a fork.

    Args:
        endpoint: URL of a gateway.
        session_manager: What connections are made with.
        timeout: Seconds to wait, one number for both or (connect, read); None waits without end.
        token: Bearer token.
        response_handler: Makes exceptions of error answers; by default those of
            `aistore.sdk.errors`.
        retry_config: How often to retry, after what, and how long to wait.
        multipart: When large objects are uploaded in parts; None is never.

    Attributes:
        retry_config: As given.
        multipart: As given.
    """

    def __init__(
        self,
        endpoint: str,
        session_manager: SessionManager | None = None,
        timeout: float | tuple[float | None, float | None] | None = (3.0, 20.0),
        token: str = "",
        response_handler: ResponseHandler | None = None,
        retry_config: RetryConfig | None = None,
        *,
        multipart: MultipartConfig | None = None,
    ) -> None:
        connect, read = timeout if isinstance(timeout, tuple) else (timeout, timeout)
        retry = retry_config or RetryConfig.default()
        first_wait, longest_wait = retry.backoff
        self.retry_config = retry
        self._sessions = session_manager or SessionManager()
        self._handler = response_handler
        self._settings = Settings(
            endpoint.rstrip("/"),
            connect or None,
            read or None,
            token or None,
            self._sessions.max_pool_size,
            retry.attempts,
            retry.answered_attempts,
            first_wait,
            longest_wait,
            retry.statuses,
            *self._sessions.tls,
        )
        self.multipart = multipart
        self._opened: tuple[int, _native.Client] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}

    def clone(
        self, base_url: str | None = None, response_handler: ResponseHandler | None = None
    ) -> RequestClient:
        """A client with the same settings but for those that are given.

        Args:
            base_url: URL of another gateway, with or without `/v1`.
            response_handler: Makes exceptions of error answers.
        """
        other = copy(self)
        if base_url:
            endpoint = base_url.rstrip("/").removesuffix("/v1")
            other._settings = replace(self._settings, endpoint=endpoint)  # noqa: SLF001 - our own
        if response_handler is not None:
            other._handler = response_handler  # noqa: SLF001 - our own
        return other

    @property
    def native(self) -> _native.Client:
        """This process's native client."""
        opened = self._opened  # one read: another thread may replace it meanwhile
        if opened is not None and opened[0] == generation():
            return opened[1]
        # The old pair, if any, stays alive in the registry of handles.
        handle = open_handle(self._settings)
        self._opened = generation(), handle
        return handle

    @property
    def endpoint(self) -> str:
        """URL of the gateway."""
        return self._settings.endpoint

    @property
    def base_url(self) -> str:
        """URL that request paths are relative to."""
        return f"{self._settings.endpoint}/v1"

    @property
    def timeout(self) -> tuple[float | None, float | None]:
        """(connect, read) in seconds."""
        return self._settings.connect_timeout, self._settings.read_timeout

    @timeout.setter
    def timeout(self, value: tuple[float | None, float | None]) -> None:
        connect, read = value
        self._change(replace(self._settings, connect_timeout=connect, read_timeout=read))

    @property
    def token(self) -> str:
        """Bearer token, empty without one."""
        return self._settings.token or ""

    @token.setter
    def token(self, value: str) -> None:
        self._change(replace(self._settings, token=value or None))

    @property
    def session_manager(self) -> SessionManager:
        """What connections are made with."""
        return self._sessions

    @session_manager.setter
    def session_manager(self, value: SessionManager) -> None:
        self._sessions = value
        settings = replace(self._settings, max_pool_size=value.max_pool_size)
        self._change(replace(settings, **value.tls._asdict()))

    def _change(self, settings: Settings) -> None:
        self._settings, self._opened = settings, None

    def close(self) -> None:
        """Closes this process's connections to the cluster; the next request opens new ones."""
        self._opened = None
        forget_endpoint(self.endpoint)

    def get_smap(self, force_update: bool = False) -> Smap:
        """The cluster map, from memory unless an update is forced."""
        return Smap.model_validate_json(self.native.smap(force_update))

    def request(
        self,
        method: str,
        path: str,
        endpoint: str | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        params: Mapping[str, object] | None = None,
        json: Any = None,
        data: bytes | None = None,
        timeout: float | None = None,
    ) -> Response:
        """Sends a request and waits for the whole answer, redirects followed.

        Args:
            method: HTTP method.
            path: Path below `/v1/`, percent-encoded.
            endpoint: Another node's URL, instead of the gateway's.
            headers: Additional headers.
            params: Query parameters.
            json: Body, encoded here.
            data: Body as it is.
            timeout: Seconds to wait for the answer, instead of the client's.

        Raises:
            AISError: The answer is an error, or none came.
        """
        body = data if json is None else dumps(json).encode()
        return self._send(endpoint, f"/v1/{path}", method, headers, params, body, timeout)

    def request_absolute(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        *,
        params: Mapping[str, object] | None = None,
        json: Any = None,
        data: bytes | None = None,
        timeout: float | None = None,
    ) -> Response:
        """Like `request`, to any URL of the cluster: `http://host:port/path`."""
        body = data if json is None else dumps(json).encode()
        parts = urlsplit(url)
        asked = {**dict(parse_qsl(parts.query, keep_blank_values=True)), **(params or {})}
        base = f"{parts.scheme}://{parts.netloc}"
        return self._send(base, parts.path or "/", method, headers, asked, body, timeout)

    def _send(
        self,
        base: str | None,
        path: str,
        method: str,
        headers: Mapping[str, str] | None,
        params: Mapping[str, object] | None,
        body: bytes | None,
        timeout: float | None,
    ) -> Response:
        sent = pairs({"Content-Type": "application/json", **(headers or {})})
        method, query = method.upper(), pairs(params)
        try:
            answer = self.native.request(
                method, path, query, sent, body, base_url=base, timeout=timeout
            )
        except APIRequestError as error:
            if self._handler is None or not error.status_code:
                raise
            url = error.req_url
            refused = Response(error.status_code, (), error.message.encode(), url, method)
            return self._handler.handle_response(refused)
        return Response.wrap(answer, method)

    def request_deserialize(self, method: str, path: str, res_model: type[T], **options: Any) -> T:
        """Sends a request and reads the answer's JSON into a model."""
        return TypeAdapter(res_model).validate_json(self.request(method, path, **options).content)

    def get_full_url(self, path: str, params: Mapping[str, object] | None = None) -> str:
        """The URL of a request, for other HTTP clients."""
        query = f"?{urlencode(pairs(params))}" if params else ""
        return f"{self.base_url}/{path}{query}"


def pairs(mapping: Mapping[str, object] | None) -> list[tuple[str, str]]:
    """Query parameters or headers in the form that the native client takes."""
    return [(name, str(value)) for name, value in (mapping or {}).items()]
