"""How waiting for a job ended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from aistore.sdk._job_types import ZERO_TIME

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aistore.sdk._job_types import JobSnap

_MICROSECOND_DIGITS = 6


@dataclass
class WaitResult:
    """How a job ended; true if it did all its work.

    Args:
        job_id: The job.
        success: Whether it ended without an error and was not aborted.
        error: What went wrong.
        end_time: When it ended, as far as the cluster told.
    """

    job_id: str
    success: bool
    error: str | None = None
    end_time: datetime | None = None

    def __bool__(self) -> bool:
        return self.success

    @classmethod
    def from_snapshots(cls, job_id: str, snapshots: Iterable[JobSnap]) -> WaitResult:
        """Sums up what all targets tell."""
        every = list(snapshots)
        failed = [snapshot for snapshot in every if snapshot.aborted or snapshot.abort_err]
        error = next((s.abort_err for s in failed if s.abort_err), "aborted") if failed else None
        ends = [end for snapshot in every if (end := parse_time(snapshot.end_time))]
        return cls(job_id, not failed, error, max(ends, default=None))


def parse_time(text: str) -> datetime | None:
    """Reads a time of a snapshot; None if it has not come yet or is not one.

    Snapshots tell nanoseconds, which `datetime` does not hold.
    """
    if text in {"", ZERO_TIME}:
        return None
    seconds, dot, rest = text.partition(".")
    if dot:
        digits = len(rest) - len(rest.lstrip("0123456789"))
        fraction, zone = rest[:digits], rest[digits:]
        text = f"{seconds}.{fraction[:_MICROSECOND_DIGITS]:0<6}{zone}"
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None


def time_of_nanoseconds(nanoseconds: int) -> datetime:
    """The time that a job's status tells."""
    return datetime.fromtimestamp(nanoseconds / 1e9, timezone.utc)
