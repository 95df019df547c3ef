"""Immutable, named lists of samples, kept as Arrow files in the store."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from aistore import _native
from aistore.data._cache import cached, scratch_file
from aistore.data._server import create as create_on_server
from aistore.data._shards import entries_of
from aistore.data.entry import Entry
from aistore.sdk._braces import expand
from aistore.sdk.errors import AISError, ErrObjNotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from aistore.data._server import Outcome
    from aistore.sdk.bucket import Bucket

# Objects below this name are snapshots, and not part of one that is made of everything.
FOLDER = ".snapshots/"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
# Smaller files are uploaded on condition that there is none, so that of two creators one fails;
# larger ones are streamed from disk, and the name is looked up before.
_CONDITIONAL_BYTES = 64 << 20
_HTTP_PRECONDITION_FAILED = 412
_HTTP_NOT_IMPLEMENTED = 501
_MISSING_SHOWN = 5
_MAX_SIZE = (1 << 63) - 1


class SnapshotExistsError(ValueError):
    """There is another snapshot of this name; snapshots do not change."""


class Snapshot:
    """An immutable list of samples. Reading an entry takes constant time, and keeps no memory.

    Pickles as its name; every process on a host maps the same file.

    Args:
        bucket: Bucket with the snapshot, and with its samples.
        name: Name of the snapshot.

    Raises:
        ErrObjNotFound: There is none.
    """

    def __init__(self, bucket: Bucket, name: str) -> None:
        self._bucket = bucket
        self._name = _check_name(name)
        self._path = self._fetch()
        self._table = _native.SnapshotTable(str(self._path))

    @staticmethod
    def create(
        bucket: Bucket,
        name: str,
        prefix: str = "",
        *,
        template: str | None = None,
        where: Callable[[str, int], object] | None = None,
        suffixes: Iterable[str] = (),
        min_size: int = 0,
        max_size: int | None = None,
        shards: bool = False,
        range_bytes: int = 0,
        entries: Iterable[Entry] | None = None,
        exist_ok: bool = False,
        on_progress: Callable[[int], object] | None = None,
    ) -> Snapshot:
        """Makes a snapshot of what a bucket holds now.

        A target makes it. With `where` or `entries`, or a server that cannot, this host does: then
        the listing goes to a file without passing through Python, and the file into the bucket.

        Args:
            bucket: Bucket with the samples; the snapshot goes there too.
            name: Name of the snapshot: letters, digits, `.`, `_`, `-`.
            prefix: What names of objects begin with.
            template: Names with braces, such as `train-{000..099}.tar`; all of them must exist.
            where: Takes a name and a size, and tells whether the object is wanted. Slower than the
                other conditions.
            suffixes: What names end with, one of these.
            min_size: Smallest object.
            max_size: Largest object.
            shards: Whether objects are archives, and samples the files inside with the same key.
            range_bytes: Splits objects into samples of so many bytes; 0 does not.
            entries: Any list of samples, instead of a listing.
            exist_ok: Whether a snapshot of this name will do if it lists the same.
            on_progress: Takes the number of entries that were listed so far, while a target works.

        Raises:
            SnapshotExistsError: There is one of this name, or one that lists something else.
            ErrObjNotFound: An object of the template does not exist.
            ValueError: The arguments contradict each other.
        """
        _check_name(name)
        _check_choice(prefix, template, shards=shards, range_bytes=range_bytes)
        _check_sizes(min_size, max_size)
        start = prefix if template is None else template.partition("{")[0]
        chosen: dict[str, Any] = {
            "suffixes": list(suffixes),
            "min_size": min_size,
            "max_size": _MAX_SIZE if max_size is None else max_size,
            "skip_prefix": "" if start.startswith(FOLDER) else FOLDER,
            "range_bytes": range_bytes,
            "shards": shards,
        }
        names = None if template is None else list(expand(template))
        if entries is None and where is None:
            selection = {**chosen, "prefix": start, "objnames": names}
            made = create_on_server(bucket, _object_name(name), selection, on_progress)
            if made is not None:
                _check_outcome(bucket, name, template, made, exist_ok=exist_ok)
                return Snapshot(bucket, name)
        with scratch_file() as path:
            writer = _native.SnapshotWriter(str(path), bucket.get_path())
            if entries is not None:
                for entry in entries:
                    writer.add(*entry)
            else:
                chosen.update(names=names and set(names), predicate=where)
                missing = _add_listing(writer, bucket, start, chosen)
                if missing:
                    raise _none_of(template, missing, len(missing))
            _, identity = writer.finish()
            _upload(bucket, name, path, identity, exist_ok=exist_ok)
        return Snapshot(bucket, name)

    @property
    def name(self) -> str:
        """Name of the snapshot."""
        return self._name

    @property
    def bucket(self) -> Bucket:
        """Bucket with the snapshot and its samples."""
        return self._bucket

    @property
    def id(self) -> str:
        """Identity of the list: equal for the same samples in the same order."""
        return self._table.id

    @property
    def path(self) -> Path:
        """The file on this host."""
        return self._path

    def delete(self) -> None:
        """Removes the snapshot from the bucket. Who has it open keeps it."""
        self._bucket.object(_object_name(self._name)).delete()

    def open_batch(
        self, indices: list[int]
    ) -> tuple[_native.BatchStream, list[tuple[str, list[str] | None]]]:
        """Requests samples: their stream, and key and members of each."""
        return self._table.read(self._bucket.client.native, indices)

    def __len__(self) -> int:
        return len(self._table)

    def __getitem__(self, index: int) -> Entry:
        """One entry.

        Raises:
            IndexError: There is no such index.
        """
        length = len(self._table)
        if not -length <= index < length:
            raise IndexError(f"index {index}: the snapshot has {length} samples")
        key, name, members, start, stop, size, *part = self._table.row(index % length)
        return Entry(name, key, members, start, stop, size, *part)

    def __iter__(self) -> Iterator[Entry]:
        return (self[index] for index in range(len(self)))

    def __getstate__(self) -> dict[str, Any]:
        return {"bucket": self._bucket, "name": self._name, "path": self._path, "id": self.id}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._bucket, self._name, self._path = state["bucket"], state["name"], state["path"]
        # On another host, or after the cache was emptied, the file is fetched again.
        if not self._path.exists():
            self._path = self._fetch()
        self._table = _native.SnapshotTable(str(self._path))
        if self._table.id != state["id"]:
            raise ValueError(f"snapshot {self._name!r} was replaced: it is not the one pickled")

    def __repr__(self) -> str:
        return f"<Snapshot {self._name} of {self._bucket.name}: {len(self)} samples, {self.id[:8]}>"

    def _fetch(self) -> Path:
        obj = self._bucket.object(_object_name(self._name))
        props = obj.head()
        etag = props.etag or f"{props.checksum_value} {props.obj_version} {props.last_modified}"
        source = f"{self._bucket.client.base_url}/{self._bucket.get_path()}{obj.name}"
        return cached(source, etag, lambda path: _download(obj, path))


def _download(obj: Any, path: Path) -> None:
    obj.get_reader().to_file(path)


def _check_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"snapshot name {name!r}: expected letters, digits, '.', '_', '-',"
            " and a letter or digit first"
        )
    return name


def _check_choice(prefix: str, template: str | None, *, shards: bool, range_bytes: int) -> None:
    if shards and range_bytes:
        raise ValueError("shards and range_bytes: files in shards are not split")
    if range_bytes < 0:
        raise ValueError(f"range_bytes {range_bytes}: expected 0 or more")
    if template is not None and prefix:
        raise ValueError("prefix and template: give one of them")


def _check_sizes(min_size: int, max_size: int | None) -> None:
    if min_size < 0:
        raise ValueError(f"min_size {min_size}: expected 0 or more")
    if max_size is not None and max_size < min_size:
        raise ValueError(f"max_size {max_size}: expected at least min_size, which is {min_size}")


def _object_name(name: str) -> str:
    return f"{FOLDER}{name}.arrow"


def _check_outcome(
    bucket: Bucket, name: str, template: str | None, made: Outcome, *, exist_ok: bool
) -> None:
    if made.missing_count:
        raise _none_of(template, made.missing, made.missing_count)
    if made.present is not None and not (exist_ok and made.present == made.id):
        raise _exists(bucket, name, is_same=made.present == made.id)


def _add_listing(
    writer: _native.SnapshotWriter, bucket: Bucket, prefix: str, chosen: dict[str, Any]
) -> list[str]:
    native, uname = bucket.client.native, bucket.get_path()
    try:
        return writer.add_listing(native, uname, prefix, **chosen)
    except AISError as error:
        if not chosen["shards"] or error.status_code != _HTTP_NOT_IMPLEMENTED:
            raise
    # Refused before the first row: the server does not look into archives, so we do.
    with scratch_file() as path:
        listed = _native.SnapshotWriter(str(path), uname)
        missing = listed.add_listing(native, uname, prefix, **{**chosen, "shards": False})
        listed.finish()
        table = _native.SnapshotTable(str(path))
        for index in range(len(table)):
            for entry in entries_of(bucket.object(table.row(index)[1])):
                writer.add(*entry)
    return missing


def _none_of(template: str | None, missing: list[str], count: int) -> ErrObjNotFound:
    shown = ", ".join(missing[:_MISSING_SHOWN])
    more = count - _MISSING_SHOWN
    text = f"{shown} and {more} more" if more > 0 else shown
    return ErrObjNotFound(404, f"template {template!r}: not found, or excluded: {text}", "", None)


def _upload(bucket: Bucket, name: str, path: Path, identity: str, *, exist_ok: bool) -> None:
    native, uname, target = bucket.client.native, bucket.get_path(), _object_name(name)
    try:
        if path.stat().st_size <= _CONDITIONAL_BYTES:
            native.put(uname, target, path.read_bytes(), headers=[("If-None-Match", "*")])
            return
        try:
            native.head(uname, target)
        except ErrObjNotFound:
            native.put_file(uname, target, str(path))
            return
    except AISError as error:
        if error.status_code != _HTTP_PRECONDITION_FAILED:
            raise
    there = Snapshot(bucket, name)
    if exist_ok and there.id == identity:
        return
    raise _exists(bucket, name, is_same=there.id == identity)


def _exists(bucket: Bucket, name: str, *, is_same: bool) -> SnapshotExistsError:
    kind = "lists the same: pass exist_ok=True" if is_same else "lists something else"
    return SnapshotExistsError(
        f"snapshot {name!r} exists in {bucket.name} and {kind}; snapshots do not change, so choose"
        " another name or delete it"
    )
