"""Distributed object storage for AI training: client, embedded cluster and command line.

Names are imported on first use, so that the command-line entry points start without loading
anything but the native module.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from aistore.version import __version__

if TYPE_CHECKING:
    from aistore.local_cluster import LocalCluster
    from aistore.sdk.client import Client

__all__ = ["Client", "LocalCluster", "__version__"]

_HOMES = {"Client": "aistore.sdk.client", "LocalCluster": "aistore.local_cluster"}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
