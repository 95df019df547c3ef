"""Several streams of samples side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.utils.data import IterableDataset

from aistore.pytorch._sharding import worker_share
from aistore.pytorch.shard_reader import read_tar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aistore.sdk.dataset.data_shard import DataShard


class AISMultiShardStream(IterableDataset[tuple[bytes, ...]]):
    """Tuples with one file of each source, for instance audio beside text beside labels.

    The files of a source are those in its shards: shards in the order of their names, and within
    a shard files in the order of theirs. Ends with the shortest source. DataLoader workers share
    the tuples: worker i of W takes the tuples i, i+W, …

    Args:
        data_sources: The sources.

    Raises:
        ValueError: There is no source.
    """

    def __init__(self, data_sources: list[DataShard]) -> None:
        if not data_sources:
            raise ValueError("data_sources is empty: give at least one DataShard")
        self.data_sources = data_sources

    def __iter__(self) -> Iterator[tuple[bytes, ...]]:
        """Reads this worker's tuples."""
        return worker_share().of(zip(*map(_files, self.data_sources), strict=False))


def _files(source: DataShard) -> Iterator[bytes]:
    for shard in source.bucket.list_all_objects_iter(source.prefix):
        files = sorted(read_tar(shard, source.etl_name), key=lambda file: file[0])
        yield from (content for _, content in files)
