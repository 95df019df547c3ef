"""Snapshot files on this host: downloaded once, keyed by their content, and never changed."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# A folder for snapshot files, instead of the user's cache folder.
ENV_CACHE = "AIS_SNAPSHOT_CACHE"
_KEY_BYTES = 16


def cache_folder() -> Path:
    """Where snapshot files are kept; made if missing."""
    given = os.environ.get(ENV_CACHE)
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = Path(given) if given else Path(base).expanduser() / "aistore" / "snapshots"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def cached(source: str, etag: str, download: Callable[[Path], None]) -> Path:
    """The local file of an object in one state of it; downloads it unless that was done.

    Processes that ask at the same time wait for one download.

    Args:
        source: Names the object.
        etag: Names the state of its content.
        download: Writes the object to a file.
    """
    key = hashlib.blake2b(f"{source}\n{etag}".encode(), digest_size=_KEY_BYTES).hexdigest()
    path = cache_folder() / f"{key}.arrow"
    if path.exists():
        return path
    with _locked(path.with_suffix(".lock")):
        if path.exists():
            return path
        with scratch_file(path.parent) as part:
            download(part)
            # Whoever maps the file maps a complete one, and it stays as it is when replaced.
            part.replace(path)
    return path


@contextmanager
def scratch_file(folder: Path | None = None) -> Iterator[Path]:
    """A file that is removed at the end if it is still there."""
    handle, name = tempfile.mkstemp(suffix=".part", prefix="snapshot-", dir=folder)
    os.close(handle)
    path = Path(name)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
