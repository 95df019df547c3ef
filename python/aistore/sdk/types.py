"""What the cluster answers, as objects."""

from __future__ import annotations

from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field

from aistore._native import BucketEntry
from aistore.sdk._job_types import (
    AggregatedJobSnap,
    BucketModel,
    ETLInfo,
    JobSnap,
    JobStats,
    JobStatus,
)
from aistore.sdk._messages import (
    ActionMsg,
    ArchiveMultiObj,
    BlobMsg,
    BsummCtrlMsg,
    CopyBckMsg,
    CreateNBIMsg,
    JobArgs,
    JobQuery,
    ListObjectsMsg,
    MptCompletedPart,
    NBIInfo,
    PrefetchMsg,
    PromoteAPIArgs,
    TCBckMsg,
    TCMultiObj,
    TransformBckMsg,
)
from aistore.sdk.errors import NoTargetError
from aistore.sdk.utils import get_digest, xoshiro256_hash

__all__ = [
    "ActionMsg",
    "AggregatedJobSnap",
    "ArchiveMultiObj",
    "BlobMsg",
    "BsummCtrlMsg",
    "BucketEntry",
    "BucketList",
    "BucketModel",
    "CopyBckMsg",
    "CreateNBIMsg",
    "ETLInfo",
    "JobArgs",
    "JobQuery",
    "JobSnap",
    "JobStats",
    "JobStatus",
    "ListObjectsMsg",
    "MptCompletedPart",
    "NBIInfo",
    "NetInfo",
    "PrefetchMsg",
    "PromoteAPIArgs",
    "QueryParams",
    "Smap",
    "Snode",
    "TCBckMsg",
    "TCMultiObj",
    "TransformBckMsg",
]

_MAINTENANCE_OR_DECOMMISSION = 4 | 8


class QueryParams(Protocol):
    """An option that travels in a request's query."""

    def update_qparams(self, params: dict[str, str]) -> None:
        """Adds the option to the query."""
        raise NotImplementedError


class NetInfo(BaseModel):
    """One listener of a node."""

    model_config = ConfigDict(populate_by_name=True)

    node_hostname: str = Field(default="", alias="node_ip_addr")
    daemon_port: str = ""
    direct_url: str = ""


class Snode(BaseModel):
    """One node of the cluster map."""

    daemon_id: str
    daemon_type: str
    public_net: NetInfo = Field(default_factory=NetInfo)
    intra_control_net: NetInfo = Field(default_factory=NetInfo)
    intra_data_net: NetInfo = Field(default_factory=NetInfo)
    flags: int = 0
    id_digest: int = 0

    def __repr__(self) -> str:
        leaving = ", leaving" if self.in_maint_or_decomm() else ""
        url = self.public_net.direct_url
        return f"Snode({self.daemon_type} {self.daemon_id!r} at {url!r}{leaving})"

    def in_maint_or_decomm(self) -> bool:
        """Whether the node is about to leave and takes no data."""
        return self.flags & _MAINTENANCE_OR_DECOMMISSION != 0


class Smap(BaseModel):
    """The cluster map."""

    tmap: dict[str, Snode]
    pmap: dict[str, Snode]
    proxy_si: Snode
    version: int = 0
    uuid: str = ""
    creation_time: str = ""

    def __repr__(self) -> str:
        nodes = [*self.pmap.values(), *self.tmap.values()]
        return f"Smap(uuid={self.uuid!r}, version={self.version}, nodes={nodes})"

    def get_target_for_object(self, uname: str) -> Snode:
        """The target that owns an object.

        Args:
            uname: `provider/@uuid#namespace/bucket/object`.

        Raises:
            NoTargetError: No target takes data.
        """
        digest = get_digest(uname)
        able = [node for node in self.tmap.values() if not node.in_maint_or_decomm()]
        if not able:
            raise NoTargetError(len(self.tmap))
        return max(able, key=lambda node: xoshiro256_hash(node.id_digest ^ digest))


class BucketList:
    """One page of a listing.

    Args:
        uuid: Id of the listing.
        continuation_token: Where the next page starts; empty on the last one.
        flags: 1 if the cluster was changing meanwhile.
        entries: The page.
    """

    def __init__(
        self,
        uuid: str = "",
        continuation_token: str = "",
        flags: int = 0,
        entries: list[BucketEntry] | None = None,
    ) -> None:
        self.uuid = uuid
        self.continuation_token = continuation_token
        self.flags = flags
        self.entries = entries or []

    # The names of the wire, which existing code reads as well.
    @property
    def UUID(self) -> str:  # noqa: N802
        """Id of the listing."""
        return self.uuid

    @property
    def ContinuationToken(self) -> str:  # noqa: N802
        """Where the next page starts."""
        return self.continuation_token

    @property
    def Flags(self) -> int:  # noqa: N802
        """1 if the cluster was changing meanwhile."""
        return self.flags

    @property
    def Entries(self) -> list[BucketEntry]:  # noqa: N802
        """The page."""
        return self.entries

    def __repr__(self) -> str:
        more = f", next from {self.continuation_token!r}" if self.continuation_token else ""
        return f"BucketList({len(self.entries)} entries{more})"
