"""The file system."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import fsspec.asyn
from fsspec.asyn import AsyncFileSystem, sync_wrapper

from aistore.fsspec import _listing as listing
from aistore.fsspec._async_file import AsyncReadFile, AsyncWriteFile
from aistore.fsspec._connection import Connection
from aistore.fsspec._file import CompressedWriteFile, ReadFile, TextWriteFile, WriteFile
from aistore.fsspec._paths import NOT_FOUND, os_errors, split
from aistore.fsspec._reading import Reading
from aistore.fsspec._writing import Writing
from aistore.sdk.errors import AISError
from aistore.sdk.provider import Provider

if TYPE_CHECKING:
    import asyncio
    from datetime import datetime

    from aistore.fsspec._listing import Info

_MIB = 1 << 20
_LISTINGS_EXPIRE_S = 30.0


class AISFileSystem(Reading, Writing, AsyncFileSystem):  # type: ignore[misc]
    """Buckets as directories of a file system: `bucket/path/to/object`.

    A directory is a prefix that ends in a slash: it is there as long as something is below it. What
    is written appears whole when its file is closed; leaving `with` through an exception leaves
    nothing.

    Listings are remembered for a while (`use_listings_cache`, `listings_expiry_time`), and
    forgotten where this file system changes something. Facts about single objects are never
    remembered.

    Share it between threads, pickle it, use it after a fork.

    Args:
        endpoint: URL of a gateway. Default: `AIS_ENDPOINT`, read at each use.
        token: As for `Client`.
        skip_verify: As for `Client`.
        ca_cert: As for `Client`.
        client_cert: As for `Client`.
        timeout: As for `Client`.
        max_pool_size: As for `Client`.
        max_concurrency: Operations under way at a time.
        provider: Where the buckets have their home.
        block_size: Bytes that a file reads ahead, and bytes of a part when it is written.
        asynchronous: Whether the caller awaits the methods that begin with `_`.
        loop: The event loop to use.
        batch_size: Files that are copied at a time.
        options: What other file systems of fsspec take, such as `listings_expiry_time` in seconds
            (30 by default; None is without end).
    """

    protocol = "ais"
    root_marker = ""
    _pid: int

    def __init__(
        self,
        endpoint: str | None = None,
        *,
        token: str | None = None,
        skip_verify: bool = False,
        ca_cert: str | None = None,
        client_cert: str | tuple[str, str] | None = None,
        timeout: float | tuple[float, float] | None = None,
        max_pool_size: int | None = None,
        max_concurrency: int = 64,
        provider: str = "ais",
        block_size: int = 8 * _MIB,
        asynchronous: bool = False,
        loop: asyncio.AbstractEventLoop | None = None,
        batch_size: int | None = None,
        **options: Any,
    ) -> None:
        if block_size < 1:
            raise ValueError(f"block_size {block_size}: expected at least 1 byte")
        options.setdefault("listings_expiry_time", _LISTINGS_EXPIRE_S)
        super().__init__(asynchronous=asynchronous, loop=loop, batch_size=batch_size, **options)
        # fsspec keeps the arguments for pickling, and gives the default of blocksize for files.
        self.blocksize = block_size
        self._connection = Connection(
            endpoint,
            Provider.parse(provider),
            {
                "token": token,
                "skip_verify": skip_verify,
                "ca_cert": ca_cert,
                "client_cert": client_cert,
                "timeout": timeout,
                "max_pool_size": max_pool_size,
                "max_concurrency": max_concurrency,
            },
        )

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The event loop that runs what is called without awaiting; of this process."""
        if self._pid != os.getpid():
            if fsspec.asyn.loop[0] is None:
                # A thread of the parent may have held it at the moment of the fork.
                fsspec.asyn.reset_lock()
            self._pid = os.getpid()
            self._loop = None if self.asynchronous else fsspec.asyn.get_loop()
        return self._loop

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        stripped = super()._strip_protocol(path)
        return stripped.lstrip("/") if isinstance(stripped, str) else stripped

    # --- what is there

    async def _info(self, path: str, **_options: Any) -> Info:
        path = self._strip_protocol(path)
        bucket, name = split(path)
        if not bucket:
            return listing.directory("")
        with os_errors(path):
            if not name:
                await self._connection.bucket(bucket).head()
                return listing.directory(bucket)
            try:
                attributes = await self._connection.object(path).head(listing.HEAD_PROPS)
                return listing.file_info(path, attributes)
            except AISError as error:
                if error.status_code != NOT_FOUND:
                    raise
            if await self._is_prefix(bucket, name):
                return listing.directory(path)
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), f"ais://{path}")

    async def _is_prefix(self, bucket: str, name: str) -> bool:
        try:
            opened = self._connection.bucket(bucket)
            return await listing.is_directory(self._connection.calls, opened, name)
        except AISError as error:
            if error.status_code == NOT_FOUND:
                return False
            raise

    async def _ls(
        self, path: str, detail: bool = True, refresh: bool = False, **_options: Any
    ) -> list[Any]:
        path = self._strip_protocol(path)
        found = None if refresh else self.dircache.get(path)
        if found is None:
            found = await self._list(path)
            self.dircache[path] = found
        return found if detail else [info["name"] for info in found]

    async def _list(self, path: str) -> list[Info]:
        bucket, name = split(path)
        with os_errors(path):
            if not bucket:
                buckets = await self._connection.list_buckets()
                return [listing.directory(name) for name in buckets]
            opened = self._connection.bucket(bucket)
            found = await listing.list_directory(opened, f"{name}/" if name else "")
        if found or not name:
            return found
        info = await self._info(path)
        # A directory may have got its first object meanwhile.
        return [info] if info["type"] == "file" else await self._list(path)

    async def _find(
        self,
        path: str,
        maxdepth: int | None = None,
        withdirs: bool = False,
        *,
        detail: bool = False,
        prefix: str = "",
        **options: Any,
    ) -> Any:
        path = self._strip_protocol(path)
        bucket, name = split(path)
        if maxdepth is not None or not bucket:
            walked = await super()._find(
                path, maxdepth=maxdepth, withdirs=withdirs, detail=True, **options
            )
            start = f"{path}/{prefix}" if path else prefix
            chosen = {k: v for k, v in walked.items() if not prefix or k.startswith(start)}
            return chosen if detail else sorted(chosen)
        top = f"{name}/{prefix}" if name else prefix
        with os_errors(path):
            try:
                files = await listing.list_below(self._connection.bucket(bucket), top)
            except AISError as error:
                # As for local files, there is nothing in what is not there.
                if error.status_code != NOT_FOUND:
                    raise
                files = []
        found = {info["name"]: info for info in files}
        if withdirs and files:
            found.update(listing.directories_above(files, path))
            found[path] = listing.directory(path)
        elif not files and not prefix and await self._isfile(path):
            found[path] = await self._info(path)
        names = sorted(found)
        return {each: found[each] for each in names} if detail else names

    async def _du(
        self, path: str, total: bool = True, maxdepth: int | None = None, **options: Any
    ) -> Any:
        files = await self._find(path, maxdepth=maxdepth, detail=True, **options)
        sizes = {name: info["size"] for name, info in files.items()}
        return sum(sizes.values()) if total else sizes

    async def _modified(self, path: str) -> datetime:
        info = await self._info(path)
        found: datetime | None = info.get("LastModified")
        if found is None:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), f"ais://{path}")
        return found

    # Objects do not change: they are replaced.
    _created = _modified
    modified = sync_wrapper(_modified)
    created = sync_wrapper(_created)

    def invalidate_cache(self, path: str | None = None) -> None:
        """Forgets listings: of a directory and those above it, or all of them."""
        if path is None:
            self.dircache.clear()
        else:
            path = self._strip_protocol(path)
            self.dircache.pop(path, None)
            while path:
                path = path.rpartition("/")[0]
                self.dircache.pop(path, None)
        super().invalidate_cache(path)

    def url(self, path: str) -> str:
        """HTTP URL of an object, for clients that follow redirects."""
        return self._connection.object(self._strip_protocol(path)).blocking().get_url()

    # --- files

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        autocommit: bool = True,
        cache_options: dict[str, Any] | None = None,
        **options: Any,
    ) -> ReadFile | WriteFile:
        kind = ReadFile if mode == "rb" else WriteFile
        return kind(
            self,
            path,
            mode,
            block_size or self.blocksize,
            autocommit=autocommit,
            cache_options=cache_options,
            **options,
        )

    def open(self, path: str, mode: str = "rb", *args: Any, **options: Any) -> Any:
        """Opens a file; see `fsspec.AbstractFileSystem.open`."""
        if "r" in mode:
            return super().open(path, mode, *args, **options)
        texts = ("encoding", "errors", "newline")
        text = {key: options.pop(key) for key in texts if key in options}
        compression = options.pop("compression", None)
        binary = mode if "b" in mode else mode.replace("t", "") + "b"
        file = super().open(path, binary, *args, **options)
        if compression is not None:
            file = CompressedWriteFile(file, compression)
        return file if "b" in mode else TextWriteFile(file, **text)

    async def open_async(
        self, path: str, mode: str = "rb", **options: Any
    ) -> AsyncReadFile | AsyncWriteFile:
        """Opens a file whose methods are awaited, to be read or written from start to end.

        Raises:
            ValueError: Another mode than `rb` and `wb`, or a compression.
        """
        if mode not in {"rb", "wb"} or options.get("compression"):
            raise ValueError(f"mode {mode!r}: expected 'rb' or 'wb', without compression")
        path = self._strip_protocol(path)
        block_size = options.get("block_size") or self.blocksize
        if mode == "wb":
            return AsyncWriteFile(self, path, mode, block_size)
        info = await self._info(path)
        if info["type"] != "file":
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), f"ais://{path}")
        return AsyncReadFile(self, path, info["size"], block_size)

    def native(self) -> tuple[Any, Connection]:
        """This process's native client, for calls that block, and the connection."""
        return self._connection.calls.client.native, self._connection
