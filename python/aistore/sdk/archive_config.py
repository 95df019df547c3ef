"""Selection of files inside an archive."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class ArchiveMode(Enum):
    """How `ArchiveConfig.regex` selects files."""

    REGEXP = "regexp"
    PREFIX = "prefix"
    SUFFIX = "suffix"
    SUBSTR = "substr"
    WDSKEY = "wdskey"


@dataclass
class ArchiveConfig:
    """What to extract from an archive: one file, or all that match.

    Args:
        archpath: Path of one file inside the archive.
        regex: Text to match paths against; needs `mode`.
        mode: How to match.

    Raises:
        ValueError: The arguments contradict each other.
    """

    archpath: str = ""
    regex: str = ""
    mode: ArchiveMode | None = None

    def __post_init__(self) -> None:
        if self.mode and not self.regex:
            raise ValueError("Archive mode requires archive regex: set `regex` too")
        if self.regex and not self.mode:
            raise ValueError("Archive regex requires archive mode: set `mode` too")
        if self.regex and self.archpath:
            raise ValueError("Cannot use both archive path and archive regex: set one of them")

    def update_qparams(self, params: dict[str, str]) -> None:
        """Adds the selection to a request's query."""
        if self.mode:
            params["archmode"] = self.mode.value
        params["archpath"] = self.archpath
        params["archregx"] = self.regex
