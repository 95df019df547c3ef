"""Samples out of tar shards."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING, Any

from aistore.pytorch._fetch import read_one
from aistore.pytorch._show import counted
from aistore.pytorch.base_iter_dataset import AISBaseIterDataset
from aistore.pytorch.utils import get_basename, get_extension

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aistore.pytorch._sources import Prefixes, Sources
    from aistore.sdk.obj.object import Object


class ZeroDict(dict[str, bytes]):
    """Files of a sample by extension; extensions that other samples have are empty.

    Default collation needs the same keys in all samples.

    Args:
        files: The sample's files.
        keys: Extensions seen so far.
    """

    def __init__(self, files: dict[str, bytes], keys: Any) -> None:
        super().__init__({key: files.get(key, b"") for key in keys})
        self.update(files)


class AISShardReader(AISBaseIterDataset[tuple[str, dict[str, bytes]]]):
    """Samples of tar shards: the files of a shard whose names are the same up to the first dot.

    Workers share the shards; each shard is read whole.

    Args:
        bucket_list: A source or several.
        prefix_map: Prefixes to list, by source; everything of sources that are not in it.
        etl_name: Transformer that shards pass through.
        show_progress: Whether to show progress on the terminal.
        partition_sources_by_worker: Whether workers share sources instead of shards.
        shard_by_rank: Whether the ranks of `torch.distributed` share the shards too.

    Raises:
        ValueError: There is no source.
    """

    def __init__(
        self,
        bucket_list: Sources,
        prefix_map: Prefixes = None,
        etl_name: str | None = None,
        show_progress: bool = False,
        partition_sources_by_worker: bool = False,
        *,
        shard_by_rank: bool = False,
    ) -> None:
        super().__init__(
            bucket_list, prefix_map, partition_sources_by_worker, shard_by_rank=shard_by_rank
        )
        self._etl_name = etl_name
        self._show_progress = show_progress
        # Insertion order: extensions keep the order in which they were first seen.
        self._extensions: dict[str, None] = {}

    def __iter__(self) -> Iterator[tuple[str, dict[str, bytes]]]:
        """Reads the samples of this worker's shards: base name, and contents by extension.

        Raises:
            tarfile.TarError: An object is not a plain tar.
        """
        samples = (sample for shard in self._own_objects() for sample in self._samples(shard))
        return counted(samples, show=self._show_progress, unit="sample")

    def __len__(self) -> int:
        """Not known before all shards are read.

        Raises:
            TypeError: Always.
        """
        # A TypeError, so that list(reader) goes on without a hint instead of reading twice.
        raise TypeError("the number of samples is not known before all shards are read")

    def _samples(self, shard: Object) -> Iterator[tuple[str, dict[str, bytes]]]:
        samples: dict[str, dict[str, bytes]] = {}
        for name, content in read_tar(shard, self._etl_name):
            extension = get_extension(name)
            if extension:
                samples.setdefault(get_basename(name), {})[extension] = content
                self._extensions[extension] = None
        for base, files in samples.items():
            yield base, ZeroDict(files, self._extensions)


def read_tar(shard: Object, etl_name: str | None = None) -> Iterator[tuple[str, bytes]]:
    """Reads a shard and gives its regular files, in order.

    Raises:
        tarfile.TarError: It is not a plain tar.
    """
    content = read_one(shard, etl_name)
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isfile() else None
            if file is not None:
                yield member.name, file.read()
