"""Batches as tar archives, compressed or not."""

from __future__ import annotations

import logging
import tarfile
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

_BUFFER = 64 << 10
_log = logging.getLogger(__name__)


class TarStreamExtractor(ArchiveStreamExtractor):
    """Reads tar archives as they arrive."""

    def get_supported_formats(self) -> tuple[str, ...]:
        """File extensions."""
        return const.EXT_TAR, const.EXT_TGZ, const.EXT_TAR_GZ

    def extract(
        self,
        response: Any,
        data_stream: IO[bytes],
        moss_req: MossReq,
        moss_resp: MossResp | None = None,
        *,
        buffer_size: int = _BUFFER,
    ) -> Iterator[tuple[MossOut, bytes]]:
        """Reads the archive; see `ArchiveStreamExtractor.extract`.

        Args:
            response: The answer it came with; closed at the end.
            data_stream: The archive.
            moss_req: What was asked for.
            moss_resp: What the answer says about its entries, if it does.
            buffer_size: Bytes that are read at a time.

        Raises:
            RuntimeError: The archive is damaged, or has more or fewer files than were asked for.
        """
        at = 0
        try:
            with tarfile.open(fileobj=data_stream, mode="r|*", bufsize=buffer_size) as archive:
                for member in archive:
                    if not member.isfile():
                        continue
                    content = _read(archive, member, skip=moss_req.cont_on_err)
                    if content is not None:
                        yield describe(at, member.name, content, moss_req, moss_resp), content
                    at += 1
        except (tarfile.TarError, EOFError, OSError) as error:
            raise RuntimeError(f"cannot read the batch after {at} files: {error}") from error
        finally:
            response.close()
        check_end(at, moss_req)


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo, *, skip: bool) -> bytes | None:
    file = archive.extractfile(member)
    content = file.read() if file else b""
    if len(content) == member.size:
        return content
    if not skip:
        raise tarfile.ReadError(f"{member.name} has {len(content)} of {member.size} bytes")
    _log.warning("batch: %s is damaged and left out", member.name)
    return None
