"""Cuts of recordings as arrays: decoded, and cut to exact frames, where the recordings lie.

`CutLoader` takes what Lhotse calls cuts (its objects, their dictionaries, or a manifest file) and
gives arrays of floats, channels by frames, equal to what `cut.load_audio()` gives. Five seconds of
an hour move five seconds.
Lhotse itself is needed only for who passes its objects.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from aistore import _native
from aistore.sdk._braces import expand

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from aistore.sdk import Bucket, Client

__all__ = ["CutError", "CutLoader"]

_AT_ONCE = 64
_MOST_LINES = 1 << 16
# Cuts of one request while archives are written.
_SAVED_AT_ONCE = 512
_HEADER = 128
_KEPT = "keep"
# Fields of a cut that are sent.
_WHICH = (
    "id", "type", "start", "duration", "channel", "recording", "audio_source", "tracks"
)  # fmt: skip


class CutError(RuntimeError):
    """A cut that could not be had; `cut_id` is its name."""

    def __init__(self, cut_id: str, message: str) -> None:
        super().__init__(message)
        self.cut_id = cut_id

    def __reduce__(self) -> tuple[type[CutError], tuple[str, str]]:
        """Crosses processes with both values."""
        return type(self), (self.cut_id, str(self))


class CutLoader:
    """Loads cuts in batches, each with one request to every node that holds some of it.

    Safe in workers of a `DataLoader` and across forks.

    Args:
        client: Client of the cluster.
        bucket: Bucket of recordings that are named without one.
        on_fault: `"raise"` a `CutError` for the first cut that cannot be had, or `"keep"` it in
            its place.
        rate: Sampling rate that recordings must have; without it what the cut says, if it does.
    """

    def __init__(
        self,
        client: Client,
        bucket: Bucket | None = None,
        *,
        on_fault: Literal["raise", "keep"] = "raise",
        rate: int | None = None,
    ) -> None:
        if on_fault not in ("raise", _KEPT):
            raise ValueError(f"on_fault {on_fault!r}: expected 'raise' or 'keep'")
        self._client = client
        self._uname = None if bucket is None else bucket.get_path()
        self._keep = on_fault == _KEPT
        self._rate = rate

    def load(self, cuts: Iterable[Any]) -> list[NDArray[np.float32] | CutError]:
        """Arrays of cuts, in their order.

        Args:
            cuts: Lhotse's cuts (a `CutSet`), or dictionaries of the same form.

        Returns:
            An array (channels, frames) of each cut; with `on_fault="keep"` the error in the
            place of what failed.

        Raises:
            CutError: A cut cannot be had.
        """
        return self._load([_line(cut) for cut in cuts])

    def __call__(self, cuts: Iterable[Any]) -> list[NDArray[np.float32] | CutError]:
        """Same as `load`."""
        return self.load(cuts)

    def batches(
        self, manifest: str | os.PathLike[str], batch_size: int
    ) -> Iterator[tuple[list[str], list[NDArray[np.float32] | CutError]]]:
        """Batches of a manifest file, in its order: names of the cuts, and their arrays.

        Args:
            manifest: Local `.jsonl`, plain or compressed with gzip or LZ4.
            batch_size: Cuts of a batch; the last may have fewer.

        Yields:
            Names and arrays of a batch.
        """
        if not 1 <= batch_size <= _MOST_LINES:
            raise ValueError(f"batch_size {batch_size}: expected 1 to {_MOST_LINES}")
        lines = _native.CutLines(os.fspath(manifest))
        while batch := lines.take(batch_size):
            cuts = _native.CutBatch(batch, "npy", self._rate)
            yield [name for name, _, _, _ in cuts.cuts()], self._read(cuts)

    def save(
        self,
        cuts: str | os.PathLike[str] | Iterable[Any],
        output: str | os.PathLike[str],
        batch_size: int | None = None,
    ) -> list[Path]:
        """Writes cuts into archives of WAV files, `<id>.wav` each, in their order.

        An archive has its name when it is complete. With `on_fault="keep"` cuts that cannot be
        had are left out.

        Args:
            cuts: A local manifest, a `CutSet`, or dictionaries of the same form.
            output: The archive: `.tar`, `.tar.gz`, `.tgz`, `.tar.lz4` or `.zip`. With `batch_size`
                a template of names, such as `b-{001..999}.tar`.
            batch_size: Cuts of one archive; without it one archive has all.

        Returns:
            The archives.

        Raises:
            CutError: A cut cannot be had.
            ValueError: Another kind of archive, or the template has fewer names than there are
                batches.
        """
        if batch_size is not None and not 1 <= batch_size <= _MOST_LINES:
            raise ValueError(f"batch_size {batch_size}: expected 1 to {_MOST_LINES}")
        text = os.fspath(output)
        names = iter([text]) if batch_size is None else expand(text)
        take = _taker(cuts)
        saved: list[Path] = []
        number = 1
        ahead = take(min(_SAVED_AT_ONCE, batch_size or _SAVED_AT_ONCE))
        while ahead:
            name = next(names, None)
            if name is None:
                raise ValueError(
                    f"template {text!r} has fewer names than there are batches: widen its range"
                )
            with _archive(Path(name)) as archive:
                left = batch_size
                while ahead:
                    self._save(ahead, number, archive)
                    number += len(ahead)
                    left = None if left is None else left - len(ahead)
                    ahead = take(_SAVED_AT_ONCE if left is None else min(_SAVED_AT_ONCE, left))
            saved.append(Path(name))
            ahead = take(min(_SAVED_AT_ONCE, batch_size or _SAVED_AT_ONCE))
        return saved

    def _save(self, lines: list[bytes], first: int, archive: _native.ArchiveWriter) -> None:
        batch = _native.CutBatch(lines, "wav", self._rate, first)
        cuts, places, names = batch.cuts(), batch.places(), batch.file_names()
        if not self._keep:
            for name, _, _, fault in cuts:
                if fault:
                    raise CutError(name, fault)
        if not places:
            return
        with self._client.request_client.native.load_cuts(self._uname, batch) as stream:
            while items := stream.next_many(_AT_ONCE):
                for index, content, error in items:
                    if content is not None:
                        archive.add(names[index], content)
                    elif not self._keep:
                        cut, _ = places[index]
                        raise CutError(cuts[cut][0], error or "it could not be read")

    def _load(self, lines: list[bytes]) -> list[NDArray[np.float32] | CutError]:
        return self._read(_native.CutBatch(lines, "npy", self._rate))

    def _read(self, batch: _native.CutBatch) -> list[NDArray[np.float32] | CutError]:
        cuts = batch.cuts()
        parts: list[list[Any]] = [[None] * count for _, _, count, _ in cuts]
        faults = {at: CutError(cut[0], cut[3]) for at, cut in enumerate(cuts) if cut[3]}
        if faults and not self._keep:
            raise next(iter(faults.values()))
        places = batch.places()
        if places:
            with self._client.request_client.native.load_cuts(self._uname, batch) as stream:
                while items := stream.next_many(_AT_ONCE):
                    for index, content, error in items:
                        cut, part = places[index]
                        if content is None:
                            fault = CutError(cuts[cut][0], error or "it could not be read")
                            if not self._keep:
                                raise fault
                            faults.setdefault(cut, fault)
                        else:
                            parts[cut][part] = _array(content)
        return [
            faults[at] if at in faults else _joined(parts[at], frames)
            for at, (_, frames, _, _) in enumerate(cuts)
        ]


def _taker(cuts: str | os.PathLike[str] | Iterable[Any]) -> Callable[[int], list[bytes]]:
    """Gives the next lines of a manifest or of cuts, at most as many as asked for; none = end."""
    if isinstance(cuts, (str, os.PathLike)):
        return _native.CutLines(os.fspath(cuts)).take
    lines = map(_line, cuts)
    return lambda most: list(islice(lines, most))


@contextmanager
def _archive(path: Path) -> Iterator[_native.ArchiveWriter]:
    """An archive that has its name when it is complete, and is gone when it is not."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        archive = _native.ArchiveWriter(str(aside), path.name)
        yield archive
        archive.finish()
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def _line(cut: Any) -> bytes:
    """What of a cut says which samples it has: its texts and features can be large, or no JSON."""
    if not isinstance(cut, dict):
        recording = getattr(cut, "recording", None)
        cut = {
            "id": cut.id,
            "type": type(cut).__name__,
            "start": getattr(cut, "start", 0),
            "duration": getattr(cut, "duration", None),
            "channel": getattr(cut, "channel", None),
            "recording": None if recording is None else _recording(recording),
        }
    return json.dumps({key: cut[key] for key in _WHICH if cut.get(key) is not None}).encode()


def _recording(recording: Any) -> dict[str, Any]:
    transforms = getattr(recording, "transforms", None)
    return {
        "sources": [
            {
                "type": source.type,
                "channels": list(source.channels),
                "source": source.source if isinstance(source.source, str) else "",
            }
            for source in recording.sources
        ],
        "sampling_rate": recording.sampling_rate,
        # How they are to be transformed says nothing more: it is refused.
        "transforms": [{} for _ in transforms or ()],
    }


def _array(content: bytes) -> NDArray[np.float32]:
    shape = _shape(content[10:_HEADER])
    return np.frombuffer(content, "<f4", offset=_HEADER).reshape(shape)


def _shape(header: bytes) -> tuple[int, int]:
    """The shape in the header of an array as the cluster writes it."""
    channels, _, frames = header.partition(b"(")[2].partition(b")")[0].partition(b",")
    return int(channels), int(frames)


def _joined(parts: list[NDArray[np.float32]], frames: int | None) -> NDArray[np.float32]:
    """Channels of all files; frames that a rounded duration adds are mirrored, as by Lhotse."""
    if len(parts) == 1:
        joined = parts[0].copy()
    else:
        shortest = min(part.shape[1] for part in parts)
        joined = np.concatenate([part[:, :shortest] for part in parts])
    missing = 0 if frames is None else frames - joined.shape[1]
    if missing > 0:
        return np.pad(joined, ((0, 0), (0, missing)), mode="reflect")
    return joined
