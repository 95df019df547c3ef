"""Namespaces of buckets."""

from __future__ import annotations

from pydantic import BaseModel


class Namespace(BaseModel):
    """A remote cluster (`uuid`), a name within a cluster, both or neither."""

    uuid: str = ""
    name: str = ""

    def get_path(self) -> str:
        """The form that requests carry: `@uuid#name`."""
        return f"@{self.uuid}#{self.name}"
