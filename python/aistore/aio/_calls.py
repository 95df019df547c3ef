"""Awaiting native calls."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aistore.sdk._handles import generation
from aistore.sdk.request_client import pairs
from aistore.sdk.response import Response

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aistore import _native
    from aistore.sdk.request_client import RequestClient

    _Done = Callable[[Any, BaseException | None], object]


async def wait(start: Callable[[_Done], _native.AioTask]) -> Any:
    """Starts a native call and waits for its result.

    Args:
        start: Starts it, given what to call at its end, from whatever thread.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def done(result: Any, error: BaseException | None) -> None:
        loop.call_soon_threadsafe(_settle, future, result, error)

    task = start(done)
    try:
        return await future
    except asyncio.CancelledError:
        task.cancel()
        raise


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


class Calls:
    """This process's native calls; picklable, and usable after a fork.

    Args:
        client: Whose connections are used.
        max_concurrency: Calls under way at a time; others wait for their turn.
    """

    def __init__(self, client: RequestClient, max_concurrency: int) -> None:
        if max_concurrency < 1:
            raise ValueError(f"max_concurrency {max_concurrency}: expected at least 1")
        self.client = client
        self._max_concurrency = max_concurrency
        self._opened: tuple[int, _native.AioClient] | None = None

    def __getstate__(self) -> tuple[RequestClient, int]:
        return self.client, self._max_concurrency

    def __setstate__(self, state: tuple[RequestClient, int]) -> None:
        self.client, self._max_concurrency = state
        self._opened = None

    @property
    def native(self) -> _native.AioClient:
        """This process's native client."""
        opened = self._opened
        if opened is None or opened[0] != generation():
            opened = generation(), self.client.native.aio(self._max_concurrency)
            self._opened = opened
        return opened[1]

    def forget(self) -> None:
        """Makes the next call open a new native client."""
        self._opened = None

    async def request(
        self,
        method: str,
        path: str,
        params: Mapping[str, object] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """A request through the gateway; `path` is below `/v1/` and percent-encoded."""
        sent = {"Content-Type": "application/json", **(headers or {})}
        native = self.native
        query = pairs(params)
        answer = await wait(
            lambda done: native.request(done, method, f"/v1/{path}", query, pairs(sent), body)
        )
        return Response.wrap(answer)
