"""Iteration over a listing, page by page."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aistore.sdk.types import BucketEntry, BucketList


class ObjectIterator:
    """Yields the entries of all pages; asks for a page when the last one is used up.

    Args:
        list_objects: Lists a page, given the listing's id and the continuation token.
    """

    def __init__(self, list_objects: Callable[[str, str], BucketList]) -> None:
        self._list_objects = list_objects
        self._uuid = ""
        self._token = ""
        self._page: Iterator[BucketEntry] = iter(())
        self._last = False

    def __iter__(self) -> ObjectIterator:
        return self

    def __next__(self) -> BucketEntry:
        while True:
            for entry in self._page:
                return entry
            if self._last:
                raise StopIteration
            page = self._list_objects(self._uuid, self._token)
            self._uuid, self._token = page.uuid, page.continuation_token
            self._page, self._last = iter(page.entries), not page.continuation_token
