"""Many objects, or parts of them, at once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from aistore.aio._calls import wait
from aistore.sdk.batch.batch import pair_entry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aistore.aio._calls import Calls
    from aistore.sdk.batch.batch import Batch
    from aistore.sdk.batch.types import MossOut

_AT_ONCE = 256


class AsyncBatch:
    """Entries of one batch, in the order of the request, as they arrive.

    Args:
        calls: Makes the calls.
        batch: What is asked for.
    """

    def __init__(self, calls: Calls, batch: Batch) -> None:
        if not batch.requests_list:
            raise ValueError("the batch is empty: add entries before asking for them")
        self._calls = calls
        self._batch = batch

    def __aiter__(self) -> AsyncIterator[tuple[MossOut, bytes]]:
        return self._entries()

    async def _entries(self) -> AsyncIterator[tuple[MossOut, bytes]]:
        batch, native = self._batch, self._calls.native
        asked, bucket = list(batch.requests_list), batch.bucket
        body = json.dumps(batch.request.dict())
        path = bucket.get_path() if bucket else None
        stream = await wait(lambda done: native.batch(done, path, body))
        try:
            while rows := await wait(lambda done: stream.next_many(done, _AT_ONCE)):
                for index, content, error in rows:
                    yield pair_entry(asked[index], bucket, content, error)
        finally:
            stream.close()
