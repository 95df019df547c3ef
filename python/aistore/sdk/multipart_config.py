"""When and how large objects are uploaded in parts."""

from __future__ import annotations

from dataclasses import dataclass

_MIB = 1 << 20
_MOST_PARTS = 9_999
_MOST_WORKERS = 64


@dataclass(frozen=True)
class MultipartConfig:
    """Uploads of at least `threshold` bytes go out in parts, several at a time.

    Args:
        threshold: Smallest content that is uploaded in parts.
        part_size: Bytes of a part; larger where the content would take more than 9,999 of them.
        num_workers: Parts on their way at a time.

    Raises:
        ValueError: A number is out of range.
    """

    threshold: int = 64 * _MIB
    part_size: int = 16 * _MIB
    num_workers: int = 8

    def __post_init__(self) -> None:
        if self.threshold < 1 or self.part_size < 1:
            raise ValueError(
                f"threshold {self.threshold}, part_size {self.part_size}: expected at least 1 byte"
            )
        if not 1 <= self.num_workers <= _MOST_WORKERS:
            raise ValueError(f"num_workers {self.num_workers}: expected 1 to {_MOST_WORKERS}")

    def part_size_for(self, size: int) -> int:
        """Bytes of a part of content of the given size."""
        return max(self.part_size, -(-size // _MOST_PARTS))
