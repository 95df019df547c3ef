"""Objects."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aistore.aio._calls import wait
from aistore.aio.stream import AsyncObjectStream
from aistore.sdk import const
from aistore.sdk.obj._place import object_path
from aistore.sdk.obj.object import Object
from aistore.sdk.obj.object_props import ObjectProps, identity_headers
from aistore.sdk.request_client import pairs
from aistore.sdk.response import Response
from aistore.sdk.types import ActionMsg
from aistore.sdk.utils import validate_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

    from aistore.aio._calls import Calls
    from aistore.sdk.archive_config import ArchiveConfig
    from aistore.sdk.obj.object import BucketDetails
    from aistore.sdk.types import QueryParams


class AsyncObject:
    """An object, whether it exists or not.

    Args:
        calls: Makes the calls.
        bucket: Its bucket.
        name: Its name.
    """

    __slots__ = ("_bucket", "_calls", "_name")

    def __init__(self, calls: Calls, bucket: BucketDetails, name: str) -> None:
        self._calls = calls
        self._bucket = bucket
        self._name = name

    @property
    def name(self) -> str:
        """Its name."""
        return self._name

    @property
    def bucket_name(self) -> str:
        """Name of its bucket."""
        return self._bucket.name

    @property
    def uname(self) -> str:
        """`provider/@uuid#namespace/bucket/object`."""
        return self._bucket.path + self._name

    def blocking(self) -> Object:
        """The same object for calls that block, with all that they offer."""
        return Object(self._calls.client, self._bucket, self._name)

    def __repr__(self) -> str:
        url = f"{self._bucket.provider.value}://{self._bucket.name}/{self._name}"
        return f"AsyncObject({url!r})"

    async def head(self, props: str = const.PROPS_OBJECT) -> ObjectProps:
        """Asks for properties.

        Args:
            props: Those wanted, comma-separated.

        Raises:
            AISError: There is no such object, with status 404.
        """
        answer = await self._send("HEAD", {const.QPARAM_PROPS: props})
        for header, value in identity_headers(self._bucket, self._name).items():
            answer.headers.setdefault(header, value)
        return ObjectProps(answer.headers)

    async def get(
        self,
        byte_range: str | None = None,
        *,
        archive_config: ArchiveConfig | None = None,
        etl: QueryParams | None = None,
    ) -> bytes:
        """Reads everything.

        Args:
            byte_range: Part to read: `bytes=a-b`, `bytes=a-` or `bytes=-n`.
            archive_config: Reads files inside an archive instead of the archive.
            etl: Transformer that the object passes through.

        Raises:
            ErrObjNotFound: There is no such object.
            AISConnectionError: The transfer broke.
        """
        params, headers = _selection(byte_range, archive_config, etl)
        native = self._calls.native
        content: bytes
        _, _, content = await wait(
            lambda done: native.get(done, self._bucket.path, self._name, params, headers)
        )
        return content

    async def stream(
        self,
        byte_range: str | None = None,
        *,
        chunk_size: int = 0,
        archive_config: ArchiveConfig | None = None,
        etl: QueryParams | None = None,
    ) -> AsyncObjectStream:
        """Opens the object for reading: `async with await obj.stream() as stream: ...`.

        Args:
            byte_range: As for `get`.
            chunk_size: Bytes of a chunk when iterating; with 0 chunks come as they arrive.
            archive_config: As for `get`.
            etl: As for `get`.
        """
        if chunk_size < 0:
            raise ValueError(f"chunk_size {chunk_size}: expected 0 or more")
        params, headers = _selection(byte_range, archive_config, etl)
        native = self._calls.native
        opened = await wait(
            lambda done: native.open(done, self._bucket.path, self._name, params, headers)
        )
        return AsyncObjectStream(opened, chunk_size)

    async def put(
        self,
        content: bytes | bytearray | memoryview,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> Response:
        """Replaces the object by the given content.

        Args:
            content: The content.
            headers: Further headers, such as `If-None-Match: *`.
            params: Further query parameters, such as those of a part of an upload.

        Raises:
            ErrBckNotFound: There is no such bucket.
            AISError: The name is refused, or the cluster is full; a condition of the headers is not
                met (status 412).
        """
        body = content if isinstance(content, bytes) else bytes(content)
        return await self._send("PUT", dict(params or {}), body, headers)

    async def put_file(self, path: str | PathLike[str]) -> Response:
        """Replaces the object by a file's content.

        Raises:
            ValueError: `path` is not a file.
        """
        await asyncio.get_running_loop().run_in_executor(None, validate_file, path)
        native = self._calls.native
        answer = await wait(
            lambda done: native.put_file(done, self._bucket.path, self._name, str(path))
        )
        return Response.wrap(answer)

    async def delete(self) -> Response:
        """Deletes the object.

        Raises:
            ErrObjNotFound: There is no such object.
        """
        return await self._send("DELETE", {})

    async def copy(self, to_obj: AsyncObject) -> Response:
        """Copies the object, also to another bucket."""
        params = {**self._bucket.qparams, const.QPARAM_OBJ_TO: to_obj.uname}
        return await self._calls.request("PUT", self._path, params)

    async def set_custom_props(
        self, custom_metadata: dict[str, str], replace_existing: bool = False
    ) -> Response:
        """Sets custom metadata.

        Args:
            custom_metadata: Keys and values.
            replace_existing: Whether other keys go away.
        """
        params = dict(self._bucket.qparams)
        if replace_existing:
            params[const.QPARAM_NEW_CUSTOM] = "true"
        body = ActionMsg(action="", value=custom_metadata).model_dump_json().encode()
        return await self._calls.request("PATCH", self._path, params, body)

    @property
    def _path(self) -> str:
        return object_path(self._bucket.name, self._name)

    async def _send(
        self,
        method: str,
        params: dict[str, str],
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        native = self._calls.native
        path, name = self._bucket.path, self._name
        query, sent = pairs(params), pairs(headers)
        answer = await wait(lambda done: native.object(done, method, path, name, query, sent, body))
        return Response.wrap(answer)


def _selection(
    byte_range: str | None, archive_config: ArchiveConfig | None, etl: QueryParams | None
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    params: dict[str, str] = {}
    for option in (archive_config, etl):
        if option:
            option.update_qparams(params)
    return pairs(params), [(const.HEADER_RANGE, byte_range)] if byte_range else []
