"""Which reader is for which format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aistore.sdk.batch.extractor.tar_stream_extractor import TarStreamExtractor
from aistore.sdk.batch.extractor.zip_stream_extractor import ZipStreamExtractor

if TYPE_CHECKING:
    from aistore.sdk.batch.extractor.archive_stream_extractor import ArchiveStreamExtractor


def get_extractor(output_format: str) -> ArchiveStreamExtractor:
    """The reader of a format.

    Raises:
        ValueError: There is none.
    """
    extractors: list[ArchiveStreamExtractor] = [TarStreamExtractor(), ZipStreamExtractor()]
    for extractor in extractors:
        if output_format.lower() in extractor.get_supported_formats():
            return extractor
    known = ", ".join(ext for e in extractors for ext in e.get_supported_formats())
    raise ValueError(f"Unsupported output format {output_format!r}: expected one of {known}")
