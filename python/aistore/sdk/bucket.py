"""Buckets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aistore.sdk import const
from aistore.sdk._bucket_jobs import BucketJobs
from aistore.sdk._bucket_listing import BucketListing
from aistore.sdk._bucket_uploads import BucketUploads
from aistore.sdk.errors import ErrBckAlreadyExists, ErrBckNotFound

if TYPE_CHECKING:
    from aistore.sdk._headers import CaseInsensitiveDict
    from aistore.sdk.multiobj import ObjectGroup, ObjectRange


class Bucket(BucketListing, BucketJobs, BucketUploads):
    """A bucket, whether it exists or not. Equal only to itself.

    Args:
        name: Name of the bucket.
        client: Sends the requests.
        provider: Where its data has its home.
        namespace: Namespace; None is the global one.
    """

    def create(self, exist_ok: bool = False, *, props: dict[str, Any] | None = None) -> Bucket:
        """Creates the bucket.

        Args:
            exist_ok: Whether an existing bucket will do.
            props: Properties that differ from the cluster's defaults, nested as in `get_props`.

        Raises:
            InvalidBckProvider: Only `ais` buckets are created.
            ErrBckAlreadyExists: It exists.
        """
        self._require_ais()
        try:
            self.make_request(const.HTTP_METHOD_POST, const.ACT_CREATE_BCK, props)
        except ErrBckAlreadyExists:
            if not exist_ok:
                raise
        return self

    def delete(self, missing_ok: bool = False) -> None:
        """Destroys the bucket and everything in it.

        Args:
            missing_ok: Whether it may be gone already.

        Raises:
            InvalidBckProvider: Only `ais` buckets are destroyed.
            ErrBckNotFound: There is none.
        """
        self._require_ais()
        try:
            self.make_request(const.HTTP_METHOD_DELETE, const.ACT_DESTROY_BCK)
        except ErrBckNotFound:
            if not missing_ok:
                raise

    def head(self) -> CaseInsensitiveDict:
        """Headers about the bucket; its properties are JSON in `Ais-Bucket-Props`.

        Raises:
            AISError: There is no such bucket.
        """
        path = self.url_path
        return self.client.request("HEAD", path, params=self._qparam).headers

    def get_props(self) -> dict[str, Any]:
        """The bucket's properties.

        Raises:
            AISError: There is no such bucket.
        """
        props: dict[str, Any] = json.loads(self.head().get(const.AIS_BCK_PROPS) or "{}")
        return props

    def set_props(self, props: dict[str, Any]) -> str:
        """Changes properties; those that are not named stay.

        Args:
            props: Nested as in `get_props`: `{"mirror": {"enabled": True, "copies": 2}}`.

        Returns:
            Id of the job that brings the objects in line, if it takes one.
        """
        answer = self.make_request(const.HTTP_METHOD_PATCH, const.ACT_SET_BPROPS, props)
        return answer.text.strip('"')

    def reset_props(self) -> str:
        """Sets all properties to the cluster's defaults; returns as `set_props` does."""
        answer = self.make_request(const.HTTP_METHOD_PATCH, const.ACT_RESET_BPROPS)
        return answer.text.strip('"')

    def objects(
        self,
        obj_names: list[str] | None = None,
        obj_range: ObjectRange | None = None,
        obj_template: str | None = None,
    ) -> ObjectGroup:
        """A selection of objects, by names, range or template: exactly one of them."""
        from aistore.sdk.multiobj import ObjectGroup  # noqa: PLC0415 - groups refer to buckets

        return ObjectGroup(self, obj_names, obj_range, obj_template)
