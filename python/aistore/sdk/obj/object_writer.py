"""Writing an object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from aistore.sdk import const
from aistore.sdk.obj.obj_file.object_file import ObjectFileWriter
from aistore.sdk.obj.object_client import ObjectClient
from aistore.sdk.request_client import quote_name
from aistore.sdk.response import Response
from aistore.sdk.utils import validate_file

if TYPE_CHECKING:
    from os import PathLike

    from aistore.sdk.request_client import RequestClient


class ObjectWriter:
    """Writes an object. Readers see the old content or the new one, never a mixture.

    Args:
        client: Sends the requests.
        bucket_path: `provider/@uuid#namespace/bucket/`.
        name: The object.
        query_params: Query parameters that select the bucket.
    """

    def __init__(
        self, client: RequestClient, bucket_path: str, name: str, query_params: dict[str, str]
    ) -> None:
        self._client = client
        self._bucket_path = bucket_path
        self._name = name
        self.query_params = query_params

    def put_content(self, content: bytes | bytearray | memoryview) -> Response:
        """Replaces the object by the given content.

        Raises:
            ErrBckNotFound: There is no such bucket.
            AISError: The name is refused, or the cluster is full.
        """
        body = content if isinstance(content, bytes) else bytes(content)
        return Response.wrap(self._client.native.put(self._bucket_path, self._name, body))

    def put_file(self, path: str | PathLike[str]) -> Response:
        """Replaces the object by a file's content.

        Raises:
            ValueError: `path` is not a file.
        """
        validate_file(path)
        return Response.wrap(self._client.native.put_file(self._bucket_path, self._name, str(path)))

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
        params = [
            (const.QPARAM_OBJ_APPEND, "flush" if flush else "append"),
            (const.QPARAM_OBJ_APPEND_HANDLE, handle),
        ]
        answer = self._client.native.put(self._bucket_path, self._name, bytes(content), params)
        return Response.wrap(answer).headers.get(const.HEADER_APPEND_HANDLE, "")

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
        bucket = self._bucket_path.split("/")[2]
        return self._client.request(
            "PATCH",
            f"{const.URL_PATH_OBJECTS}/{bucket}/{quote_name(self._name)}",
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
        return ObjectFileWriter(
            self, mode, ObjectClient(self._client, self._bucket_path, self._name)
        )
