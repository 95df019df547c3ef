"""Doing something again that failed on its way to the cluster."""

from __future__ import annotations

import random
import re
import time
from typing import TYPE_CHECKING, TypeVar

from aistore.sdk.errors import AISError, AISTimeoutError, ErrGETConflict, RequestInfo
from aistore.sdk.lock_poller import Executor, LockPoller
from aistore.sdk.retry_config import NETWORK_RETRY_EXCEPTIONS, RetryConfig

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import ParamSpec

    P = ParamSpec("P")

T = TypeVar("T")

# A namespace with the id of another cluster.
_REMOTE_AIS = re.compile(r"[?&]namespace=(?:@|%40)(?!#|%23)")


class RetryManager:
    """Calls functions again while they fail for passing reasons.

    `RequestClient` retries by itself; this is for what is sent once, as by `RequestExecutor`.

    Args:
        executor: Asks for locks.
        retry_config: How often, and how long to wait.
    """

    def __init__(self, executor: Executor, retry_config: RetryConfig | None = None) -> None:
        self._executor = executor
        self._retry_config = retry_config or RetryConfig.default()

    @property
    def retry_config(self) -> RetryConfig:
        """How often, and how long to wait."""
        return self._retry_config

    def with_retry(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `fn` returns; the last exception when it fails too often.

        When the object of a remote bucket did not come in time, waits until it has arrived.
        """
        config = self._retry_config
        pause, longest = config.backoff
        poller = LockPoller(self._executor, config.cold_get_conf)
        left = config.attempts
        while True:
            left -= 1
            try:
                return fn(*args, **kwargs)
            except NETWORK_RETRY_EXCEPTIONS as error:
                if left <= 0:
                    raise
                if is_cold(error) and not poller.wait_for_unlock(_request_of(error)):
                    raise
            time.sleep(random.uniform(0, min(pause, longest)))  # noqa: S311 - spreads load
            pause = min(pause * 2, longest)


def read_cold(client: Executor, retry_config: RetryConfig, send: Callable[[], T]) -> T:
    """Reads an object of a remote bucket; waits while it is on its way from its home.

    Raises:
        AISError: Anything else failed, or the object did not come in time.
    """
    poller = LockPoller(client, retry_config.cold_get_conf)
    left = retry_config.attempts
    while True:
        left -= 1
        try:
            return send()
        except (AISTimeoutError, ErrGETConflict) as error:
            if left <= 0 or not is_cold(error):
                raise
            if not poller.wait_for_unlock(_request_of(error)):
                raise


def is_cold(error: BaseException) -> bool:
    """Whether a GET of an object of a remote bucket came too late, or met another one."""
    if not isinstance(error, AISTimeoutError | ErrGETConflict):
        return False
    return (
        (error.req is None or error.req.method.upper() in {"GET", ""})
        and bool(error.obj_name)
        and (not error.bucket.startswith("ais://") or bool(_REMOTE_AIS.search(error.req_url)))
    )


def _request_of(error: BaseException) -> RequestInfo:
    return RequestInfo("GET", error.req_url if isinstance(error, AISError) else "")
