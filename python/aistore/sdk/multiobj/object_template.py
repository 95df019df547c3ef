"""Names by a template."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aistore.sdk.multiobj.object_collection import ObjectCollection
from aistore.sdk.utils import expand_braces

if TYPE_CHECKING:
    from collections.abc import Iterator


class ObjectTemplate(ObjectCollection):
    """The names that a template with braces stands for.

    Args:
        template: For instance `shard-{000..099}.tar`.
    """

    def __init__(self, template: str) -> None:
        self._template = template

    def get_value(self) -> dict[str, Any]:
        """The form that requests carry."""
        return {"template": self._template}

    def __iter__(self) -> Iterator[str]:
        return expand_braces(self._template)
