"""What a batch asks for and what comes back."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from aistore.sdk.enums import Colocation


class MossIn(BaseModel):
    """One entry of a request.

    Args:
        obj_name: Object.
        bck: Its bucket; the request's default bucket if None.
        provider: Provider of that bucket.
        uname: Bucket as `provider/@uuid#namespace/bucket/`; wins over `bck`.
        opaque: Base64 text that comes back with the entry.
        archpath: File inside the object.
        start: First byte.
        length: Number of bytes; -1 for the rest.
    """

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    obj_name: str = Field(alias="objname")
    bck: str | None = Field(default=None, alias="bucket")
    provider: str | None = None
    uname: str | None = None
    opaque: str | None = None
    archpath: str | None = None
    start: int | None = None
    length: int | None = None

    def dict(self, **options: Any) -> dict[str, Any]:
        """The form that requests carry: wire names, defaults left out."""
        return self.model_dump(**{"by_alias": True, "exclude_defaults": True, **options})


class MossOut(BaseModel):
    """One entry of an answer.

    Args:
        obj_name: Object.
        archpath: File inside the object, empty if none was asked for.
        bucket: Its bucket.
        provider: Provider of that bucket.
        opaque: What the request said.
        err_msg: Why the entry is missing; None if it is not.
        size: Bytes.
    """

    model_config = ConfigDict(populate_by_name=True)

    obj_name: str = Field(alias="objname")
    archpath: str | None = None
    bucket: str | None = None
    provider: str | None = None
    opaque: bytes | None = None
    err_msg: str | None = None
    size: int = 0

    @field_validator("opaque", mode="before")
    @classmethod
    def _decode(cls, value: object) -> bytes | None:
        return decode_opaque(value)

    def dict(self, **options: Any) -> dict[str, Any]:
        """Wire names, defaults left out."""
        return self.model_dump(**{"by_alias": True, "exclude_defaults": True, **options})


class MossReq(BaseModel):
    """A request.

    Args:
        moss_in: Entries, in the order wanted.
        output_format: Format of the archive that a raw read gives.
        cont_on_err: Whether missing entries are marked instead of failing the request.
        only_obj_name: Whether archive entries are named without their bucket.
        streaming_get: Whether the archive comes as a stream.
        colocation: Hint for choosing the target that assembles the archive.
    """

    model_config = ConfigDict(populate_by_name=True)

    moss_in: list[MossIn] = Field(default_factory=list, alias="in")
    output_format: str = Field(default=".tar", alias="mime")
    cont_on_err: bool = Field(default=True, alias="coer")
    only_obj_name: bool = Field(default=False, alias="onob")
    streaming_get: bool = Field(default=True, alias="strm")
    colocation: Colocation = Field(default=Colocation.NONE, alias="coloc")

    def add(self, moss_in: MossIn) -> None:
        """Adds an entry."""
        self.moss_in.append(moss_in)

    def extend(self, entries: list[MossIn]) -> None:
        """Adds entries."""
        self.moss_in.extend(entries)

    def dict(self, **options: Any) -> dict[str, Any]:
        """The form that requests carry."""
        wire: dict[str, Any] = {
            "in": [entry.dict(**options) for entry in self.moss_in],
            "mime": self.output_format,
            "coer": self.cont_on_err,
            "onob": self.only_obj_name,
            "strm": self.streaming_get,
        }
        if self.colocation:
            wire["coloc"] = int(self.colocation)
        return wire


class MossResp(BaseModel):
    """What a buffered answer says about its entries."""

    out: list[MossOut]
    uuid: str


def decode_opaque(value: object) -> bytes | None:
    """Reads standard or URL-safe base64; None if it is neither."""
    if value is None or isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        return None
    try:
        return base64.b64decode(value.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        return None
