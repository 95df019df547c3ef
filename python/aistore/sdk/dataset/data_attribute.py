"""Parts of samples that are files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from aistore.sdk.dataset.config_attribute import ConfigAttribute
from aistore.sdk.utils import get_logger

logger = get_logger(__name__)


@dataclass
class DataAttribute(ConfigAttribute):
    """Files of a directory, one for each sample.

    Args:
        path: The directory.
        name: What the files are in a sample: `image`.
        file_type: Extension of the files, without the dot: `jpg`.
    """

    path: Path
    name: str
    file_type: str

    def __post_init__(self) -> None:
        self.path = Path(self.path)

    def get_data_for_entry(self, filename: str) -> tuple[str, bytes | None]:
        """Key `name.file_type` and the file's bytes; None if there is no such file."""
        key = f"{self.name}.{self.file_type}"
        try:
            return key, (self.path / f"{filename}.{self.file_type}").read_bytes()
        except FileNotFoundError as error:
            logger.error("File not found: %s", error)  # noqa: TRY400 - the trace tells nothing
            return key, None
