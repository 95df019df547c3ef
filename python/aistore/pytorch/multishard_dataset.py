"""Several streams of samples side by side."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from torch.utils.data import IterableDataset

from aistore.pytorch._fetch import BATCH_ENTRIES
from aistore.pytorch._sharding import Share, current_share, rank_share
from aistore.pytorch.shard_reader import read_tar
from aistore.sdk.batch.batch import Batch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aistore.sdk.dataset.data_shard import DataShard
    from aistore.sdk.obj.object import Object


class AISMultiShardStream(IterableDataset[tuple[bytes, ...]]):
    """Tuples with one file of each source, for instance audio beside text beside labels.

    The files of a source are those in its shards: shards in the order of their names, and within
    a shard files in the order of theirs. Ends with the shortest source.

    DataLoader workers share the tuples: worker i of W takes the tuples i, i+W, …, and reads no
    others' files. Where nothing is shared, shards are read whole.

    Args:
        data_sources: The sources.
        shard_by_rank: Whether the ranks of `torch.distributed` share the tuples too. Off, every
            rank gets everything.

    Raises:
        ValueError: There is no source.
    """

    def __init__(self, data_sources: list[DataShard], *, shard_by_rank: bool = False) -> None:
        if not data_sources:
            raise ValueError("data_sources is empty: give at least one DataShard")
        self.data_sources = data_sources
        self._shard_by_rank = shard_by_rank
        self._pickled_rank: Share | None = None

    def __iter__(self) -> Iterator[tuple[bytes, ...]]:
        """Reads this worker's tuples.

        Raises:
            ErrObjNotFound: A shard is gone meanwhile.
            tarfile.TarError: An object is no tar.
        """
        share = current_share(self._rank())
        if share.count == 1 or any(source.etl_name for source in self.data_sources):
            return share.of(zip(*map(_files, self.data_sources), strict=False))
        return _read(share.of(zip(*map(_members, self.data_sources), strict=False)))

    def _rank(self) -> Share:
        if not self._shard_by_rank:
            return Share()
        return self._pickled_rank or rank_share()

    def __getstate__(self) -> dict[str, Any]:
        # A spawned worker does not know the process group; it is told the rank.
        return {**self.__dict__, "_pickled_rank": self._rank() if self._shard_by_rank else None}


class _Member(NamedTuple):
    """A file in a shard, or its content where it could only be had with all others."""

    shard: Object
    name: str
    content: bytes | None


def _files(source: DataShard) -> Iterator[bytes]:
    for shard in source.bucket.list_all_objects_iter(source.prefix):
        files = sorted(read_tar(shard, source.etl_name), key=lambda file: file[0])
        yield from (content for _, content in files)


def _members(source: DataShard) -> Iterator[_Member]:
    for shard in source.bucket.list_all_objects_iter(source.prefix):
        listed = source.bucket.list_archive(shard.name, props="name")
        names = sorted(entry.name[len(shard.name) + 1 :] for entry in listed)
        if names:
            yield from (_Member(shard, name, None) for name in names)
        else:
            # Empty, or no archive that the server knows: reading tells.
            files = sorted(read_tar(shard), key=lambda file: file[0])
            yield from (_Member(shard, name, content) for name, content in files)


def _read(tuples: Iterator[tuple[_Member, ...]]) -> Iterator[tuple[bytes, ...]]:
    while group := list(islice(tuples, BATCH_ENTRIES)):
        # Sources may be of different clusters: a request for each.
        columns = [_contents(members) for members in zip(*group, strict=True)]
        yield from zip(*columns, strict=True)


def _contents(members: tuple[_Member, ...]) -> Iterator[bytes]:
    batch = Batch(members[0].shard.client, cont_on_err=False)
    for member in members:
        if member.content is None:
            batch.add(member.shard, archpath=member.name)
    came = batch.get() if len(batch) else iter(())
    for member in members:
        yield next(came)[1] if member.content is None else member.content
