"""Buckets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from aistore._progress import progress
from aistore.sdk import const
from aistore.sdk.ais_source import AISSource
from aistore.sdk.errors import ErrBckAlreadyExists, ErrBckNotFound, InvalidBckProvider
from aistore.sdk.list_object_flag import ListObjectFlag
from aistore.sdk.namespace import Namespace
from aistore.sdk.obj.object import BucketDetails, Object
from aistore.sdk.obj.object_iterator import ObjectIterator
from aistore.sdk.obj.object_props import ObjectProps
from aistore.sdk.provider import Provider
from aistore.sdk.types import ActionMsg, BucketEntry, BucketList, BucketModel, ListObjectsMsg
from aistore.sdk.utils import get_logger, validate_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from os import PathLike

    from aistore import _native
    from aistore.sdk._headers import CaseInsensitiveDict
    from aistore.sdk.multiobj import ObjectGroup, ObjectRange
    from aistore.sdk.request_client import RequestClient
    from aistore.sdk.response import Response
    from aistore.sdk.types import QueryParams

_UPLOADS_AT_ONCE = 8


class Bucket(AISSource):
    """A bucket, whether it exists or not. Equal only to itself.

    Args:
        name: Name of the bucket.
        client: Sends the requests.
        provider: Where its data has its home.
        namespace: Namespace; None is the global one.
    """

    def __init__(
        self,
        name: str,
        client: RequestClient | None = None,
        provider: Provider | str = Provider.AIS,
        namespace: Namespace | None = None,
    ) -> None:
        self._name = name
        self._client = client
        self._provider = Provider.parse(provider)
        self._namespace = namespace
        self._qparam = {const.QPARAM_PROVIDER: self._provider.value}
        if namespace:
            self._qparam[const.QPARAM_NAMESPACE] = namespace.get_path()
        path = f"{self._provider.value}/{(namespace or Namespace()).get_path()}/{name}/"
        self._details = BucketDetails(name, self._provider, self._qparam, path)

    @property
    def client(self) -> RequestClient:
        """Sends the requests.

        Raises:
            ValueError: The bucket was made without a client.
        """
        if self._client is None:
            raise ValueError(f"bucket {self._name!r} has no client: make it with Client.bucket()")
        return self._client

    @client.setter
    def client(self, client: RequestClient) -> None:
        self._client = client

    @property
    def qparam(self) -> dict[str, str]:
        """Query parameters that select the bucket."""
        return self._qparam

    @property
    def provider(self) -> Provider:
        """Where the data has its home."""
        return self._provider

    @property
    def name(self) -> str:
        """Name of the bucket."""
        return self._name

    @property
    def namespace(self) -> Namespace | None:
        """Namespace; None is the global one."""
        return self._namespace

    def get_path(self) -> str:
        """`provider/@uuid#namespace/bucket/`."""
        return self._details.path

    def as_model(self) -> BucketModel:
        """Identity, as requests carry it."""
        return BucketModel(
            name=self._name, provider=self._provider.value, namespace=self._namespace
        )

    def __repr__(self) -> str:
        return f"Bucket('{self._provider.value}://{self._name}')"

    # Life of the bucket.

    def create(self, exist_ok: bool = False) -> Bucket:
        """Creates the bucket.

        Args:
            exist_ok: Whether an existing bucket will do.

        Raises:
            InvalidBckProvider: Only `ais` buckets are created.
            ErrBckAlreadyExists: It exists.
        """
        self._require_ais()
        try:
            self.make_request(const.HTTP_METHOD_POST, const.ACT_CREATE_BCK)
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
        path = self._url_path
        return self.client.request("HEAD", path, params=self._qparam).headers

    def make_request(
        self,
        method: str,
        action: str,
        value: Any = None,
        params: dict[str, str] | None = None,
        name: str = "",
    ) -> Response:
        """Sends an action to the bucket."""
        return self.client.request(
            method,
            self._url_path,
            params={**self._qparam, **(params or {})},
            json=ActionMsg(action=action, name=name, value=value).model_dump(),
        )

    def verify_cloud_bucket(self) -> None:
        """Checks that the data's home is outside the cluster.

        Raises:
            InvalidBckProvider: It is not.
        """
        if self._provider is Provider.AIS:
            raise InvalidBckProvider(self._provider)

    @property
    def _url_path(self) -> str:
        return f"{const.URL_PATH_BUCKETS}/{quote(self._name, safe='')}"

    def _require_ais(self) -> None:
        if self._provider is not Provider.AIS:
            raise InvalidBckProvider(self._provider)

    # Listing.

    def list_objects(
        self,
        prefix: str = "",
        props: str = "",
        page_size: int = 0,
        uuid: str = "",
        continuation_token: str = "",
        flags: Sequence[ListObjectFlag] | None = None,
        target: str = "",
        inventory_name: str = "",
        start_after: str = "",
    ) -> BucketList:
        """Lists one page.

        Args:
            prefix: Only names that start with it.
            props: Properties wanted, comma-separated; the server's default set if empty.
            page_size: Names in the page; 0 is the server's maximum.
            uuid: Id of the listing, from its previous page.
            continuation_token: From the previous page.
            flags: Options.
            target: Node that lists a remote bucket.
            inventory_name: Inventory to list from.
            start_after: Only names after this one; for a first page.

        Raises:
            ErrBckNotFound: There is no such bucket.
            NotImplementedError: `start_after` is only for `ais` buckets.
        """
        self._check_start_after(start_after)
        flags = list(flags or ())
        headers = [(const.HEADER_ACCEPT, const.MSGPACK_CONTENT_TYPE)]
        if inventory_name:
            flags.append(ListObjectFlag.NBI)
            headers.append((const.AIS_INVENTORY_NAME, inventory_name))
        message = ListObjectsMsg(
            prefix=prefix,
            page_size=page_size,
            uuid=uuid,
            props=props,
            continuation_token=continuation_token,
            flags=ListObjectFlag.join_flags(flags),
            target=target,
            start_after=start_after,
        )
        page_uuid, token, page_flags, entries = self.client.native.list_page(
            self._details.path, json.dumps(message.as_dict()), headers
        )
        return BucketList(page_uuid, token, page_flags, self._take(entries))

    def list_objects_iter(
        self,
        prefix: str = "",
        props: str = "",
        page_size: int = 0,
        flags: Sequence[ListObjectFlag] | None = None,
        target: str = "",
        inventory_name: str = "",
        start_after: str = "",
    ) -> ObjectIterator:
        """Iterates over entries, one page at a time; see `list_objects`."""
        self._check_start_after(start_after)

        def page(uuid: str, token: str) -> BucketList:
            return self.list_objects(
                prefix=prefix,
                props=props,
                page_size=page_size,
                uuid=uuid,
                continuation_token=token,
                flags=flags,
                target=target,
                inventory_name=inventory_name,
                start_after="" if token else start_after,
            )

        return ObjectIterator(page)

    def list_all_objects(
        self,
        prefix: str = "",
        props: str = "",
        page_size: int = 0,
        flags: Sequence[ListObjectFlag] | None = None,
        target: str = "",
        inventory_name: str = "",
        start_after: str = "",
    ) -> list[BucketEntry]:
        """Lists everything, sorted by name; see `list_objects`.

        Reads from all targets at once where it can.
        """
        self._check_start_after(start_after)
        if self._provider.is_remote() or target or inventory_name:
            return list(
                self.list_objects_iter(
                    prefix, props, page_size, flags, target, inventory_name, start_after
                )
            )
        return self._take(self._list_native(prefix, props, page_size, flags, start_after))

    def list_all_objects_iter(
        self, prefix: str = "", props: str = const.PROPS_NAME_SIZE, start_after: str = ""
    ) -> Iterator[Object]:
        """Iterates over all objects, sorted by name.

        Their `props_cached` holds what the listing told.
        """
        self._check_start_after(start_after)
        if self._provider.is_remote():
            entries: Iterable[BucketEntry] = self.list_objects_iter(
                prefix, props, start_after=start_after
            )
        else:
            entries = self._list_native(prefix, props, 0, None, start_after)
        for entry in entries:
            yield self.object(entry.name, ObjectProps.from_entry(self._details, entry))

    def list_urls(self, prefix: str = "", etl: QueryParams | None = None) -> Iterator[str]:
        """URLs of all objects whose names start with `prefix`."""
        for obj in self.list_all_objects_iter(prefix, const.PROPS_NAME):
            yield obj.get_url(etl=etl)

    def _list_native(
        self,
        prefix: str,
        props: str,
        page_size: int,
        flags: Sequence[ListObjectFlag] | None,
        start_after: str,
    ) -> _native.Entries:
        return self.client.native.list_all(
            self._details.path,
            prefix,
            props,
            ListObjectFlag.join_flags(flags),
            start_after,
            page_size,
        )

    def _take(self, entries: _native.Entries) -> list[BucketEntry]:
        entries.bind(self._object_of_entry)
        return list(entries)

    def _object_of_entry(self, name: str, size: int) -> Object:
        return self.object(name, ObjectProps.from_size(self._details, name, size))

    def _check_start_after(self, start_after: str) -> None:
        if start_after and self._provider is not Provider.AIS:
            raise NotImplementedError(
                f"start_after is only for ais buckets, not for {self._provider.value}"
            )

    # Objects.

    def object(self, obj_name: str, props: ObjectProps | None = None) -> Object:
        """An object of the bucket, whether it exists or not."""
        return Object(self.client, self._details, obj_name, props)

    def objects(
        self,
        obj_names: list[str] | None = None,
        obj_range: ObjectRange | None = None,
        obj_template: str | None = None,
    ) -> ObjectGroup:
        """A selection of objects, by names, range or template: exactly one of them."""
        from aistore.sdk.multiobj import ObjectGroup  # noqa: PLC0415 - groups refer to buckets

        return ObjectGroup(self, obj_names, obj_range, obj_template)

    def put_many(
        self,
        items: Iterable[tuple[str, bytes | str | PathLike[str]]],
        *,
        concurrency: int = _UPLOADS_AT_ONCE,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """Uploads many objects at once.

        Args:
            items: Names with contents (`bytes`) or paths of files (text or path-like).
            concurrency: Uploads at a time.
            progress: Called now and then with objects and bytes sent so far.

        Raises:
            AISError: An upload failed; others may have been done.
            OSError: A file cannot be read.
        """
        prepared = [
            (name, content if isinstance(content, bytes) else str(content))
            for name, content in items
        ]
        if prepared:
            self.client.native.put_many(self._details.path, prepared, concurrency, progress)

    def put_files(
        self,
        path: str | PathLike[str],
        prefix_filter: str = "",
        pattern: str = "*",
        basename: bool = False,
        prepend: str | None = None,
        recursive: bool = False,
        dry_run: bool = False,
        verbose: bool = True,
        *,
        concurrency: int = _UPLOADS_AT_ONCE,
    ) -> list[str]:
        """Uploads the files of a directory, several at a time.

        Args:
            path: The directory.
            prefix_filter: Only files whose names start with it.
            pattern: Only files that match this shell pattern.
            basename: Names objects by the files' names alone instead of their relative paths.
            prepend: Text in front of each object's name.
            recursive: Whether to descend into subdirectories.
            dry_run: Only tell what would be done.
            verbose: Whether to show progress and log what was done.
            concurrency: Uploads at a time.

        Returns:
            Names of the objects.

        Raises:
            ValueError: `path` is not a directory, or two files would get the same name.
        """
        validate_directory(path)
        root = Path(path)
        found = sorted(root.rglob(pattern) if recursive else root.glob(pattern))
        uploads: dict[str, Path] = {}
        for file in found:
            if not file.is_file() or not file.name.startswith(prefix_filter):
                continue
            name = (prepend or "") + (file.name if basename else file.relative_to(root).as_posix())
            if name in uploads:
                raise ValueError(
                    f"{uploads[name]} and {file} would both become {name!r}: use basename=False"
                )
            uploads[name] = file
        if not dry_run and uploads:
            total = sum(file.stat().st_size for file in uploads.values())
            with progress(total, f"put {self._name}", show=verbose) as advance_to:
                self.put_many(
                    uploads.items(),
                    concurrency=concurrency,
                    progress=lambda _objects, sent: advance_to(sent),
                )
        if verbose:
            verb = "would upload" if dry_run else "uploaded"
            get_logger(__name__).info("%s %d files to %s", verb, len(uploads), self)
        return list(uploads)
