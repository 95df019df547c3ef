"""How an epoch is ordered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from aistore import _native

_QUALITY_SAMPLES = 100_000


@dataclass(frozen=True)
class InOrder:
    """As stored."""

    def order(self, length: int, seed: int, epoch: int) -> _native.Order:
        """The order of an epoch."""
        return _native.Order(length, "none", seed, epoch)

    def settings(self) -> list[str | int]:
        """What a position remembers of it."""
        return ["none"]


@dataclass(frozen=True)
class Full:
    """Any sample anywhere: a permutation of the whole data set."""

    def order(self, length: int, seed: int, epoch: int) -> _native.Order:
        """The order of an epoch."""
        return _native.Order(length, "full", seed, epoch)

    def settings(self) -> list[str | int]:
        """What a position remembers of it."""
        return ["full"]


@dataclass(frozen=True)
class Windowed:
    """Chunks of neighbours in random order, mixed within windows: for data slow to read at random.

    Args:
        chunk: Samples that are stored side by side, such as those of a shard.
        window: Samples that are mixed with each other; many chunks' worth.

    Raises:
        ValueError: One of them is less than 1.
    """

    chunk: int = 1000
    window: int = 10_000

    def __post_init__(self) -> None:
        if self.chunk < 1 or self.window < 1:
            raise ValueError(f"chunk {self.chunk}, window {self.window}: expected at least 1 each")

    def order(self, length: int, seed: int, epoch: int) -> _native.Order:
        """The order of an epoch."""
        return _native.Order(length, "windowed", seed, epoch, self.chunk, self.window)

    def settings(self) -> list[str | int]:
        """What a position remembers of it."""
        return ["windowed", self.chunk, self.window]

    def quality(self, length: int, seed: int = 0, epoch: int = 0) -> str:
        """How well a data set of this length is mixed, as a line of text."""
        correlation, displacement = self.order(length, seed, epoch).quality(_QUALITY_SAMPLES)
        return (
            f"windowed shuffle, chunk {self.chunk}, window {self.window}, of {length} samples:"
            f" rank correlation {correlation:+.4f} (0 is mixed),"
            f" samples move {displacement:.0%} as far as in a full shuffle"
        )


Shuffle: TypeAlias = InOrder | Full | Windowed


def as_shuffle(shuffle: Shuffle | bool) -> Shuffle:
    """Accepts True and False as PyTorch does."""
    if isinstance(shuffle, bool):
        return Full() if shuffle else InOrder()
    return shuffle
