"""Requests that are sent once and whose answers are given as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aistore.sdk.errors import APIRequestError
from aistore.sdk.request_client import RequestClient
from aistore.sdk.response import Response
from aistore.sdk.retry_config import HttpRetry, NetworkRetry, RetryConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aistore.sdk.session_manager import SessionManager

_ONCE = RetryConfig(HttpRetry(total=0), NetworkRetry(attempts=1))


class RequestExecutor:
    """Sends single requests; errors of the cluster are answers, not exceptions.

    Args:
        base_url: What paths are relative to: `http://gateway:8080/v1`.
        session_manager: What connections are made with.
        token: Bearer token.
        timeout: Seconds to wait, one number for both or (connect, read); None waits without end.
    """

    def __init__(
        self,
        base_url: str,
        session_manager: SessionManager | None = None,
        token: str = "",
        timeout: float | tuple[float | None, float | None] | None = None,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        parts = urlsplit(self._base_url)
        endpoint = f"{parts.scheme}://{parts.netloc}"
        self._client = RequestClient(endpoint, session_manager, timeout, token, retry_config=_ONCE)

    @property
    def base_url(self) -> str:
        """What paths are relative to."""
        return self._base_url

    @property
    def session_manager(self) -> SessionManager:
        """What connections are made with."""
        return self._client.session_manager

    @session_manager.setter
    def session_manager(self, value: SessionManager) -> None:
        self._client.session_manager = value

    @property
    def token(self) -> str:
        """Bearer token, empty without one."""
        return self._client.token

    @token.setter
    def token(self, value: str) -> None:
        self._client.token = value

    @property
    def timeout(self) -> tuple[float | None, float | None]:
        """(connect, read) in seconds."""
        return self._client.timeout

    @timeout.setter
    def timeout(self, value: tuple[float | None, float | None]) -> None:
        self._client.timeout = value

    def request(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, **options: Any
    ) -> Response:
        """Sends a request; redirects are followed.

        Args:
            method: HTTP method.
            path: Path below the base URL, percent-encoded.
            headers: Additional headers.
            **options: `params`, `json`, `data`, `timeout` as in `RequestClient.request`.

        Raises:
            AISConnectionError: No answer came.
            AISTimeoutError: None came in time.
        """
        return self.request_absolute(method, f"{self._base_url}/{path}", headers, **options)

    def request_absolute(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, **options: Any
    ) -> Response:
        """Like `request`, to any URL of the cluster.

        Raises:
            AISConnectionError: No answer came.
            AISTimeoutError: None came in time.
        """
        try:
            return self._client.request_absolute(method, url, headers, **options)
        except APIRequestError as error:
            if not error.status_code:
                raise
            return Response(
                error.status_code, (), error.message.encode(), error.req_url, method.upper()
            )
