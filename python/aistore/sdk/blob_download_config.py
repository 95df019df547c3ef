"""Settings of a read that fetches a remote object in parallel chunks."""

from __future__ import annotations

from dataclasses import dataclass

from aistore.sdk import const


@dataclass
class BlobDownloadConfig:
    """Settings of a blob download.

    Args:
        chunk_size: Size of one chunk, in bytes or with a unit: `"4MiB"`.
        num_workers: Number of concurrent chunk readers.
    """

    chunk_size: str | None = None
    num_workers: str | None = None

    def update_headers(self, headers: dict[str, str]) -> None:
        """Adds the settings to a request's headers."""
        headers[const.HEADER_BLOB_DOWNLOAD] = "true"
        if self.chunk_size:
            headers[const.HEADER_BLOB_CHUNK_SIZE] = str(self.chunk_size)
        if self.num_workers:
            headers[const.HEADER_BLOB_WORKERS] = str(self.num_workers)
