"""Options of a listing."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class ListObjectFlag(Enum):
    """Options of a listing; the value is the position of its bit."""

    CACHED = 0
    MISSING = 1
    DELETED = 2
    ARCH_DIR = 3
    NAME_ONLY = 4
    NAME_SIZE = 5
    BCK_PRESENT = 6
    DONT_HEAD_REMOTE = 7
    DONT_ADD_REMOTE = 8
    NOT_CACHED = 9
    ONLY_REMOTE_PROPS = 10
    NO_RECURSION = 11
    DIFF = 12
    NO_DIRS = 13
    IS_S3 = 14
    NBI = 15

    @staticmethod
    def join_flags(flags: Iterable[ListObjectFlag] | None) -> int:
        """Combines flags into one number."""
        joined = 0
        for flag in flags or ():
            joined |= 1 << flag.value
        return joined
