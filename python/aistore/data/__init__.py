"""Data sets that are an index: named lists of samples, a computed shuffle, and exact resume.

`Snapshot` and everything that reads it work without PyTorch; `SnapshotStream` and `DataLoader` need
`pip install aistore[pytorch]`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aistore.data.dataset import SnapshotDataset
from aistore.data.entry import Entry
from aistore.data.position import Position, position_of
from aistore.data.sampler import SnapshotSampler
from aistore.data.shuffle import Full, InOrder, Shuffle, Windowed
from aistore.data.snapshot import Snapshot, SnapshotExistsError

if TYPE_CHECKING:
    from aistore.data.loader import DataLoader
    from aistore.data.stream import SnapshotStream

__all__ = [
    "DataLoader",
    "Entry",
    "Full",
    "InOrder",
    "Position",
    "Shuffle",
    "Snapshot",
    "SnapshotDataset",
    "SnapshotExistsError",
    "SnapshotSampler",
    "SnapshotStream",
    "Windowed",
    "position_of",
]


def __getattr__(name: str) -> Any:
    """Imports what needs PyTorch when it is asked for."""
    if name == "DataLoader":
        from aistore.data.loader import DataLoader  # noqa: PLC0415

        return DataLoader
    if name == "SnapshotStream":
        from aistore.data.stream import SnapshotStream  # noqa: PLC0415

        return SnapshotStream
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
