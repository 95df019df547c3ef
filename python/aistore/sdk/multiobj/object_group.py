"""A selection of objects of a bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aistore.sdk.ais_source import AISSource
from aistore.sdk.multiobj.object_names import ObjectNames
from aistore.sdk.multiobj.object_range import ObjectRange
from aistore.sdk.multiobj.object_template import ObjectTemplate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aistore.sdk.bucket import Bucket
    from aistore.sdk.multiobj.object_collection import ObjectCollection
    from aistore.sdk.obj.object import Object
    from aistore.sdk.request_client import RequestClient
    from aistore.sdk.types import QueryParams


class ObjectGroup(AISSource):
    """Objects of one bucket, by names, range or template: exactly one of them.

    Args:
        bck: The bucket.
        obj_names: Names.
        obj_range: Names with a number in them.
        obj_template: Names by a template with braces.

    Raises:
        ValueError: None or several selections.
        TypeError: `obj_range` is something else.
    """

    def __init__(
        self,
        bck: Bucket,
        obj_names: list[str] | None = None,
        obj_range: ObjectRange | None = None,
        obj_template: str | None = None,
    ) -> None:
        self.bck = bck
        if sum(bool(given) for given in (obj_names, obj_range, obj_template)) != 1:
            raise ValueError("give exactly one of obj_names, obj_range and obj_template")
        self._collection: ObjectCollection
        if obj_names:
            self._collection = ObjectNames(obj_names)
        elif obj_template:
            self._collection = ObjectTemplate(obj_template)
        elif isinstance(obj_range, ObjectRange):
            self._collection = obj_range
        else:
            raise TypeError(f"obj_range must be an ObjectRange, not {type(obj_range).__name__}")

    @property
    def client(self) -> RequestClient:
        """Sends the requests."""
        return self.bck.client

    @client.setter
    def client(self, client: RequestClient) -> None:
        self.bck.client = client

    def list_names(self) -> list[str]:
        """The names; objects need not exist."""
        return list(self._collection)

    def list_urls(self, prefix: str = "", etl: QueryParams | None = None) -> Iterator[str]:
        """URLs of the objects; `prefix` has no effect."""
        del prefix
        for name in self._collection:
            yield self.bck.object(name).get_url(etl=etl)

    def list_all_objects_iter(
        self, prefix: str = "", props: str | None = "name,size"
    ) -> Iterator[Object]:
        """The objects, with properties.

        Args:
            prefix: Only names that start with it.
            props: Properties to ask for, one request per object; None asks for none.

        Raises:
            AISError: An object does not exist, with status 404.
        """
        for name in self._collection:
            if name.startswith(prefix):
                obj = self.bck.object(name)
                if props is not None:
                    obj.head(props)
                yield obj
