"""Parts of samples that are computed from their names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aistore.sdk.dataset.config_attribute import ConfigAttribute


@dataclass
class LabelAttribute(ConfigAttribute):
    """A label of each sample.

    Args:
        name: What the label is in a sample: `cls`.
        label_identifier: Gives the label of an entry's name.
    """

    name: str
    label_identifier: Callable[[str], Any]

    def get_data_for_entry(self, filename: str) -> tuple[str, Any]:
        """Key `name` and the label."""
        return self.name, self.label_identifier(filename)
