"""What the cluster answers, as objects."""

from __future__ import annotations

from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field

from aistore._native import BucketEntry
from aistore.sdk.errors import NoTargetError
from aistore.sdk.namespace import Namespace
from aistore.sdk.utils import get_digest, xoshiro256_hash

__all__ = [
    "ActionMsg",
    "BucketEntry",
    "BucketList",
    "BucketModel",
    "ListObjectsMsg",
    "NetInfo",
    "QueryParams",
    "Smap",
    "Snode",
]

_MAINTENANCE_OR_DECOMMISSION = 4 | 8


class QueryParams(Protocol):
    """An option that travels in a request's query."""

    def update_qparams(self, params: dict[str, str]) -> None:
        """Adds the option to the query."""
        raise NotImplementedError


class ActionMsg(BaseModel):
    """Body of most requests that change something."""

    action: str
    name: str = ""
    value: Any = None


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


class ListObjectsMsg(BaseModel):
    """Request for one page of a listing."""

    prefix: str = ""
    page_size: int = 0
    uuid: str = ""
    props: str = ""
    continuation_token: str = ""
    flags: int = 0
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
            "flags": str(self.flags),
            "target": self.target,
        }
        if self.start_after:
            message["start_after"] = self.start_after
        return message
