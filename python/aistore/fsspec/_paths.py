"""Paths, and what errors mean for those who think in files."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aistore.sdk.errors import AISError, ErrBckAlreadyExists

if TYPE_CHECKING:
    from collections.abc import Iterator

NOT_FOUND = 404
PRECONDITION_FAILED = 412
BEYOND_THE_END = 416
_MEANING = {
    401: errno.EACCES,
    403: errno.EACCES,
    NOT_FOUND: errno.ENOENT,
    PRECONDITION_FAILED: errno.EEXIST,
    507: errno.ENOSPC,
}


def split(path: str) -> tuple[str, str]:
    """(bucket, object) of a path without its protocol; either may be empty."""
    bucket, _, name = path.lstrip("/").partition("/")
    return bucket, name


@contextmanager
def os_errors(path: str) -> Iterator[None]:
    """Raises answers that mean something for files as what `open` would raise."""
    try:
        yield
    except AISError as error:
        # Broken connections and waits that ran out are OSErrors already.
        code = None if isinstance(error, OSError) else _meaning(error)
        if code is None:
            raise
        raise OSError(code, os.strerror(code), f"ais://{path}") from error


def _meaning(error: AISError) -> int | None:
    if isinstance(error, ErrBckAlreadyExists):
        return errno.EEXIST
    return _MEANING.get(error.status_code)
