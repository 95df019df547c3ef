"""What a batch asks for and what comes back."""

from __future__ import annotations

import base64
import binascii
import json
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, field_validator

from aistore.sdk.enums import Colocation

if TYPE_CHECKING:
    from collections.abc import Sequence


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


_DEFAULTS: dict[str, Any] = {
    name: None for name in MossIn.model_fields if name != "obj_name"
}  # fmt: skip
_set = object.__setattr__


def make_entry(values: dict[str, Any]) -> MossIn:
    """An entry with these fields; as `MossIn.model_construct`, which takes three times as long."""
    entry = MossIn.__new__(MossIn)
    _set(entry, "__dict__", {**_DEFAULTS, **values})
    _set(entry, "__pydantic_fields_set__", set(values))
    _set(entry, "__pydantic_extra__", None)
    _set(entry, "__pydantic_private__", None)
    return entry


Wire: TypeAlias = dict[str, Any]
_NAME_ONLY = {"obj_name"}


def make_entries(names: Sequence[str]) -> list[MossIn]:
    """An entry for each name, without anything else."""
    new, fields = MossIn.__new__, dict(_DEFAULTS)
    entries = [new(MossIn) for _ in names]
    for entry, name in zip(entries, names, strict=True):
        fields["obj_name"] = name
        _set(entry, "__dict__", fields.copy())
        # Entries are frozen, so they can share what nobody changes.
        _set(entry, "__pydantic_fields_set__", _NAME_ONLY)
        _set(entry, "__pydantic_extra__", None)
        _set(entry, "__pydantic_private__", None)
    return entries


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

    @property
    def bck(self) -> str | None:
        """The bucket, as requests name it: Lhotse asks by it for entries that did not come."""
        return self.bucket

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

    def add(self, moss_in: MossIn) -> MossReq:
        """Adds an entry."""
        self.moss_in.append(moss_in)
        return self

    def extend(self, moss_ins: list[MossIn]) -> MossReq:
        """Adds entries."""
        self.moss_in.extend(moss_ins)
        return self

    def dict(self, **options: Any) -> dict[str, Any]:
        """The form that requests carry."""
        return {"in": [entry.dict(**options) for entry in self.moss_in], **self._settings()}

    def to_json(self) -> bytes:
        """The form that requests carry as JSON; 1,000 entries take well below a millisecond."""
        entries = _entries().dump_json(self.moss_in, by_alias=True, exclude_defaults=True)
        settings = json.dumps(self._settings()).encode()
        return b'{"in":' + entries + b"," + settings[1:]

    def _settings(self) -> Wire:
        wire: Wire = {
            "mime": self.output_format,
            "coer": self.cont_on_err,
            "onob": self.only_obj_name,
            "strm": self.streaming_get,
        }
        if self.colocation:
            wire["coloc"] = int(self.colocation)
        return wire


@cache
def _entries() -> TypeAdapter[list[MossIn]]:
    return TypeAdapter(list[MossIn])


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
