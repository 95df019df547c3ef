"""Certificates of an embedded cluster."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from aistore import _native

if TYPE_CHECKING:
    from os import PathLike

# LocalCluster listens there and nowhere else.
_NAMES = ["127.0.0.1", "localhost"]


class CertificateFiles(NamedTuple):
    """What nodes show, and what clients trust.

    Args:
        ca: The authority.
        cert: The nodes' certificate.
        key: Its key.
    """

    ca: Path
    cert: Path
    key: Path


def certificate_files(
    given: bool | tuple[str | PathLike[str], str | PathLike[str]] | None, root: Path
) -> CertificateFiles | None:
    """Files for the cluster in `root`: given ones, those of its last start, or new ones."""
    if not given:
        return None
    if isinstance(given, tuple):
        cert, key = Path(given[0]).absolute(), Path(given[1]).absolute()
        # A certificate of one's own is its own authority.
        return CertificateFiles(cert, cert, key)
    home = root / "tls"
    files = CertificateFiles(home / "ca.crt", home / "node.crt", home / "node.key")
    if not all(path.exists() for path in files):
        home.mkdir(exist_ok=True)
        for path, text in zip(files, _native.make_certificate(_NAMES), strict=True):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(text)
    return files
