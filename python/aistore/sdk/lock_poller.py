"""Waiting for an object that the cluster is fetching from its remote home."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qsl, urlsplit

from aistore.sdk import const
from aistore.sdk.errors import AISError
from aistore.sdk.types import ActionMsg

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aistore.sdk.response import Response
    from aistore.sdk.retry_config import ColdGetConf

_LOCKED = 423
_SHORTEST_PAUSE_S = 2.0
_LONGEST_PAUSE_S = 10.0
_PAUSE_GROWS = 1.5
# Ask this often while an object of known size arrives.
_LOOKS = 8


class Executor(Protocol):
    """Sends requests: `RequestExecutor`, `RequestClient`."""

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, object] | None = None,
        json: Any = None,
    ) -> Response:
        """Sends a request."""
        raise NotImplementedError


class Request(Protocol):
    """What was asked when no answer came."""

    @property
    def url(self) -> str | None:
        """Its URL."""
        raise NotImplementedError


class LockPoller:
    """Asks whether an object is locked until it is not. Waits `max_cold_wait` seconds in all.

    Args:
        executor: Sends the questions.
        cold_get_conf: How long to wait.
    """

    def __init__(self, executor: Executor, cold_get_conf: ColdGetConf) -> None:
        self._executor = executor
        self._conf = cold_get_conf
        self._deadline = time.monotonic() + cold_get_conf.max_cold_wait

    def wait_for_unlock(self, req: Request) -> bool:
        """Waits for the object that a request was about.

        Returns:
            Whether it is not locked any more; false when the time is up.
        """
        parts = urlsplit(req.url or "")
        path = parts.path.removeprefix("/v1/").lstrip("/")
        where = {
            key: value
            for key, value in parse_qsl(parts.query)
            if key in {const.QPARAM_PROVIDER, const.QPARAM_NAMESPACE}
        }
        if not self._is_locked(path, where):
            return True
        pause = self._first_pause(path, where)
        while (left := self._deadline - time.monotonic()) > 0:
            time.sleep(min(pause, left))
            if not self._is_locked(path, where):
                return True
            pause = min(pause * _PAUSE_GROWS, _LONGEST_PAUSE_S)
        return False

    def _is_locked(self, path: str, where: dict[str, str]) -> bool:
        question = ActionMsg(action=const.ACT_CHECK_LOCK).model_dump()
        try:
            answer = self._executor.request("POST", path, params=where, json=question)
        except AISError as error:
            if error.status_code != _LOCKED:
                raise
            return True
        return answer.status_code == _LOCKED

    def _first_pause(self, path: str, where: dict[str, str]) -> float:
        """A part of the time that the object takes to arrive, where its size can be known."""
        if not self._conf.enable_remote_head or self._conf.est_bandwidth_bps <= 0:
            return _SHORTEST_PAUSE_S
        params = {**where, const.QPARAM_FLT_PRESENCE: "0", const.QPARAM_PROPS: const.PROPS_SIZE}
        try:
            answer = self._executor.request("HEAD", path, params=params)
        except AISError:
            return _SHORTEST_PAUSE_S
        size = int(answer.headers.get(const.HEADER_CONTENT_LENGTH) or 0)
        expected = size / self._conf.est_bandwidth_bps
        return min(max(expected / _LOOKS, _SHORTEST_PAUSE_S), _LONGEST_PAUSE_S)
