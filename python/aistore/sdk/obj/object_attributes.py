"""What the cluster tells about an object, read from headers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aistore.sdk import const
from aistore.sdk._headers import CaseInsensitiveDict
from aistore.sdk.utils import format_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True)
class ECInfo:
    """Erasure coding of an object."""

    generation: int = 0
    data_slices: int = 0
    parity_slices: int = 0
    is_ec_copy: bool = False


@dataclass(frozen=True)
class ChunksInfo:
    """Chunks of an object that is stored in several."""

    chunk_count: int = 0
    max_chunk_size: int = 0


class ObjectAttributes:
    """Attributes of an object; what the headers do not tell is empty.

    Args:
        response_headers: Headers of an answer about the object.
    """

    def __init__(self, response_headers: Mapping[str, str] | Iterable[tuple[str, str]]) -> None:
        if not isinstance(response_headers, CaseInsensitiveDict):
            response_headers = CaseInsensitiveDict(response_headers)
        self._response_headers = response_headers

    def _text(self, name: str) -> str:
        return self._response_headers.get(name, "")

    def _number(self, name: str) -> int:
        try:
            return int(self._text(name) or 0)
        except ValueError:
            return 0

    @property
    def size(self) -> int:
        """Size in bytes."""
        return self._number(const.HEADER_CONTENT_LENGTH)

    @property
    def checksum_type(self) -> str:
        """Kind of checksum."""
        return self._text(const.AIS_CHECKSUM_TYPE)

    @property
    def checksum_value(self) -> str:
        """Checksum, in hexadecimal."""
        return self._text(const.AIS_CHECKSUM_VALUE)

    @property
    def access_time(self) -> str:
        """Time of the last access, in nanoseconds since 1970."""
        return self._text(const.AIS_ACCESS_TIME)

    @property
    def obj_version(self) -> str:
        """Version."""
        return self._text(const.AIS_VERSION)

    @property
    def location(self) -> str:
        """Target and mountpath."""
        return self._text(const.AIS_LOCATION)

    @property
    def last_modified(self) -> str:
        """Time of the last change, as HTTP writes it."""
        return self._text(const.HEADER_LAST_MODIFIED)

    @property
    def custom_metadata(self) -> dict[str, str]:
        """Custom metadata."""
        found: dict[str, str] = {}
        for item in self._text(const.AIS_CUSTOM_MD).split(","):
            key, separator, value = item.strip().partition("=")
            if separator and key:
                found[key] = value
        return found

    @property
    def present(self) -> bool:
        """Whether the object is in the cluster."""
        return self._text(const.AIS_PRESENT) == "true"

    @property
    def mirror_paths(self) -> list[str]:
        """Mountpaths with copies."""
        paths = self._text(const.AIS_MIRROR_PATHS).strip("[]")
        return paths.split(",") if paths else []

    @property
    def mirror_copies(self) -> int:
        """Number of copies."""
        return self._number(const.AIS_MIRROR_COPIES)

    @property
    def etag(self) -> str:
        """Entity tag, without quotes."""
        return self._text(const.HEADER_ETAG).strip('"')

    @property
    def ec(self) -> ECInfo | None:
        """Erasure coding, if the object has any."""
        if const.AIS_EC_GENERATION not in self._response_headers:
            return None
        return ECInfo(
            self._number(const.AIS_EC_GENERATION),
            self._number(const.AIS_EC_DATA),
            self._number(const.AIS_EC_PARITY),
            self._text(const.AIS_EC_REPLICATED) == "true",
        )

    @property
    def chunks(self) -> ChunksInfo | None:
        """Chunks, if the object is stored in several."""
        if const.AIS_CHUNKS_COUNT not in self._response_headers:
            return None
        return ChunksInfo(
            self._number(const.AIS_CHUNKS_COUNT), self._number(const.AIS_CHUNKS_MAX_CHUNK_SIZE)
        )

    def __repr__(self) -> str:
        told = {
            "size": format_bytes(self.size) if self.size else "0 B",
            "checksum": f"{self.checksum_type}:{self.checksum_value}".strip(":"),
            "version": self.obj_version,
            "custom": self.custom_metadata,
            "copies": self.mirror_copies,
            "chunks": self.chunks.chunk_count if self.chunks else 0,
            "etag": self.etag,
        }
        text = ", ".join(f"{key}={value}" for key, value in told.items() if value)
        return f"{type(self).__name__}({text})"
