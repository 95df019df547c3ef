"""Batches as zip archives."""

from __future__ import annotations

import io
import logging
import zipfile
import zlib
from typing import IO, TYPE_CHECKING, Any

from aistore.sdk import const
from aistore.sdk.batch.extractor.archive_stream_extractor import (
    ArchiveStreamExtractor,
    check_end,
    describe,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aistore.sdk.batch.types import MossOut, MossReq, MossResp

_log = logging.getLogger(__name__)


class ZipStreamExtractor(ArchiveStreamExtractor):
    """Reads zip archives; their directory is at the end, so the whole is held in memory."""

    def get_supported_formats(self) -> tuple[str, ...]:
        """File extensions."""
        return (const.EXT_ZIP,)

    def extract(
        self,
        response: Any,
        data_stream: IO[bytes],
        moss_req: MossReq,
        moss_resp: MossResp | None = None,
    ) -> Iterator[tuple[MossOut, bytes]]:
        """Reads the archive; see `ArchiveStreamExtractor.extract`."""
        at = 0
        try:
            with zipfile.ZipFile(io.BytesIO(data_stream.read())) as archive:
                for info in archive.infolist():
                    if info.is_dir():
                        continue
                    try:
                        content = archive.read(info)
                    except (zipfile.BadZipFile, zlib.error):
                        if not moss_req.cont_on_err:
                            raise
                        _log.warning("batch: %s is damaged and left out", info.filename)
                    else:
                        yield describe(at, info.filename, content, moss_req, moss_resp), content
                    at += 1
        except (zipfile.BadZipFile, zlib.error, OSError) as error:
            raise RuntimeError(f"cannot read the batch after {at} files: {error}") from error
        finally:
            response.close()
        check_end(at, moss_req)
