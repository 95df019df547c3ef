"""GetBatch: many objects, files inside them, or parts, with one request and in its order."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, TypeAlias, cast, overload

from aistore.sdk import const
from aistore.sdk.batch.extractor.extractor_registry import get_extractor
from aistore.sdk.batch.types import (
    MossIn,
    MossOut,
    MossReq,
    decode_opaque,
    make_entries,
    make_entry,
)
from aistore.sdk.enums import Colocation
from aistore.sdk.obj.object import Object
from aistore.sdk.obj.object_client import pinned
from aistore.sdk.obj.raw_stream import RawStream
from aistore.sdk.provider import Provider
from aistore.sdk.request_client import pairs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Literal

    from aistore import _native
    from aistore.sdk.batch.extractor.archive_stream_extractor import ArchiveStreamExtractor
    from aistore.sdk.bucket import Bucket
    from aistore.sdk.obj.object_client import WritableBuffer
    from aistore.sdk.request_client import RequestClient

    BatchResult: TypeAlias = Iterator[tuple[MossOut, bytes]]

_FORMATS = frozenset({const.EXT_TAR, const.EXT_TGZ, const.EXT_TAR_GZ, const.EXT_ZIP})
# Entries taken over from native code at a time: enough to make the crossing cheap, few enough to
# start early.
_AT_ONCE = 64


class Batch:
    """A request for many objects.

    Entries are read from all their targets at once and given in the order of the request.

    Args:
        request_client: Sends the request.
        objects: First entries: objects, or names in `bucket`.
        bucket: Bucket of entries that name none.
        output_format: Format of the archive that `get(raw=True)` gives.
        cont_on_err: Whether a missing entry is marked; otherwise it fails the batch.
        only_obj_name: Whether the entries of that archive are named without their bucket.
        streaming_get: Whether that archive comes as a stream, without a description.
        colocation: Hint for choosing the target that assembles that archive.

    Raises:
        ValueError: Unknown format, hint or kind of entry.
        NotImplementedError: `TARGET_AND_SHARD_AWARE` is reserved.
    """

    def __init__(
        self,
        request_client: RequestClient,
        objects: Sequence[Object | str] | Object | str | None = None,
        bucket: Bucket | None = None,
        output_format: str = const.EXT_TAR,
        cont_on_err: bool = True,
        only_obj_name: bool = False,
        streaming_get: bool = True,
        colocation: Colocation = Colocation.NONE,
    ) -> None:
        output_format = output_format.lower()
        if output_format not in _FORMATS:
            known = ", ".join(sorted(_FORMATS))
            raise ValueError(
                f"Unsupported output format {output_format!r}: expected one of {known}"
            )
        colocation = Colocation(colocation)
        if colocation is Colocation.TARGET_AND_SHARD_AWARE:
            raise NotImplementedError("colocation TARGET_AND_SHARD_AWARE is reserved")
        self.request_client = request_client
        self.bucket = bucket
        self.request = MossReq(
            output_format=output_format,
            cont_on_err=cont_on_err,
            only_obj_name=only_obj_name,
            streaming_get=streaming_get,
            colocation=colocation,
        )
        if objects is None:
            return
        if isinstance(objects, Object | str):
            objects = [objects]
        if bucket is not None and set(map(type, objects)) == {str}:
            self.request.moss_in = make_entries(cast("Sequence[str]", objects))
            return
        for obj in objects:
            self.add(obj)

    @property
    def extractor(self) -> ArchiveStreamExtractor:
        """Reads the archive that `get(raw=True)` gives."""
        return get_extractor(self.request.output_format)

    @property
    def requests_list(self) -> list[MossIn]:
        """The entries; append to it, or use `add`."""
        return self.request.moss_in

    def add(
        self,
        obj: Object | str,
        opaque: bytes | None = None,
        archpath: str | None = None,
        start: int | None = None,
        length: int | None = None,
        bck: str | None = None,
        provider: Provider | str | None = None,
    ) -> Batch:
        """Adds an entry.

        Args:
            obj: An object, or the name of one.
            opaque: Comes back with the entry.
            archpath: File inside the object.
            start: First byte; needs `length`.
            length: Number of bytes; -1 for the rest.
            bck: Bucket of an object given by name, instead of the default one.
            provider: Its provider; goes with `bck`.

        Raises:
            ValueError: The arguments contradict each other, or the bucket is missing.
        """
        if (start or 0) < 0:
            raise ValueError(f"start {start}: expected 0 or more")
        if (length or 0) < -1:
            raise ValueError(f"length {length}: expected -1 (the rest) or more")
        if start is not None and length is None:
            raise ValueError(f"start {start} needs a length; -1 is the rest")
        name, bck, provider = self._identify(obj, bck, provider)
        values: dict[str, Any] = {"obj_name": name}
        if bck:
            values["bck"], values["provider"] = bck, provider
        if opaque:
            values["opaque"] = base64.b64encode(opaque).decode()
        if archpath:
            values["archpath"] = archpath
        if start:
            values["start"] = start
        if length:
            values["length"] = length
        self.request.moss_in.append(make_entry(values))
        return self

    def _identify(
        self, obj: Object | str, bck: str | None, provider: Provider | str | None
    ) -> tuple[str, str | None, str | None]:
        if isinstance(obj, Object):
            if bck or provider:
                raise ValueError("bck and provider go with a name, not with an Object")
            return obj.name, obj.bucket_name, obj.bucket_provider.value
        if not isinstance(obj, str):
            raise ValueError(f"expected an Object or a name, got {type(obj).__name__}")  # noqa: TRY004
        if bool(bck) != bool(provider):
            raise ValueError("bck and provider go together: give both or neither")
        if bck and provider:
            return obj, bck, provider.value if isinstance(provider, Provider) else provider
        if self.bucket is None:
            raise ValueError(f"no bucket for {obj!r}: give bck and provider, or the batch a bucket")
        return obj, None, None

    def clear(self) -> Batch:
        """Removes all entries; a list that was taken before keeps them."""
        self.request.moss_in = []
        return self

    def __len__(self) -> int:
        return len(self.requests_list)

    def __repr__(self) -> str:
        return f"Batch(objects={len(self)}, format={self.request.output_format})"

    @overload
    def get(
        self,
        raw: Literal[False] = False,
        decode_as_stream: bool = False,
        clear_batch: bool = True,
        *,
        tar_buffer_size: int | None = None,
    ) -> BatchResult: ...

    @overload
    def get(
        self,
        raw: Literal[True],
        decode_as_stream: bool = False,
        clear_batch: bool = True,
        *,
        tar_buffer_size: int | None = None,
    ) -> RawStream: ...

    def get(
        self,
        raw: bool = False,
        decode_as_stream: bool = False,
        clear_batch: bool = True,
        *,
        tar_buffer_size: int | None = None,
    ) -> BatchResult | RawStream:
        """Sends the request.

        Args:
            raw: Gives the archive itself, as a file that the caller closes.
            decode_as_stream: Accepted for compatibility: entries are always streamed.
            clear_batch: Whether to remove the entries from this batch.
            tar_buffer_size: Accepted for compatibility; a positive number.

        Returns:
            Pairs of description and content, in the order of the request, as they arrive. With
            `cont_on_err` a missing entry has no content and an `err_msg`.

        Raises:
            ValueError: The batch is empty, or `tar_buffer_size` does not fit.
            ErrObjNotFound: An entry is missing, without `cont_on_err`.
            AISError: The request failed; with `cont_on_err`, if too many entries are missing.
        """
        del decode_as_stream
        if not self.requests_list:
            raise ValueError("the batch is empty: add entries before get()")
        self._check_buffer_size(tar_buffer_size, raw=raw)
        entries = self.requests_list
        body = self.request.to_json()
        path = self.bucket.get_path() if self.bucket else None
        result: BatchResult | RawStream
        if raw:
            result = self._open_archive(body)
        else:
            stream = self.request_client.native.batch(path, body.decode())
            result = self._pair(stream, list(entries))
        if clear_batch:
            self.clear()
        return result

    def read_into(
        self, buffer: WritableBuffer, clear_batch: bool = True
    ) -> list[tuple[MossOut, memoryview]]:
        """Reads all entries into memory of the caller, one after the other.

        Args:
            buffer: Writable and C-contiguous: a bytearray, numpy array, shared memory.
            clear_batch: Whether to remove the entries from this batch.

        Returns:
            Pairs of description and the part of the buffer with the content, in the order of the
            request. With `cont_on_err` a missing entry has an empty part and an `err_msg`.

        Raises:
            ValueError: The batch is empty, or the entries do not fit.
            TypeError: The buffer is read-only or not contiguous.
            ErrObjNotFound: An entry is missing, without `cont_on_err`.
            AISError: The request failed; with `cont_on_err`, if too many entries are missing.
        """
        if not self.requests_list:
            raise ValueError("the batch is empty: add entries before read_into()")
        view = memoryview(buffer)
        if view.readonly or not view.c_contiguous:
            raise TypeError("expected a writable C-contiguous buffer, as bytearray or numpy.empty")
        view = view.cast("B")
        entries = self.requests_list
        path = self.bucket.get_path() if self.bucket else None
        stream = self.request_client.native.batch(path, self.request.to_json().decode())
        pairs: list[tuple[MossOut, memoryview]] = []
        at = 0
        try:
            with pinned(view, view.nbytes) as address:
                while filled := stream.fill(address + at, view.nbytes - at):
                    for index, size, error in filled:
                        part = view[at : at + size]
                        pairs.append((_describe(entries[index], self.bucket, size, error), part))
                        at += size
        finally:
            stream.close()
        if clear_batch:
            self.clear()
        return pairs

    def _check_buffer_size(self, size: int | None, *, raw: bool) -> None:
        if size is None:
            return
        if size < 1:
            raise ValueError(f"tar_buffer_size {size}: expected at least 1")
        if raw or self.request.output_format == const.EXT_ZIP:
            raise ValueError("tar_buffer_size is for reading tar archives, not for raw or zip ones")

    def _open_archive(self, body: bytes) -> RawStream:
        path, params = f"/v1/{const.URL_PATH_MOSS}", {}
        if self.bucket:
            path += f"/{self.bucket.name}"
            params.update(self.bucket.qparam)
        if self.request.colocation:
            params[const.QPARAM_COLOC] = str(int(self.request.colocation))
        # With trailers an answer that was cut short is told from a whole one.
        headers = {const.HEADER_CONTENT_TYPE: const.JSON_CONTENT_TYPE, "TE": "trailers"}
        stream = self.request_client.native.open_request(
            "GET", path, pairs(params), pairs(headers), body
        )
        return RawStream(stream)

    def _pair(self, stream: _native.BatchStream, entries: list[MossIn]) -> BatchResult:
        try:
            while items := stream.next_many(_AT_ONCE):
                for index, content, error in items:
                    yield pair_entry(entries[index], self.bucket, content, error)
        finally:
            stream.close()


def pair_entry(
    entry: MossIn, bucket: Bucket | None, content: bytes | None, error: str | None
) -> tuple[MossOut, bytes]:
    """Description and content of what came for an entry."""
    return _describe(entry, bucket, len(content or b""), error), content or b""


def _describe(entry: MossIn, bucket: Bucket | None, size: int, error: str | None) -> MossOut:
    # Not validated: 1,000 entries a batch, all of them made here.
    return MossOut.model_construct(
        obj_name=entry.obj_name,
        archpath=entry.archpath or "",
        bucket=entry.bck or (bucket.name if bucket else None),
        provider=entry.provider or (bucket.provider.value if bucket else None),
        opaque=decode_opaque(entry.opaque),
        err_msg=error,
        size=size,
    )
