"""Buckets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aistore.aio._calls import wait
from aistore.aio.object import AsyncObject
from aistore.sdk import const
from aistore.sdk.errors import ErrBckAlreadyExists, ErrBckNotFound, InvalidBckProvider
from aistore.sdk.list_object_flag import ListObjectFlag
from aistore.sdk.provider import Provider
from aistore.sdk.types import ActionMsg

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from aistore.aio._calls import Calls
    from aistore.sdk._headers import CaseInsensitiveDict
    from aistore.sdk.bucket import Bucket
    from aistore.sdk.response import Response
    from aistore.sdk.types import BucketEntry

_ENTRIES_AT_ONCE = 10_000


class AsyncBucket:
    """A bucket, whether it exists or not.

    Args:
        calls: Makes the calls.
        bucket: The same bucket for calls that block.
    """

    def __init__(self, calls: Calls, bucket: Bucket) -> None:
        self._calls = calls
        self._bucket = bucket

    @property
    def name(self) -> str:
        """Name of the bucket."""
        return self._bucket.name

    @property
    def provider(self) -> Provider:
        """Where the data has its home."""
        return self._bucket.provider

    def get_path(self) -> str:
        """`provider/@uuid#namespace/bucket/`."""
        return self._bucket.get_path()

    def blocking(self) -> Bucket:
        """The same bucket for calls that block, with all that they offer."""
        return self._bucket

    def __repr__(self) -> str:
        return f"Async{self._bucket!r}"

    def object(self, obj_name: str) -> AsyncObject:
        """An object of the bucket, whether it exists or not."""
        return AsyncObject(self._calls, self._bucket.details, obj_name)

    async def create(
        self, exist_ok: bool = False, *, props: dict[str, Any] | None = None
    ) -> AsyncBucket:
        """Creates the bucket; see `Bucket.create`."""
        self._require_ais()
        try:
            await self._act("POST", const.ACT_CREATE_BCK, props)
        except ErrBckAlreadyExists:
            if not exist_ok:
                raise
        return self

    async def delete(self, missing_ok: bool = False) -> None:
        """Destroys the bucket and everything in it; see `Bucket.delete`."""
        self._require_ais()
        try:
            await self._act("DELETE", const.ACT_DESTROY_BCK)
        except ErrBckNotFound:
            if not missing_ok:
                raise

    async def head(self) -> CaseInsensitiveDict:
        """Headers about the bucket; its properties are JSON in `Ais-Bucket-Props`."""
        answer = await self._calls.request("HEAD", self._bucket.url_path, self._bucket.qparam)
        return answer.headers

    async def list_objects(
        self,
        prefix: str = "",
        props: str = const.PROPS_NAME_SIZE,
        flags: Sequence[ListObjectFlag] | None = None,
        start_after: str = "",
    ) -> AsyncIterator[BucketEntry]:
        """Iterates over everything, sorted by name, with flat memory.

        Args:
            prefix: Only names that start with it.
            props: Properties wanted, comma-separated.
            flags: Options.
            start_after: Only names after this one.
        """
        listing = self._calls.native.list(
            self.get_path(), prefix, props, ListObjectFlag.join_flags(flags), start_after
        )
        try:
            while entries := await wait(lambda done: listing.next_many(done, _ENTRIES_AT_ONCE)):
                for entry in entries:
                    yield entry
        finally:
            listing.close()

    async def list_all_objects(
        self,
        prefix: str = "",
        props: str = const.PROPS_NAME_SIZE,
        flags: Sequence[ListObjectFlag] | None = None,
        start_after: str = "",
    ) -> list[BucketEntry]:
        """Lists everything; see `list_objects`."""
        return [entry async for entry in self.list_objects(prefix, props, flags, start_after)]

    async def _act(self, method: str, action: str, value: Any = None) -> Response:
        body = ActionMsg(action=action, value=value).model_dump_json().encode()
        return await self._calls.request(method, self._bucket.url_path, self._bucket.qparam, body)

    def _require_ais(self) -> None:
        if self.provider is not Provider.AIS:
            raise InvalidBckProvider(self.provider)
