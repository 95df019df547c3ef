"""Samples of a snapshot by index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from aistore.data._samples import read_samples

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aistore.data.snapshot import Snapshot

    Sample: TypeAlias = dict[str, Any]
    Transform: TypeAlias = Callable[[dict[str, Any]], Any]


class SnapshotDataset:
    """A map-style data set. A DataLoader gets each batch with one request.

    A sample is a dictionary as WebDataset makes it: `__key__`, and the content of each file by its
    extension; of a plain object or a range of one, `__key__` and `content`.

    Args:
        snapshot: The samples.
        transform: Takes a sample as read, and gives what the data set gives.
    """

    def __init__(self, snapshot: Snapshot, transform: Transform | None = None) -> None:
        self.snapshot = snapshot
        self.transform = transform

    def __len__(self) -> int:
        return len(self.snapshot)

    def __getitem__(self, index: int) -> Any:
        """Reads one sample.

        Raises:
            IndexError: There is no such index.
            ErrObjNotFound: It was deleted from the bucket.
        """
        length = len(self)
        if not -length <= index < length:
            raise IndexError(f"index {index}: the data set has {length} samples")
        return self.__getitems__([index % length])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """Reads several samples, in the order of the indices."""
        samples = read_samples(self.snapshot, list(indices))
        return samples if self.transform is None else [self.transform(s) for s in samples]

    def __repr__(self) -> str:
        return f"<SnapshotDataset over {self.snapshot!r}>"
