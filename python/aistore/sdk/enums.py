"""Enumerations that requests carry."""

from enum import Enum, IntEnum


class Colocation(IntEnum):
    """Hint for choosing the target that assembles a batch."""

    NONE = 0
    TARGET_AWARE = 1
    TARGET_AND_SHARD_AWARE = 2


class FLTPresence(IntEnum):
    """Whether an object or bucket must be in the cluster, and whether properties are wanted."""

    FLT_EXISTS = 0
    FLT_EXISTS_NO_PROPS = 1
    FLT_PRESENT = 2
    FLT_PRESENT_NO_PROPS = 3
    FLT_PRESENT_CLUSTER = 4
    FLT_EXISTS_OUTSIDE = 5


class LogSeverity(str, Enum):
    """Which of a node's logs."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class NodeFilter(str, Enum):
    """Which kind of node."""

    TARGET = "target"
    PROXY = "proxy"
    ALL = "all"
