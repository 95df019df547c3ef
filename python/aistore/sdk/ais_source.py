"""What datasets read from: a bucket, or a selection of its objects."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aistore.sdk.obj.object import Object
    from aistore.sdk.request_client import RequestClient
    from aistore.sdk.types import QueryParams


class AISSource(ABC):
    """A collection of objects."""

    @property
    @abstractmethod
    def client(self) -> RequestClient:
        """Sends the requests."""

    @abstractmethod
    def list_all_objects_iter(self, prefix: str = "", props: str = "name,size") -> Iterable[Object]:
        """All objects whose names start with `prefix`."""

    @abstractmethod
    def list_urls(self, prefix: str = "", etl: QueryParams | None = None) -> Iterable[str]:
        """URLs of all objects whose names start with `prefix`."""
