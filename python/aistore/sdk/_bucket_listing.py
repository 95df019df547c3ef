"""Listing a bucket."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from aistore.sdk import const
from aistore.sdk._bucket_identity import BucketIdentity
from aistore.sdk.list_object_flag import ListObjectFlag
from aistore.sdk.obj.object_iterator import ObjectIterator
from aistore.sdk.obj.object_props import ObjectProps
from aistore.sdk.provider import Provider
from aistore.sdk.types import BucketEntry, BucketList, ListObjectsMsg

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from aistore import _native
    from aistore.sdk.obj.object import Object
    from aistore.sdk.types import QueryParams

_ARROW_BATCH_ROWS = 16_384


class BucketListing(BucketIdentity):
    """The part of a bucket's interface that lists."""

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
            flags=flags,
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

    def list_objects_arrow(
        self,
        prefix: str = "",
        props: str = const.PROPS_NAME_SIZE,
        flags: Sequence[ListObjectFlag] | None = None,
        start_after: str = "",
        *,
        batch_size: int = _ARROW_BATCH_ROWS,
    ) -> _native.ArrowListing:
        """Lists as an Arrow stream, sorted by name, for whatever takes one without a copy.

        `pyarrow.table(...)`, `polars.DataFrame(...)`, `duckdb.table(...)` and others read it; each
        of them lists anew, in batches, so that memory stays flat where the reader lets go of them.

        Args:
            prefix: Only names that start with it.
            props: Columns, comma-separated, of: name, size, checksum, atime, version, custom,
                location, copies, flags.
            flags: Options.
            start_after: Only names after this one.
            batch_size: Most rows of a batch.

        Raises:
            ValueError: A property has no column, or `batch_size` is out of range.
        """
        self._check_start_after(start_after)
        return self.client.native.list_arrow(
            self._details.path,
            prefix,
            props,
            ListObjectFlag.join_flags(flags),
            start_after,
            batch_size,
        )

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

    def list_archive(
        self,
        archive_obj_name: str,
        include_archive_obj: bool = False,
        props: str = "",
        page_size: int = 0,
    ) -> list[BucketEntry]:
        """Lists the files inside a shard; their entries are named `shard/file`.

        Args:
            archive_obj_name: The shard.
            include_archive_obj: Whether the shard itself is an entry as well.
            props: Properties wanted, comma-separated.
            page_size: Names in the page; 0 is the server's maximum.
        """
        entries = self.list_all_objects(
            prefix=archive_obj_name,
            props=props,
            page_size=page_size,
            flags=[ListObjectFlag.ARCH_DIR],
        )
        inside = f"{archive_obj_name}/"
        return [
            entry
            for entry in entries
            if entry.name.startswith(inside)
            or (include_archive_obj and entry.name == archive_obj_name)
        ]

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
