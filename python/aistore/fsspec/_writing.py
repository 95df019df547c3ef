"""Writing, copying and removing."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsspec.asyn import _run_coros_in_chunks, sync_wrapper
from fsspec.callbacks import DEFAULT_CALLBACK

from aistore.fsspec._paths import os_errors, split
from aistore.sdk.errors import ErrBckAlreadyExists
from aistore.sdk.multipart_config import MultipartConfig

if TYPE_CHECKING:
    from aistore.fsspec._connection import Connection

_PARTS = MultipartConfig()
_CREATE_ONLY = {"If-None-Match": "*"}


class Writing:
    """The part of the file system that changes something."""

    if TYPE_CHECKING:
        _connection: Connection
        batch_size: int | None

        @classmethod
        def _strip_protocol(cls, path: Any) -> Any: ...
        def invalidate_cache(self, path: str | None = None) -> None: ...
        async def _exists(self, path: str) -> bool: ...
        async def _find(self, path: str, **options: Any) -> Any: ...
        async def _expand_path(self, path: Any, **options: Any) -> list[str]: ...

    async def _pipe_file(
        self, path: str, value: Any, mode: str = "overwrite", **_options: Any
    ) -> None:
        path = self._strip_protocol(path)
        obj = self._connection.object(path)
        headers = _CREATE_ONLY if mode == "create" else None
        with os_errors(path):
            if len(value) < _PARTS.threshold:
                await obj.put(value, headers=headers)
            else:
                await self._refuse_existing(path, mode)
                writer = obj.blocking().get_writer()
                await asyncio.to_thread(writer.put_content, value, multipart=_PARTS)
        self.invalidate_cache(path)

    async def _put_file(
        self,
        lpath: str,
        rpath: str,
        mode: str = "overwrite",
        callback: Any = DEFAULT_CALLBACK,
        **_options: Any,
    ) -> None:
        path = self._strip_protocol(rpath)
        size = await asyncio.to_thread(_size_of, Path(lpath))
        if size is None:
            return
        callback.set_size(size)
        obj = self._connection.object(path)
        with os_errors(path):
            await self._refuse_existing(path, mode)
            if size < _PARTS.threshold:
                await obj.put_file(lpath)
                callback.absolute_update(size)
            else:
                writer = obj.blocking().get_writer()
                await asyncio.to_thread(
                    writer.put_file, lpath, multipart=_PARTS, progress=callback.absolute_update
                )
        self.invalidate_cache(path)

    async def _refuse_existing(self, path: str, mode: str) -> None:
        if mode == "create" and await self._exists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), f"ais://{path}")

    async def _cp_file(self, path1: str, path2: str, **_options: Any) -> None:
        source, target = self._strip_protocol(path1), self._strip_protocol(path2)
        with os_errors(source):
            await self._connection.object(source).copy(self._connection.object(target))
        self.invalidate_cache(target)

    async def _rm_file(self, path: str, **_options: Any) -> None:
        path = self._strip_protocol(path)
        with os_errors(path):
            await self._connection.object(path).delete()
        self.invalidate_cache(path)

    async def _rm(
        self,
        path: str | list[str],
        recursive: bool = False,
        batch_size: int | None = None,
        maxdepth: int | None = None,
        **_options: Any,
    ) -> None:
        doomed: set[str] = set()
        buckets: set[str] = set()
        for top in await self._expand_path(path):
            if not recursive:
                doomed.add(top)
            elif split(top)[1] or maxdepth is not None:
                files = await self._find(top, maxdepth=maxdepth)
                if not files:
                    missing = os.strerror(errno.ENOENT)
                    raise FileNotFoundError(errno.ENOENT, missing, f"ais://{top}")
                doomed.update(files)
            else:
                buckets.add(top)
        await _run_coros_in_chunks(
            [self._rm_file(name) for name in sorted(doomed)],
            batch_size=batch_size or self.batch_size,
            nofiles=True,
        )
        for bucket in sorted(buckets):
            with os_errors(bucket):
                await self._connection.bucket(bucket).delete()
            self.invalidate_cache(bucket)

    async def _mkdir(self, path: str, create_parents: bool = True, **_options: Any) -> None:
        """Creates a bucket. Directories below it need no creation."""
        path = self._strip_protocol(path)
        bucket, name = split(path)
        with os_errors(path):
            if not name or create_parents:
                await self._connection.bucket(bucket).create(exist_ok=bool(name))
            else:
                await self._connection.bucket(bucket).head()
        self.invalidate_cache(bucket)

    async def _makedirs(self, path: str, exist_ok: bool = False) -> None:
        path = self._strip_protocol(path)
        bucket, name = split(path)
        if not bucket:
            return
        with os_errors(path):
            try:
                await self._connection.bucket(bucket).create()
            except ErrBckAlreadyExists:
                if not (exist_ok or name):
                    raise
        self.invalidate_cache(bucket)

    async def _rmdir(self, path: str) -> None:
        """Removes an empty bucket. Directories below one go with their last object."""
        path = self._strip_protocol(path)
        bucket, name = split(path)
        opened = self._connection.bucket(bucket)
        with os_errors(path):
            async for _ in opened.list_objects(f"{name}/" if name else "", "name"):
                raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), f"ais://{path}")
            if not name:
                await opened.delete()
        self.invalidate_cache(bucket)

    rmdir = sync_wrapper(_rmdir)

    async def _touch(self, path: str, truncate: bool = True, **_options: Any) -> None:
        if truncate or not await self._exists(path):
            await self._pipe_file(path, b"")

    touch = sync_wrapper(_touch)


def _size_of(file: Path) -> int | None:
    """Size of a local file; None of a directory."""
    return None if file.is_dir() else file.stat().st_size
