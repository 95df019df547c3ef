"""Requests to a cluster: the picklable, thread-safe holder of a native client.

Invariant: no networking, retrying or routing here; that is native.
"""

from __future__ import annotations

from dataclasses import replace
from json import dumps
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlencode

from pydantic import TypeAdapter

from aistore.sdk._handles import Settings, forget_endpoint, generation, open_handle
from aistore.sdk._tls import TlsSettings
from aistore.sdk.response import Response
from aistore.sdk.retry_config import RetryConfig
from aistore.sdk.types import Smap

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aistore import _native
    from aistore.sdk.multipart_config import MultipartConfig

T = TypeVar("T")


def quote_name(name: str) -> str:
    """Percent-encodes an object name for a URL path; slashes stay."""
    return quote(name)


class RequestClient:
    """Sends requests to one cluster. Share it between threads, pickle it, use it after a fork.

    Args:
        endpoint: URL of a gateway.
        timeout: (connect, read) in seconds; None in either place waits without end.
        token: Bearer token.
        max_pool_size: Idle connections kept per node.
        retry_config: How often to retry, after what, and how long to wait.
        multipart: When large objects are uploaded in parts; None is never.
        tls: What to trust and who we are, for `https://` nodes.
    """

    def __init__(
        self,
        endpoint: str,
        timeout: tuple[float | None, float | None] = (3.0, 20.0),
        token: str = "",
        *,
        max_pool_size: int = 10,
        retry_config: RetryConfig | None = None,
        multipart: MultipartConfig | None = None,
        tls: TlsSettings | None = None,
    ) -> None:
        connect, read = timeout
        retry = retry_config or RetryConfig.default()
        first_wait, longest_wait = retry.backoff
        self._settings = Settings(
            endpoint.rstrip("/"),
            connect,
            read,
            token or None,
            max_pool_size,
            retry.attempts,
            first_wait,
            longest_wait,
            retry.statuses,
            *(tls or TlsSettings()),
        )
        self.multipart = multipart
        self._opened: tuple[int, _native.Client] | None = None

    def __getstate__(self) -> tuple[Settings, MultipartConfig | None]:
        return self._settings, self.multipart

    def __setstate__(self, state: tuple[Settings, MultipartConfig | None]) -> None:
        self._settings, self.multipart = state
        self._opened = None

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
        sent = {"Content-Type": "application/json", **(headers or {})}
        return Response.wrap(
            self.native.request(
                method.upper(),
                f"/v1/{path}",
                pairs(params),
                pairs(sent),
                body,
                base_url=endpoint,
                timeout=timeout,
            )
        )

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
