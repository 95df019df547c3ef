"""What to trust and who we are on `https://` connections: arguments, environment, defaults."""

from __future__ import annotations

import os
import warnings
from typing import NamedTuple

_TRUE = frozenset({"1", "t", "true", "y", "yes", "on"})


class TlsSettings(NamedTuple):
    """Plain values, so that they pickle.

    Args:
        skip_verify: Accept any certificate.
        ca_cert: File or folder of trusted certificates; None trusts what the system trusts.
        client_cert: Files of our own certificate and its key.
    """

    skip_verify: bool = False
    ca_cert: str | None = None
    client_cert: tuple[str, str] | None = None


def resolve_tls(
    skip_verify: bool = False,
    ca_cert: str | None = None,
    client_cert: str | tuple[str, str] | None = None,
) -> TlsSettings:
    """Applies arguments, then the environment.

    A true `AIS_SKIP_VERIFY_CRT` (`AIS_SKIP_VERIFY` if that is unset) wins over `skip_verify=False`.
    """
    from_env = os.environ.get("AIS_SKIP_VERIFY_CRT", os.environ.get("AIS_SKIP_VERIFY", ""))
    if skip_verify or from_env.strip().lower() in _TRUE:
        warnings.warn(
            "certificates of the cluster are not verified: whoever is on the way can read and"
            " change what is sent; pass ca_cert or set AIS_CLIENT_CA instead",
            stacklevel=4,
        )
        return TlsSettings(True, None, _client_cert(client_cert))
    ca_cert = ca_cert or os.environ.get("AIS_CLIENT_CA") or None
    return TlsSettings(False, ca_cert, _client_cert(client_cert))


def _client_cert(given: str | tuple[str, str] | None) -> tuple[str, str] | None:
    if isinstance(given, tuple):
        cert, key = given
        return os.fspath(cert), os.fspath(key)
    if given:
        # One file with both.
        return os.fspath(given), os.fspath(given)
    named = os.environ.get("AIS_CRT"), os.environ.get("AIS_CRT_KEY")
    return (named[0], named[1]) if named[0] and named[1] else None
