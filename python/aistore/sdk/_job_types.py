"""What the cluster tells about jobs. Public names are those of `aistore.sdk.types`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, RootModel, field_validator

from aistore.sdk.namespace import Namespace

if TYPE_CHECKING:
    from collections.abc import Iterator

# How snapshots write a time that has not come yet.
ZERO_TIME = "0001-01-01T00:00:00Z"

_TEN_BITS = (1 << 10) - 1
_WORKERS_SHIFT = 10
_CHANNEL_FULL_SHIFT = 20


class BucketModel(BaseModel):
    """Identity of a bucket."""

    name: str
    provider: str = "ais"
    namespace: Namespace | None = None

    def as_dict(self) -> dict[str, Any]:
        """The form that requests carry."""
        identity: dict[str, Any] = {"name": self.name, "provider": self.provider}
        if self.namespace:
            identity["namespace"] = self.namespace.model_dump()
        return identity

    def get_path(self) -> str:
        """`provider/@uuid#namespace/bucket/`."""
        namespace = self.namespace or Namespace()
        return f"{self.provider}/{namespace.get_path()}/{self.name}/"


class ETLInfo(BaseModel):
    """A transformer of the cluster."""

    id: str = ""
    xaction_id: str = ""
    stage: str = ""
    obj_count: int = 0
    in_bytes: int = 0
    out_bytes: int = 0


class JobStatus(BaseModel):
    """Where a job stands."""

    uuid: str = ""
    err: str = ""
    end_time: int = 0
    aborted: bool = False


class JobStats(BaseModel):
    """What one target has done for a job."""

    model_config = ConfigDict(populate_by_name=True)

    objects: int = Field(default=0, alias="loc-objs")
    bytes: int = Field(default=0, alias="loc-bytes")
    out_objects: int = Field(default=0, alias="out-objs")
    out_bytes: int = Field(default=0, alias="out-bytes")
    in_objects: int = Field(default=0, alias="in-objs")
    in_bytes: int = Field(default=0, alias="in-bytes")


class JobSnap(BaseModel):
    """A job on one target."""

    model_config = ConfigDict(populate_by_name=True)

    id: str = ""
    kind: str = ""
    start_time: str = Field(default="", alias="start-time")
    end_time: str = Field(default="", alias="end-time")
    bucket: BucketModel | None = Field(default=None, alias="bck")
    source_bck: BucketModel | None = Field(default=None, alias="src-bck")
    destination_bck: BucketModel | None = Field(default=None, alias="dst-bck")
    stats: JobStats | None = None
    aborted: bool = False
    is_idle: bool = False
    abort_err: str = Field(default="", alias="abort-err")
    packed: int = Field(default=0, alias="glob.id")

    @field_validator("packed", mode="before")
    @classmethod
    def _no_packed_yet(cls, value: object) -> object:
        return value or 0

    def unpack_glob_id(self) -> tuple[int, int, int]:
        """Numbers of joggers and workers, and how often a work channel was full."""
        packed = self.packed
        return (
            packed & _TEN_BITS,
            packed >> _WORKERS_SHIFT & _TEN_BITS,
            packed >> _CHANNEL_FULL_SHIFT,
        )

    @property
    def ended(self) -> bool:
        """Whether it has ended, one way or the other."""
        return self.aborted or self.end_time not in {"", ZERO_TIME}


class AggregatedJobSnap(RootModel[dict[str, list[JobSnap] | None]]):
    """Jobs of all targets, by the target's id."""

    def list_snapshots(self) -> list[JobSnap]:
        """All snapshots, in the order of the targets' ids as the cluster gave them."""
        return list(self._snapshots())

    def _snapshots(self) -> Iterator[JobSnap]:
        for snapshots in self.root.values():
            yield from snapshots or ()

    def get_num_workers(self) -> int | None:
        """Workers of the first job that tells it; None without jobs."""
        for snapshot in self._snapshots():
            return snapshot.unpack_glob_id()[1]
        return None

    def all_idle(self) -> bool:
        """Whether there is nothing to do on any target."""
        return all(snapshot.is_idle for snapshot in self._snapshots())

    def any_aborted(self) -> bool:
        """Whether some target gave up."""
        return any(snapshot.aborted for snapshot in self._snapshots())

    def idle_or_aborted(self) -> bool:
        """Whether every target is idle or has given up."""
        return all(snapshot.is_idle or snapshot.aborted for snapshot in self._snapshots())

    def any_finished(self) -> bool:
        """Whether some target has ended."""
        return any(snapshot.ended for snapshot in self._snapshots())
