"""A selection of objects of a bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aistore.sdk import const
from aistore.sdk.ais_source import AISSource
from aistore.sdk.multiobj.object_names import ObjectNames
from aistore.sdk.multiobj.object_range import ObjectRange
from aistore.sdk.multiobj.object_template import ObjectTemplate
from aistore.sdk.types import (
    ArchiveMultiObj,
    CopyBckMsg,
    PrefetchMsg,
    TCBckMsg,
    TCMultiObj,
    TransformBckMsg,
)

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

    def delete(self) -> str:
        """Deletes the objects; returns the id of the job."""
        return self._start(const.HTTP_METHOD_DELETE, const.ACT_DELETE_OBJECTS, self._selection)

    def evict(self) -> str:
        """Drops the cluster's copies of remote objects; returns the id of the job.

        Raises:
            InvalidBckProvider: The objects have no other home.
        """
        self.bck.verify_cloud_bucket()
        return self._start(const.HTTP_METHOD_DELETE, const.ACT_EVICT_OBJECTS, self._selection)

    def prefetch(
        self,
        blob_threshold: int | None = None,
        num_workers: int | None = None,
        latest: bool = False,
        continue_on_error: bool = False,
    ) -> str:
        """Fetches remote objects into the cluster.

        Args:
            blob_threshold: Objects of this size and above are fetched in chunks.
            num_workers: Workers per target.
            latest: Whether to look for newer versions.
            continue_on_error: Whether to go on after an object failed.

        Returns:
            Id of the job.

        Raises:
            InvalidBckProvider: The objects have no other home.
        """
        self.bck.verify_cloud_bucket()
        message = PrefetchMsg(
            object_selection=self._selection,
            continue_on_err=continue_on_error,
            latest=latest,
            blob_threshold=blob_threshold,
            num_workers=num_workers,
        )
        return self._start(const.HTTP_METHOD_POST, const.ACT_PREFETCH_OBJECTS, message.as_dict())

    def copy(
        self,
        to_bck: Bucket,
        prepend: str = "",
        continue_on_error: bool = False,
        dry_run: bool = False,
        force: bool = False,
        latest: bool = False,
        sync: bool = False,
        num_workers: int | None = None,
    ) -> list[str]:
        """Copies the objects to a bucket.

        Args:
            to_bck: The bucket.
            prepend: Text in front of each name.
            continue_on_error: Whether to go on after an object failed.
            dry_run: Only counts what would be done.
            force: Whether to start beside jobs that speak against it.
            latest: Whether to look for newer versions at the remote home.
            sync: Whether to delete there what is not here.
            num_workers: Workers per target.

        Returns:
            Ids of the jobs.
        """
        copying = CopyBckMsg(
            prepend=prepend, dry_run=dry_run, force=force, latest=latest, sync=sync
        )
        message = TCMultiObj(
            to_bck=to_bck.as_model(),
            object_selection=self._selection,
            tc_msg=TCBckMsg(copy_msg=copying),
            num_workers=num_workers,
            continue_on_err=continue_on_error,
        )
        ids = self._start(const.HTTP_METHOD_POST, const.ACT_COPY_OBJECTS, message.as_dict())
        return ids.split(",")

    def transform(
        self,
        to_bck: Bucket,
        etl_name: str,
        timeout: str = const.DEFAULT_ETL_TIMEOUT,
        prepend: str = "",
        ext: dict[str, str] | None = None,
        continue_on_error: bool = False,
        dry_run: bool = False,
        force: bool = False,
        latest: bool = False,
        sync: bool = False,
        num_workers: int | None = None,
        etl_pipeline: list[str] | None = None,
    ) -> str:
        """Sends the objects through a transformer, into a bucket.

        Args:
            to_bck: The bucket.
            etl_name: The transformer.
            timeout: Longest time for one object.
            prepend: As for `copy`.
            ext: Endings of names to replace: `{"jpg": "txt"}`.
            continue_on_error: As for `copy`.
            dry_run: As for `copy`.
            force: As for `copy`.
            latest: As for `copy`.
            sync: As for `copy`.
            num_workers: As for `copy`.
            etl_pipeline: Further transformers, in order.

        Returns:
            Id of the job.
        """
        copying = CopyBckMsg(
            prepend=prepend, dry_run=dry_run, force=force, latest=latest, sync=sync
        )
        transforming = TransformBckMsg(
            etl_name=etl_name, timeout=timeout, etl_pipeline=etl_pipeline
        )
        message = TCMultiObj(
            to_bck=to_bck.as_model(),
            object_selection=self._selection,
            tc_msg=TCBckMsg(ext=ext, copy_msg=copying, transform_msg=transforming),
            num_workers=num_workers,
            continue_on_err=continue_on_error,
        )
        return self._start(const.HTTP_METHOD_POST, const.ACT_TRANSFORM_OBJECTS, message.as_dict())

    def inspect(
        self,
        etl_name: str,
        timeout: str = const.DEFAULT_ETL_TIMEOUT,
        latest: bool = False,
        num_workers: int | None = None,
        etl_pipeline: list[str] | None = None,
    ) -> str:
        """Sends the objects through a transformer that only looks; results are dropped."""
        return self.transform(
            self.bck,
            etl_name,
            timeout,
            continue_on_error=True,
            dry_run=True,
            latest=latest,
            num_workers=num_workers,
            etl_pipeline=etl_pipeline,
        )

    def archive(
        self,
        archive_name: str,
        mime: str = "",
        to_bck: Bucket | None = None,
        include_source_name: bool = False,
        allow_append: bool = False,
        continue_on_err: bool = False,
    ) -> list[str]:
        """Puts the objects into a shard.

        Args:
            archive_name: The shard; its ending tells the format.
            mime: The format, if the name does not tell it.
            to_bck: Bucket of the shard; the objects' own without it.
            include_source_name: Whether files in the shard are named `bucket/object`.
            allow_append: Whether to add to a shard that exists.
            continue_on_err: Whether to go on after an object failed.

        Returns:
            Ids of the jobs.
        """
        message = ArchiveMultiObj(
            object_selection=self._selection,
            archive_name=archive_name,
            to_bck=(to_bck or self.bck).as_model(),
            mime=mime,
            include_source_name=include_source_name,
            allow_append=allow_append,
            continue_on_err=continue_on_err,
        )
        ids = self._start(const.HTTP_METHOD_PUT, const.ACT_ARCHIVE_OBJECTS, message.as_dict())
        return ids.split(",")

    @property
    def _selection(self) -> dict[str, Any]:
        return self._collection.get_value()

    def _start(self, method: str, action: str, value: dict[str, Any]) -> str:
        return self.bck.make_request(method, action, value).text.strip('"')

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
