"""Attributes of an object together with its identity."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aistore.sdk import const
from aistore.sdk._headers import CaseInsensitiveDict
from aistore.sdk.obj.object_attributes import ObjectAttributes

if TYPE_CHECKING:
    from aistore.sdk.obj.object import BucketDetails
    from aistore.sdk.types import BucketEntry


class ObjectProps(ObjectAttributes):
    """Attributes of an object, its name and its bucket."""

    @property
    def bucket_name(self) -> str:
        """Name of the bucket."""
        return self._text(const.AIS_BCK_NAME)

    @property
    def bucket_provider(self) -> str:
        """Provider of the bucket."""
        return self._text(const.AIS_BCK_PROVIDER)

    @property
    def name(self) -> str:
        """Name of the object."""
        return self._text(const.AIS_OBJ_NAME)

    @classmethod
    def from_size(cls, bucket: BucketDetails, name: str, size: int) -> ObjectProps:
        """Properties of an object of which only the size is known."""
        return _SizeOnly(bucket, name, size)

    @classmethod
    def from_entry(cls, bucket: BucketDetails, entry: BucketEntry) -> ObjectProps:
        """Properties that a listing told."""
        headers = {const.HEADER_CONTENT_LENGTH: str(entry.size)}
        told = {
            const.AIS_CHECKSUM_VALUE: entry.checksum,
            const.AIS_ACCESS_TIME: entry.atime,
            const.AIS_VERSION: entry.version,
            const.AIS_LOCATION: entry.location,
            const.AIS_MIRROR_COPIES: str(entry.copies or ""),
        }
        told = {header: value for header, value in told.items() if value}
        if not told:
            return _SizeOnly(bucket, entry.name, entry.size)
        return cls({**headers, **told, **identity_headers(bucket, entry.name)})


class _SizeOnly(ObjectProps):
    """Properties as most listings tell them: builds headers only for who asks for more."""

    def __init__(self, bucket: BucketDetails, name: str, size: int) -> None:
        self._bucket, self._name, self._size = bucket, name, size

    @property
    def _response_headers(self) -> CaseInsensitiveDict:  # type: ignore[override]
        headers = {const.HEADER_CONTENT_LENGTH: str(self._size)}
        return CaseInsensitiveDict({**headers, **identity_headers(self._bucket, self._name)})

    @property
    def size(self) -> int:
        return self._size

    @property
    def name(self) -> str:
        return self._name


def identity_headers(bucket: BucketDetails, name: str) -> dict[str, str]:
    """Headers that name the object, as far as an answer lacks them."""
    return {
        const.AIS_BCK_NAME: bucket.name,
        const.AIS_BCK_PROVIDER: bucket.provider.value,
        const.AIS_OBJ_NAME: name,
    }
