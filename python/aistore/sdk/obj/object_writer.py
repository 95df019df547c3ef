"""Writing an object."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from aistore._progress import reporting
from aistore.sdk import const
from aistore.sdk.obj._place import locate
from aistore.sdk.obj.obj_file.object_file import ObjectFileWriter
from aistore.sdk.request_client import pairs
from aistore.sdk.response import Response
from aistore.sdk.utils import validate_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

    from aistore.sdk.multipart_config import MultipartConfig
    from aistore.sdk.request_client import RequestClient


class ObjectWriter:
    """Writes an object. Readers see the old content or the new one, never a mixture.

    Args:
        client: Sends the requests.
        object_path: `objects/bucket/object`, percent-encoded.
        query_params: Query parameters that select the bucket, and a part of an upload.
    """

    def __init__(
        self, client: RequestClient, object_path: str, query_params: dict[str, str]
    ) -> None:
        self._client = client
        self._path = object_path
        self._bucket_path, self._name = locate(object_path, query_params)
        self.query_params = query_params

    def __repr__(self) -> str:
        return f"ObjectWriter({self._name!r})"

    def put_content(
        self,
        content: bytes | bytearray | memoryview,
        *,
        multipart: MultipartConfig | None = None,
        progress: Callable[[int], None] | bool | None = None,
    ) -> Response:
        """Replaces the object by the given content.

        Args:
            content: The content.
            multipart: Uploads large content in parts; default as the client was told.
            progress: Called now and then with the bytes sent so far, when in parts; True shows a
                bar, which `AIS_PROGRESS=0` turns off.

        Raises:
            ErrBckNotFound: There is no such bucket.
            AISError: The name is refused, or the cluster is full.
        """
        body = content if isinstance(content, bytes) else bytes(content)
        config = self._multipart_for(len(body), multipart)
        native, params = self._client.native, pairs(self.query_params)
        if config is None:
            return Response.wrap(native.put(self._bucket_path, self._name, body, params))
        return self._put_parts(body, len(body), config, progress)

    def put_file(
        self,
        path: str | PathLike[str],
        *,
        multipart: MultipartConfig | None = None,
        progress: Callable[[int], None] | bool | None = None,
    ) -> Response:
        """Replaces the object by a file's content.

        Args:
            path: The file.
            multipart: Uploads a large file in parts; default as the client was told.
            progress: Called now and then with the bytes sent so far; True shows a bar, which
                `AIS_PROGRESS=0` turns off.

        Raises:
            ValueError: `path` is not a file.
        """
        validate_file(path)
        file = Path(path)
        size = file.stat().st_size
        config = self._multipart_for(size, multipart)
        if config is not None:
            return self._put_parts(str(file), size, config, progress)
        native, params = self._client.native, pairs(self.query_params)
        with reporting(progress, size, f"put {self._name}") as report:
            return Response.wrap(
                native.put_file(self._bucket_path, self._name, str(file), report, params)
            )

    def _put_parts(
        self,
        content: bytes | str,
        size: int,
        config: MultipartConfig,
        progress: Callable[[int], None] | bool | None,
    ) -> Response:
        with reporting(progress, size, f"put {self._name}") as report:
            return Response.wrap(
                self._client.native.put_multipart(
                    self._bucket_path,
                    self._name,
                    content,
                    config.part_size_for(size),
                    config.num_workers,
                    pairs(self.query_params),
                    report,
                )
            )

    def _multipart_for(self, size: int, given: MultipartConfig | None) -> MultipartConfig | None:
        config = given or self._client.multipart
        # A part of an upload is not uploaded in parts itself.
        if config is None or const.QPARAM_MPT_UPLOAD_ID in self.query_params:
            return None
        return config if size >= config.threshold else None

    def append_content(
        self, content: bytes | bytearray | memoryview, handle: str = "", flush: bool = False
    ) -> str:
        """Adds to a pending object; it appears with the call that flushes.

        Args:
            content: What to add. A call that flushes adds nothing.
            handle: What the previous call returned; empty starts a new session.
            flush: Whether the object is complete.

        Returns:
            The handle for the next call; empty after a flush.
        """
        params = {
            **self.query_params,
            const.QPARAM_OBJ_APPEND: "flush" if flush else "append",
            const.QPARAM_OBJ_APPEND_HANDLE: handle,
        }
        # Through the gateway: it finds the target with the session, also after the map changed.
        answer = self._client.request("PUT", self._path, params=params, data=bytes(content))
        return answer.headers.get(const.HEADER_APPEND_HANDLE, "")

    def set_custom_props(
        self, custom_metadata: dict[str, str], replace_existing: bool = False
    ) -> Response:
        """Sets custom metadata.

        Args:
            custom_metadata: Keys and values.
            replace_existing: Whether other keys go away.
        """
        params = dict(self.query_params)
        if replace_existing:
            params[const.QPARAM_NEW_CUSTOM] = "true"
        return self._client.request(
            "PATCH",
            self._path,
            params=params,
            json={"action": "", "name": "", "value": custom_metadata},
        )

    def as_file(self, mode: Literal["w", "a"] = "a") -> ObjectFileWriter:
        """Writes as to a file; the object appears when the file is closed.

        Args:
            mode: `w` replaces the object, `a` adds to what it holds.

        Raises:
            ValueError: Another mode.
        """
        return ObjectFileWriter(self, mode)
