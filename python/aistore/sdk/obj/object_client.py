"""Reads of one object: which bytes, from where, and what tells that it changed."""

from __future__ import annotations

import ctypes
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from aistore.sdk import const
from aistore.sdk._headers import CaseInsensitiveDict
from aistore.sdk.obj._place import locate, split_uname
from aistore.sdk.request_client import pairs
from aistore.sdk.retry_manager import read_cold

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    from typing_extensions import Buffer

    from aistore import _native
    from aistore.sdk.request_client import RequestClient

    WritableBuffer: TypeAlias = Buffer

T = TypeVar("T")

_SIMPLE_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


class ObjectClient:
    """Reads one object, or what a query selects of it.

    Args:
        request_client: Sends the requests.
        path: `objects/bucket/object`, percent-encoded.
        params: Query that selects the bucket and what to read: archive files, a transformer, the
            newest version.
        headers: Request headers; `Range` selects a part.
        byte_range: (first, last) byte to read, None where open; instead of a `Range` header.
        uname: `provider/@uuid#namespace/bucket/object`; found from path and query if missing.
    """

    def __init__(
        self,
        request_client: RequestClient,
        path: str,
        params: dict[str, str],
        headers: dict[str, str] | None = None,
        byte_range: tuple[int | None, int | None] = (None, None),
        uname: str | None = None,
    ) -> None:
        self._request_client = request_client
        self._path = path
        self._params = params
        self._headers = dict(headers or {})
        first, last = byte_range
        if (first, last) != (None, None):
            start, end = ("" if bound is None else bound for bound in (first, last))
            self._headers.setdefault(const.HEADER_RANGE, f"bytes={start}-{end}")
        self._bucket_path, self._name = split_uname(uname) if uname else locate(path, self._params)
        # Objects of other buckets may still be on their way from their remote home.
        self._is_local = self._bucket_path.startswith("ais/@#")

    def _read(self, send: Callable[[], T]) -> T:
        if self._is_local:
            return send()
        return read_cold(self._request_client, self._request_client.retry_config, send)

    @property
    def path(self) -> str:
        """`objects/bucket/object`, percent-encoded."""
        return self._path

    @property
    def cname(self) -> str:
        """`ais://bucket/object`."""
        provider, namespace, bucket = self._bucket_path.rstrip("/").split("/", 2)
        home = bucket if namespace == "@#" else f"{namespace}/{bucket}"
        return f"{provider}://{home}/{self._name}"

    @property
    def byte_range(self) -> tuple[int | None, int | None] | None:
        """(first, last) byte asked for, None where open; None for a suffix or malformed range."""
        given = self._headers.get(const.HEADER_RANGE)
        if given is None:
            return 0, None
        found = _SIMPLE_RANGE.fullmatch(given.replace(" ", ""))
        if found is None:
            return None
        return int(found[1]), int(found[2]) if found[2] else None

    @property
    def selects_part(self) -> bool:
        """Whether the answer is something else than a run of the object's bytes."""
        return any(
            self._params.get(key)
            for key in (const.QPARAM_ARCHPATH, const.QPARAM_ARCHREGX, const.QPARAM_ETL_NAME)
        )

    @property
    def is_whole(self) -> bool:
        """Whether all of the object is read, as it is."""
        return not self.selects_part and self.byte_range == (0, None)

    def can_get_at_offset(self) -> bool:
        """Whether reading can go on in the middle."""
        return not self.selects_part and self.byte_range is not None

    def read_all(self) -> tuple[CaseInsensitiveDict, bytes]:
        """Reads everything."""
        return self._get(self._headers)

    def _get(self, headers: dict[str, str]) -> tuple[CaseInsensitiveDict, bytes]:
        native, params, sent = self._request_client.native, pairs(self._params), pairs(headers)
        _, answered, content = self._read(
            lambda: native.get(self._bucket_path, self._name, params, sent)
        )
        return CaseInsensitiveDict(answered), content

    def get_chunk(self, start: int, end: int) -> tuple[CaseInsensitiveDict, bytes]:
        """Reads the object's bytes [start, end)."""
        return self._get({**self._headers, const.HEADER_RANGE: f"bytes={start}-{end - 1}"})

    def open(self, offset: int = 0, etag: str = "") -> _native.ObjectStream:
        """Starts streaming, `offset` bytes after the first one asked for.

        Args:
            offset: Where to start.
            etag: The version wanted; another one is answered with status 412.
        """
        headers = dict(self._headers)
        if etag:
            headers[const.HEADER_IF_MATCH] = etag
        wanted = self.byte_range
        if offset and wanted is not None:
            first, last = wanted
            end = "" if last is None else str(last)
            headers[const.HEADER_RANGE] = f"bytes={(first or 0) + offset}-{end}"
        native, params, sent = self._request_client.native, pairs(self._params), pairs(headers)
        return self._read(lambda: native.open(self._bucket_path, self._name, params, sent))

    def get_into(self, buffer: WritableBuffer, offset: int = 0, parallel: int = 0) -> int:
        """Reads into a writable, C-contiguous buffer; returns the number of bytes.

        Args:
            buffer: The memory.
            offset: First byte wanted.
            parallel: Ranges of large content that are read at once; 0 is as many as usual.

        Raises:
            TypeError: The buffer is read-only or not contiguous.
        """
        with memoryview(buffer) as view:
            length = view.nbytes
            if view.readonly or not view.c_contiguous:
                raise TypeError(
                    "expected a writable C-contiguous buffer, as bytearray or numpy.empty"
                )
            wanted = None if self.selects_part else self.byte_range
            if wanted is None:
                return self._copy_into(view, offset)
            first, last = wanted
            start = (first or 0) + offset
            if last is not None:
                length = min(length, last + 1 - start)
            if length <= 0:
                return 0
            with pinned(view, length) as address:
                native = self._request_client.native
                return self._read(
                    lambda: native.get_into(
                        self._bucket_path, self._name, address, length, start, parallel
                    )
                )

    def _copy_into(self, view: memoryview, offset: int) -> int:
        _, content = self.read_all()
        part = content[offset : offset + view.nbytes]
        view.cast("B")[: len(part)] = part
        return len(part)

    def head(self, props: str = const.PROPS_READER) -> CaseInsensitiveDict:
        """Headers that tell the object's properties."""
        answer = self._request_client.native.head(
            self._bucket_path, self._name, [(const.QPARAM_PROPS, props)]
        )
        return CaseInsensitiveDict(answer.headers)


@contextmanager
def pinned(view: memoryview, length: int) -> Iterator[int]:
    """Address of writable memory: meanwhile a bytearray, say, cannot be resized."""
    memory = (ctypes.c_char * length).from_buffer(view)
    try:
        yield ctypes.addressof(memory)
    finally:
        del memory


def checksum_of(buffer: WritableBuffer, length: int, kind: str) -> str:
    """Checksum of the first bytes of a writable, C-contiguous buffer.

    Raises:
        ValueError: Nobody knows this kind.
    """
    from aistore import _native  # noqa: PLC0415 - loaded with the first client

    with memoryview(buffer) as view, pinned(view, length) as address:
        return _native.checksum(kind, address, length)


def identity_of(headers: CaseInsensitiveDict) -> tuple[str, ...]:
    """What differs between two versions of an object; empty when the answer does not tell."""
    told = (
        headers.get(const.AIS_CHECKSUM_TYPE, ""),
        headers.get(const.AIS_CHECKSUM_VALUE, ""),
        headers.get(const.AIS_VERSION, ""),
        headers.get(const.HEADER_ETAG, ""),
    )
    return told if any(told) else ()


def strong_etag(headers: CaseInsensitiveDict) -> str:
    """The entity tag, if it promises equal bytes."""
    tag = headers.get(const.HEADER_ETAG, "")
    return tag if tag.startswith('"') else ""
