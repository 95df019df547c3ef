"""What connections to a cluster are made with: certificates and the size of the pool."""

from __future__ import annotations

import os
from typing import Any

from aistore.sdk._tls import TlsSettings, resolve_tls

_DEFAULT_POOL = 10


def resolve_ssl_config(
    skip_verify: bool = False,
    ca_cert: str | None = None,
    client_cert: str | tuple[str, str] | None = None,
) -> tuple[bool | str, tuple[str, str] | None]:
    """Applies arguments and environment as `Client` does.

    Returns:
        What `requests` takes as `verify` and `cert`.
    """
    tls = resolve_tls(skip_verify, ca_cert, client_cert)
    return False if tls.skip_verify else tls.ca_cert or True, tls.client_cert


class SessionManager:
    """Settings of connections; plain values, so that it pickles.

    The package sends its own requests natively. `session` is for users who want to send others.

    Args:
        retry: A `urllib3.Retry` for `session`.
        ca_cert: As for `Client`.
        skip_verify: As for `Client`.
        client_cert: As for `Client`.
        max_pool_size: Idle connections kept per node.
    """

    def __init__(
        self,
        retry: Any = None,
        ca_cert: str | None = None,
        skip_verify: bool = False,
        client_cert: str | tuple[str, str] | None = None,
        max_pool_size: int = _DEFAULT_POOL,
    ) -> None:
        self._retry = retry
        self._tls = resolve_tls(skip_verify, ca_cert, client_cert)
        self._max_pool_size = max_pool_size
        self._sessions: dict[int, Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_sessions": {}}

    @property
    def retry(self) -> Any:
        """Retries of `session`."""
        return self._retry

    @property
    def ca_cert(self) -> str | None:
        """File or folder of trusted certificates; None trusts what the system trusts."""
        return self._tls.ca_cert

    @property
    def skip_verify(self) -> bool:
        """Whether any certificate is accepted."""
        return self._tls.skip_verify

    @property
    def client_cert(self) -> tuple[str, str] | None:
        """Files of our own certificate and its key."""
        return self._tls.client_cert

    @property
    def tls(self) -> TlsSettings:
        """The three above."""
        return self._tls

    @property
    def max_pool_size(self) -> int:
        """Idle connections kept per node."""
        return self._max_pool_size

    @property
    def session(self) -> Any:
        """A `requests.Session` of this process with these settings.

        Raises:
            ImportError: requests is not installed.
        """
        # A child of a fork must not share the connections of its parent.
        found = self._sessions.get(os.getpid())
        if found is None:
            found = self._sessions[os.getpid()] = self._open()
        return found

    def _open(self) -> Any:
        try:
            import requests  # type: ignore[import-untyped,import-not-found,unused-ignore] # noqa: PLC0415
        except ImportError as error:
            raise ImportError("sessions need requests: pip install requests") from error
        session = requests.Session()
        session.verify = False if self.skip_verify else self.ca_cert or True
        session.cert = self.client_cert
        retries = {} if self._retry is None else {"max_retries": self._retry}
        for scheme in ("http://", "https://"):
            adapter = requests.adapters.HTTPAdapter(pool_maxsize=self._max_pool_size, **retries)
            session.mount(scheme, adapter)
        return session
