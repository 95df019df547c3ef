"""Native clients: one per process and settings, opened on first use, never carried across a fork.

Invariant: after a fork the child neither uses nor drops a handle of its parent. Dropping one would
join runtime threads that the child does not have.
"""

from __future__ import annotations

import os
import threading
from dataclasses import asdict, dataclass

from aistore import _native
from aistore.sdk.retry_config import (
    DEFAULT_BACKOFF_MAX_S,
    DEFAULT_BACKOFF_S,
    DEFAULT_STATUSES,
)
from aistore.version import __version__


@dataclass(frozen=True)
class Settings:
    """All that a native client is opened with; plain values, so that it pickles.

    Args:
        endpoint: URL of a gateway.
        connect_timeout: Seconds to wait for a connection; None waits without end.
        read_timeout: Seconds to wait for the next bytes; None waits without end.
        token: Bearer token, if any.
        max_pool_size: Idle connections kept per node.
        attempts: Attempts of a request that gets no answer.
        answered_attempts: Attempts of a request that is answered with one of `retry_statuses`.
        backoff: Seconds of the first wait before another attempt.
        backoff_max: Seconds of the longest one.
        retry_statuses: Answers to try again after.
        skip_verify: Accept any certificate.
        ca_cert: File or folder of trusted certificates; None trusts what the system trusts.
        client_cert: Files of our own certificate and its key.
    """

    endpoint: str
    connect_timeout: float | None = 3.0
    read_timeout: float | None = 20.0
    token: str | None = None
    max_pool_size: int = 10
    attempts: int = 5
    answered_attempts: int = 5
    backoff: float = DEFAULT_BACKOFF_S
    backoff_max: float = DEFAULT_BACKOFF_MAX_S
    retry_statuses: tuple[int, ...] = DEFAULT_STATUSES
    skip_verify: bool = False
    ca_cert: str | None = None
    client_cert: tuple[str, str] | None = None


class _Registry:
    """Open handles of this process."""

    def __init__(self) -> None:
        self.generation = 0
        self._lock = threading.Lock()
        self._open: dict[Settings, _native.Client] = {}
        # Closed or inherited; kept, so that none is ever dropped on the wrong side of a fork.
        self._retired: list[_native.Client] = []

    def open(self, settings: Settings) -> _native.Client:
        with self._lock:
            handle = self._open.get(settings)
            if handle is None:
                agent = f"ais/python/{__version__}"
                handle = _native.Client(**asdict(settings), user_agent=agent)
                self._open[settings] = handle
            return handle

    def forget_endpoint(self, endpoint: str) -> None:
        with self._lock:
            gone = [settings for settings in self._open if settings.endpoint == endpoint]
            handles = [self._open.pop(settings) for settings in gone]
            self._retired.extend(handles)
            self.generation += 1
        for handle in handles:
            handle.close()

    def after_fork_in_child(self) -> None:
        # A thread of the parent may have held the lock at the moment of the fork.
        self._lock = threading.Lock()
        self._retired.extend(self._open.values())
        self._open = {}
        self.generation += 1
        _native.after_fork()


_registry = _Registry()
os.register_at_fork(after_in_child=_registry.after_fork_in_child)


def generation() -> int:
    """Changes when handles go bad; one is good only in the generation that opened it."""
    return _registry.generation


def open_handle(settings: Settings) -> _native.Client:
    """This process's client for the given settings."""
    return _registry.open(settings)


def forget_endpoint(endpoint: str) -> None:
    """Closes this process's clients of a cluster that is gone."""
    _registry.forget_endpoint(endpoint)
