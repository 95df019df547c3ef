"""Temporary directories of embedded clusters, removed even after their owner was killed.

The owner holds a lock on a file inside for as long as it lives; a directory whose lock is free has
lost its owner, and is removed when the next one is made.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path

_PREFIX = "aistore-"
_MARK = ".owner"


class TempRoot:
    """A temporary directory of this process."""

    def __init__(self) -> None:
        sweep()
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX)).absolute()
        # Locked before it gets its name: nobody sees it free while its owner lives.
        making = self.path / f"{_MARK}.new"
        self._lock = os.open(making, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        making.rename(self.path / _MARK)

    def remove(self) -> None:
        """Removes the directory with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def sweep() -> None:
    """Removes directories of this user whose owners are gone."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/{_MARK}"):
        with contextlib.suppress(OSError):
            _remove_if_lost(path)


def _remove_if_lost(mark: Path) -> None:
    root = mark.parent
    if root.is_symlink() or root.lstat().st_uid != os.getuid():
        return
    lock = os.open(mark, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(root, ignore_errors=True)
    finally:
        os.close(lock)
