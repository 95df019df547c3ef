"""What a sample consists of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any


class ConfigAttribute(ABC):
    """One part of each sample: a file, a label."""

    @abstractmethod
    def get_data_for_entry(self, filename: str) -> tuple[str, Any]:
        """The part that belongs to an entry.

        Args:
            filename: The entry: name of its primary file, without the extension.

        Returns:
            Key in the sample, and content; an empty one counts as missing.
        """
