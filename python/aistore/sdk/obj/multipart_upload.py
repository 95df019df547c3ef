"""Uploading an object in parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aistore.sdk import const
from aistore.sdk.errors import AISConnectionError, AISError, AISTimeoutError
from aistore.sdk.obj.object_writer import ObjectWriter
from aistore.sdk.types import ActionMsg, MptCompletedPart

if TYPE_CHECKING:
    from aistore.sdk.request_client import RequestClient
    from aistore.sdk.response import Response

_GONE = 404


class MultipartUpload:
    """An object that is uploaded in parts; it appears, whole, when the upload is completed.

    Attributes:
        upload_id: Id of the upload; empty before `create`.
        parts: Numbers of the parts that were added.

    Args:
        client: Sends the requests.
        object_path: `objects/bucket/object`, percent-encoded.
        params: Query parameters that select the bucket.
    """

    def __init__(
        self, client: RequestClient, object_path: str, params: dict[str, str] | None = None
    ) -> None:
        self._client = client
        self._path = object_path
        self._params = dict(params or {})
        self.upload_id = ""
        self.parts: list[int] = []
        self._answer_lost = False

    def __repr__(self) -> str:
        state = f"{len(self.parts)} parts" if self.upload_id else "not started"
        return f"MultipartUpload({self._path!r}, {state})"

    def create(self) -> MultipartUpload:
        """Starts the upload."""
        self.upload_id = self._act("POST", const.ACT_MPT_UPLOAD, None).text.strip('"')
        return self

    def add_part(self, part_number: int) -> ObjectWriter:
        """A writer for one part; parts may be written in any order, and at the same time.

        Args:
            part_number: Place of the part, from 1 on.

        Raises:
            ValueError: The number is below 1, or the upload has not been started.
        """
        if part_number < 1:
            raise ValueError(f"part number {part_number}: expected at least 1")
        self._require_started()
        self.parts.append(part_number)
        params = {**self._upload_params, const.QPARAM_MPT_PART_NO: str(part_number)}
        return ObjectWriter(self._client, self._path, params)

    def complete(self) -> Response:
        """Makes the object of the parts. May be called again when the answer was lost.

        Raises:
            ValueError: The upload has not been started.
            AISError: Parts are missing, or the upload is unknown.
        """
        self._require_started()
        value = [MptCompletedPart(part_number=number).as_dict() for number in self.parts]
        try:
            answer = self._act("POST", const.ACT_MPT_COMPLETE, value)
        except (AISConnectionError, AISTimeoutError):
            # The cluster may have done it. Asking again is safe: an upload is completed once.
            self._answer_lost = True
            raise
        except AISError as error:
            done = self._find_object() if self._answer_lost and error.status_code == _GONE else None
            if done is None:
                raise
            return done
        self._answer_lost = False
        return answer

    def _find_object(self) -> Response | None:
        """The object's properties, if it is made of as many parts as were added."""
        params = {**self._params, const.QPARAM_PROPS: "size,chunked"}
        try:
            answer = self._client.request("HEAD", self._path, params=params)
        except AISError:
            return None
        count = answer.headers.get(const.AIS_CHUNKS_COUNT, "1")
        return answer if count == str(len(set(self.parts))) else None

    def abort(self) -> Response:
        """Drops the upload and its parts.

        Raises:
            ValueError: The upload has not been started.
        """
        self._require_started()
        return self._act("DELETE", const.ACT_MPT_ABORT, None)

    @property
    def _upload_params(self) -> dict[str, str]:
        given = {const.QPARAM_MPT_UPLOAD_ID: self.upload_id} if self.upload_id else {}
        return {**self._params, **given}

    def _require_started(self) -> None:
        if not self.upload_id:
            raise ValueError("the upload has not been started: call create() first")

    def _act(self, method: str, action: str, value: list[dict[str, object]] | None) -> Response:
        body = ActionMsg(action=action, value=value).model_dump()
        return self._client.request(method, self._path, params=self._upload_params, json=body)
