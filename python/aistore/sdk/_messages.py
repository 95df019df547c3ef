"""What requests carry. Public names are those of `aistore.sdk.types`."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from aistore.sdk._job_types import BucketModel
from aistore.sdk.list_object_flag import ListObjectFlag


class ActionMsg(BaseModel):
    """Body of most requests that change something."""

    action: str
    name: str = ""
    value: Any = None


class BsummCtrlMsg(BaseModel):
    """Which summary of a bucket is asked for."""

    uuid: str = ""
    prefix: str = ""
    cached: bool = True
    present: bool = True


class JobArgs(BaseModel):
    """Names a job, or asks for one."""

    id: str = ""
    kind: str = ""
    daemon_id: str = ""
    bucket: BucketModel | None = None
    buckets: list[BucketModel] | None = None

    def as_dict(self) -> dict[str, Any]:
        """The form that requests carry."""
        return {
            "ID": self.id,
            "Kind": self.kind,
            "DaemonID": self.daemon_id,
            "Bck": self.bucket.model_dump() if self.bucket else None,
            "Buckets": [bucket.model_dump() for bucket in self.buckets] if self.buckets else None,
        }


class JobQuery(BaseModel):
    """Selects jobs."""

    kind: str = ""
    target: str = ""
    active: bool = False

    def as_dict(self) -> dict[str, Any]:
        """The form that requests carry."""
        return {"kind": self.kind, "node": self.target, "show_active": self.active}


class PromoteAPIArgs(BaseModel):
    """Which files become objects."""

    target_id: str = ""
    source_path: str = ""
    object_name: str = ""
    recursive: bool = False
    overwrite_dest: bool = False
    delete_source: bool = False
    src_not_file_share: bool = False

    def as_dict(self) -> dict[str, Any]:
        """The form that requests carry."""
        return {
            "tid": self.target_id,
            "src": self.source_path,
            "obj": self.object_name,
            "rcr": self.recursive,
            "ovw": self.overwrite_dest,
            "dls": self.delete_source,
            "notshr": self.src_not_file_share,
        }


class ListObjectsMsg(BaseModel):
    """Request for one page of a listing."""

    prefix: str = ""
    page_size: int = 0
    uuid: str = ""
    props: str = ""
    continuation_token: str = ""
    flags: list[ListObjectFlag] = []
    target: str = ""
    start_after: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The form that requests carry."""
        message: dict[str, Any] = {
            "prefix": self.prefix,
            "pagesize": self.page_size,
            "uuid": self.uuid,
            "props": self.props,
            "continuation_token": self.continuation_token,
            "flags": str(ListObjectFlag.join_flags(self.flags)),
            "target": self.target,
        }
        return {**message, **_given(start_after=self.start_after)}


class CopyBckMsg(BaseModel):
    """How objects are copied."""

    prefix: str = ""
    prepend: str = ""
    dry_run: bool = False
    force: bool = False
    latest: bool = False
    sync: bool = False

    def as_dict(self) -> dict[str, Any]:
        """The form that requests carry."""
        return {
            "prefix": self.prefix,
            "prepend": self.prepend,
            "dry_run": self.dry_run,
            "force": self.force,
            "latest-ver": self.latest,
            "synchronize": self.sync,
        }


class TransformBckMsg(BaseModel):
    """How objects are transformed."""

    etl_name: str
    timeout: str = "5m"
    etl_pipeline: list[str] | None = None

    def as_dict(self) -> dict[str, Any]:
        """The form that requests carry."""
        return {
            "id": self.etl_name,
            "request_timeout": self.timeout,
            "pipeline": self.etl_pipeline,
        }


class TCBckMsg(BaseModel):
    """Copies or transforms a bucket."""

    ext: dict[str, str] | None = None
    num_workers: int | None = None
    cont_on_err: bool = False
    copy_msg: CopyBckMsg | None = None
    transform_msg: TransformBckMsg | None = None

    def as_dict(self) -> dict[str, Any]:
        """The form that requests carry."""
        message = _given(ext=self.ext, num_workers=self.num_workers, coer=self.cont_on_err)
        for part in (self.copy_msg, self.transform_msg):
            if part is not None:
                message.update(part.as_dict())
        return message


class TCMultiObj(BaseModel):
    """Copies or transforms a selection of objects."""

    to_bck: BucketModel
    object_selection: dict[str, Any]
    tc_msg: TCBckMsg | None = None
    num_workers: int | None = None
    continue_on_err: bool = False

    def as_dict(self) -> dict[str, Any]:
        """The form that requests carry."""
        return {
            **self.object_selection,
            **(self.tc_msg.as_dict() if self.tc_msg else {}),
            "tobck": self.to_bck.as_dict(),
            "coer": self.continue_on_err,
            **_given(num_workers=self.num_workers),
        }


class PrefetchMsg(BaseModel):
    """Fetches a selection of objects from their remote home."""

    object_selection: dict[str, Any]
    continue_on_err: bool = False
    latest: bool = False
    blob_threshold: int | None = None
    num_workers: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """The form that requests carry."""
        return {
            **self.object_selection,
            "coer": self.continue_on_err,
            "latest-ver": self.latest,
            **_given(blob_threshold=self.blob_threshold, num_workers=self.num_workers),
        }


class ArchiveMultiObj(BaseModel):
    """Puts a selection of objects into a shard."""

    object_selection: dict[str, Any]
    archive_name: str
    to_bck: BucketModel
    mime: str = ""
    include_source_name: bool = False
    allow_append: bool = False
    continue_on_err: bool = False

    def as_dict(self) -> dict[str, Any]:
        """The form that requests carry."""
        return {
            **self.object_selection,
            "archname": self.archive_name,
            **_given(mime=self.mime),
            "tobck": self.to_bck.as_dict(),
            "isbn": self.include_source_name,
            "aate": self.allow_append,
            "coer": self.continue_on_err,
        }


class BlobMsg(BaseModel):
    """Fetches one object from its remote home in chunks."""

    chunk_size: int | None = None
    num_workers: int | None = None
    latest: bool = False

    def as_dict(self) -> dict[str, Any]:
        """The form that requests carry."""
        given = _given(chunk_size=self.chunk_size, num_workers=self.num_workers)
        return {"latest-ver": self.latest, **given}


class MptCompletedPart(BaseModel):
    """One part of a multipart upload."""

    part_number: int
    etag: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The form that requests carry."""
        return {"part-number": self.part_number, "etag": self.etag}


class CreateNBIMsg(BaseModel):
    """Asks for an inventory of a bucket; only what differs from the defaults is sent."""

    name: str = ""
    names_per_chunk: int = 0
    force: bool = False
    prefix: str = ""
    props: str = ""
    flags: str = "0"

    def as_dict(self) -> dict[str, Any]:
        """The form that requests carry."""
        return self.model_dump(exclude_defaults=True)


class NBIInfo(BaseModel):
    """An inventory of a bucket."""

    model_config = ConfigDict(extra="ignore")

    bucket: str = ""
    name: str = ""
    obj_name: str = ""
    size: int = 0
    prefix: str = ""
    started: int = 0
    finished: int = 0
    ntotal: int = 0
    smap_ver: int = 0
    chunks: int = 0
    nat: int = 0


def _given(**options: Any) -> dict[str, Any]:
    """Those options that were given, under the wire's names."""
    return {
        name if name == "start_after" else name.replace("_", "-"): value
        for name, value in options.items()
        if value
    }
