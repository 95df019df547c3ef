"""Reading and downloading."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsspec.asyn import _run_coros_in_chunks
from fsspec.callbacks import DEFAULT_CALLBACK

from aistore.fsspec._paths import BEYOND_THE_END, os_errors, split
from aistore.fsspec._ranges import Wanted, byte_range, listed, read_batch, within
from aistore.sdk.errors import AISError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aistore.fsspec._connection import Connection


class Reading:
    """The part of the file system that reads contents."""

    if TYPE_CHECKING:
        _connection: Connection
        batch_size: int | None

        async def _info(self, path: str) -> dict[str, Any]: ...

        @classmethod
        def _strip_protocol(cls, path: Any) -> Any: ...
        async def _find(self, path: str, **options: Any) -> Any: ...
        async def _expand_path(self, path: Any, **options: Any) -> list[str]: ...

    async def _cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **_options: Any
    ) -> bytes:
        path = self._strip_protocol(path)
        try:
            wanted = byte_range(start, end)
        except LookupError:
            start, end = within(start, end, (await self._info(path))["size"])
            wanted = byte_range(start, end)
        if end is not None and end <= (start or 0):
            return b""
        with os_errors(path):
            try:
                return await self._connection.object(path).get(wanted)
            except AISError as error:
                if error.status_code == BEYOND_THE_END:
                    return b""
                raise

    async def _cat_ranges(
        self,
        paths: list[str],
        starts: Any,
        ends: Any,
        max_gap: int | None = None,
        batch_size: int | None = None,
        on_error: str = "return",
        **_options: Any,
    ) -> list[Any]:
        del max_gap  # one request reads all of them, near each other or not
        if not isinstance(paths, list):
            raise TypeError(f"paths: expected a list, got {type(paths).__name__}")
        wanted = [self._strip_protocol(path) for path in paths]
        found = await self._read_ranges(
            wanted, listed(starts, len(paths)), listed(ends, len(paths)), batch_size
        )
        if on_error == "raise":
            for content in found:
                if isinstance(content, BaseException):
                    raise content
        return found

    async def _cat(
        self,
        path: str | list[str],
        recursive: bool = False,
        on_error: str = "raise",
        batch_size: int | None = None,
        start: int | None = None,
        end: int | None = None,
        **_options: Any,
    ) -> Any:
        paths = await self._expand_path(path, recursive=recursive)
        if recursive:
            # Directories have no content.
            inside = [await self._find(each) for each in paths]
            paths = sorted({name for names in inside for name in names})
        count = len(paths)
        contents = await self._cat_ranges(
            paths, [start] * count, [end] * count, batch_size=batch_size, on_error=on_error
        )
        if isinstance(path, str) and paths == [self._strip_protocol(path)] and on_error == "raise":
            return contents[0]
        found = dict(zip(paths, contents, strict=True))
        if on_error == "omit":
            return {k: v for k, v in found.items() if not isinstance(v, BaseException)}
        return found

    async def _read_ranges(
        self,
        paths: Sequence[str],
        starts: Sequence[int | None],
        ends: Sequence[int | None],
        batch_size: int | None,
    ) -> list[Any]:
        """Contents, or the exceptions instead of them, in order."""
        found: list[Any] = [None] * len(paths)
        batch: list[tuple[int, Wanted]] = []
        provider = self._connection.provider.value
        for index, (path, start, end) in enumerate(zip(paths, starts, ends, strict=True)):
            bucket, name = split(path)
            first = start or 0
            # What counts from the end, or is nothing, is asked for by itself.
            if name and first >= 0 and (end is None or end > first):
                length = None if end is None else end - first
                batch.append((index, Wanted(bucket, provider, name, first, length)))
        if len(batch) > 1:
            contents = await read_batch(self._connection.calls, [wanted for _, wanted in batch])
            for (index, _), content in zip(batch, contents, strict=True):
                found[index] = content
        rest = [index for index, content in enumerate(found) if content is None]
        singly = await _run_coros_in_chunks(
            [self._cat_file(paths[i], starts[i], ends[i]) for i in rest],
            batch_size=batch_size or self.batch_size,
            nofiles=True,
            return_exceptions=True,
        )
        for index, content in zip(rest, singly, strict=True):
            found[index] = content
        return found

    async def _get_file(
        self, rpath: str, lpath: Any, callback: Any = DEFAULT_CALLBACK, **_options: Any
    ) -> None:
        path = self._strip_protocol(rpath)
        reader = self._connection.object(path).blocking().get_reader()

        def download() -> None:
            if isinstance(lpath, str) and Path(lpath).is_dir():
                return
            if callback is not DEFAULT_CALLBACK:
                callback.set_size(reader.attributes.size)
            if hasattr(lpath, "write"):
                reader.read_all(out=lpath)
            else:
                reader.to_file(lpath, progress=callback.absolute_update)

        with os_errors(path):
            await asyncio.to_thread(download)
