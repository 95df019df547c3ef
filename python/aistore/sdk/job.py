"""Jobs that run in the cluster."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, TypeVar

from pydantic import TypeAdapter

from aistore._progress import is_shown, progress
from aistore.sdk import const
from aistore.sdk.errors import AISError, JobInfoNotFound, Timeout
from aistore.sdk.types import ActionMsg, AggregatedJobSnap, JobArgs, JobSnap, JobStatus
from aistore.sdk.utils import get_logger, probing_frequency
from aistore.sdk.wait_result import WaitResult, parse_time, time_of_nanoseconds
from aistore.sdk.xact_const import (
    XACT_KIND_BLOB_DL,
    XACT_KIND_RESILVER,
    idles_before_finishing,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import timedelta

    from aistore.sdk.bucket import Bucket
    from aistore.sdk.request_client import RequestClient

# Kinds that run on one target only and are not reported to the gateways.
_SINGLE_NODE_KINDS = frozenset({XACT_KIND_BLOB_DL, XACT_KIND_RESILVER})

_Answer = TypeVar("_Answer", JobStatus, AggregatedJobSnap)

# Someone looks at the bar.
_WATCHED_PAUSE_S = 1.0

logger = get_logger(__name__)


class Job:
    """A job, by its id, its kind or both.

    Args:
        client: Sends the requests.
        job_id: Its id.
        job_kind: Its kind.
    """

    # How often in a row a job must be seen idle: work may be on its way to it.
    NUM_CONSECUTIVE_IDLE = 2

    def __init__(self, client: RequestClient, job_id: str = "", job_kind: str = "") -> None:
        self._client = client
        self._job_id = job_id
        self._job_kind = job_kind

    @property
    def job_id(self) -> str:
        """Its id."""
        return self._job_id

    @property
    def job_kind(self) -> str:
        """Its kind."""
        return self._job_kind

    def __repr__(self) -> str:
        return f"Job({self._job_kind or '?'}[{self._job_id or '?'}])"

    def status(self) -> JobStatus:
        """Asks where the job stands.

        Raises:
            ValueError: The job has no id.
            AISError: The cluster knows no such job, with status 404.
        """
        if not self._job_id:
            raise ValueError("status() needs a job id: make the job with client.job(job_id)")
        return self._query(const.WHAT_ONE_XACT_STATUS, JobStatus)

    def get_details(self) -> AggregatedJobSnap:
        """Asks all targets what they did for the job.

        Raises:
            AISError: No target knows it, with status 404.
        """
        return self._query(const.WHAT_QUERY_XACT_STATS, AggregatedJobSnap)

    def _query(self, what: str, model: type[_Answer]) -> _Answer:
        message = JobArgs(id=self._job_id, kind=self._job_kind)
        answer = self._client.request(
            "GET",
            const.URL_PATH_CLUSTER,
            params={const.QPARAM_WHAT: what},
            json=message.as_dict(),
        )
        return TypeAdapter(model).validate_json(answer.content)

    def wait(self, timeout: int = 300, verbose: bool = True) -> WaitResult:
        """Waits until the job has done its work, in the way that its kind takes.

        Args:
            timeout: Longest wait, in seconds.
            verbose: Whether to log how the wait goes on, and to show it in terminals and notebooks;
                `AIS_PROGRESS=0` turns the latter off.

        Raises:
            Timeout: The time is up.
            JobInfoNotFound: Neither the kind is given nor does the cluster know it.
        """
        kind = self._job_kind or self._find_kind()
        if idles_before_finishing(kind):
            return self.wait_for_idle(timeout, verbose)
        if kind in _SINGLE_NODE_KINDS:
            return self.wait_single_node(timeout, verbose)
        return self._wait_for_end(timeout, verbose=verbose)

    def _find_kind(self) -> str:
        for snapshot in self.get_details().list_snapshots():
            if snapshot.kind:
                return snapshot.kind
        raise JobInfoNotFound(f"No information about job {self._job_id!r}: give its kind")

    def _wait_for_end(self, timeout: int, *, verbose: bool) -> WaitResult:
        def look() -> WaitResult | None:
            status = self.status()
            if not status.end_time:
                return None
            error = status.err or ("aborted" if status.aborted else "")
            end = time_of_nanoseconds(status.end_time)
            return WaitResult(self._job_id, not error, error, end)

        return self._poll(look, timeout, "finish", verbose=verbose)

    def wait_for_idle(self, timeout: int = 300, verbose: bool = True) -> WaitResult:
        """Waits until the job has nothing to do on any target, or one gave up.

        Args:
            timeout: Longest wait, in seconds.
            verbose: Whether to log how the wait goes on, and to show it in terminals and notebooks;
                `AIS_PROGRESS=0` turns the latter off.

        Raises:
            Timeout: The time is up.
        """
        seen_idle = 0

        def look() -> WaitResult | None:
            nonlocal seen_idle
            details = self.get_details()
            snapshots = details.list_snapshots()
            idle = bool(snapshots) and details.idle_or_aborted()
            seen_idle = seen_idle + 1 if idle else 0
            if details.any_aborted() or seen_idle >= self.NUM_CONSECUTIVE_IDLE:
                return WaitResult.from_snapshots(self._job_id, snapshots)
            return None

        return self._poll(look, timeout, "be idle", verbose=verbose)

    def wait_single_node(self, timeout: int = 300, verbose: bool = True) -> WaitResult:
        """Waits until the job, which runs on one target only, has ended there.

        Args:
            timeout: Longest wait, in seconds.
            verbose: Whether to log how the wait goes on, and to show it in terminals and notebooks;
                `AIS_PROGRESS=0` turns the latter off.

        Raises:
            Timeout: The time is up.
        """

        def look() -> WaitResult | None:
            details = self.get_details()
            if not details.any_finished():
                return None
            return WaitResult.from_snapshots(self._job_id, details.list_snapshots())

        return self._poll(look, timeout, "finish", verbose=verbose)

    def _poll(
        self,
        look: Callable[[], WaitResult | None],
        timeout: int,
        goal: str,
        *,
        verbose: bool,
    ) -> WaitResult:
        with progress(0, f"{self!r}", show=verbose, unit="objects") as advance_to:
            watch = verbose and is_shown()
            return self._look_until(
                look, timeout, goal, verbose=verbose, advance_to=advance_to if watch else None
            )

    def _look_until(
        self,
        look: Callable[[], WaitResult | None],
        timeout: int,
        goal: str,
        *,
        verbose: bool,
        advance_to: Callable[[int], None] | None,
    ) -> WaitResult:
        pause = probing_frequency(timeout)
        if advance_to is not None:
            pause = min(pause, _WATCHED_PAUSE_S)
        deadline = time.monotonic() + timeout
        while True:
            result = look()
            if advance_to is not None:
                advance_to(self._objects_done())
            if result is not None:
                if verbose:
                    logger.info("%r: %s", self, "done" if result else result.error)
                return result
            left = deadline - time.monotonic()
            if left <= 0:
                raise Timeout(f"{self!r} to {goal}", f"It took longer than {timeout} s.")
            if verbose:
                logger.info("Waiting for %r to %s", self, goal)
            time.sleep(min(pause, left))

    def _objects_done(self) -> int:
        try:
            snapshots = self.get_details().list_snapshots()
        except AISError:
            return 0
        return sum(snapshot.stats.objects for snapshot in snapshots if snapshot.stats)

    def start(
        self, daemon_id: str = "", force: bool = False, buckets: Sequence[Bucket] | None = None
    ) -> str:
        """Starts a job of this kind.

        Args:
            daemon_id: Target that runs it, for kinds that run on one.
            force: Whether to start it despite what speaks against it.
            buckets: Buckets to work on; all without it.

        Returns:
            The job's id.
        """
        models = [bucket.as_model() for bucket in buckets or ()]
        message = JobArgs(kind=self._job_kind, daemon_id=daemon_id)
        if len(models) == 1:
            message.bucket = models[0]
        elif models:
            message.buckets = models
        params = {const.QPARAM_FORCE: "true"} if force else {}
        return self._act(const.ACT_START, message, params)

    def abort(self) -> None:
        """Stops the job, or all jobs of its kind if it has no id.

        Raises:
            ValueError: It has neither id nor kind.
        """
        if not (self._job_id or self._job_kind):
            raise ValueError("abort() needs a job id or a job kind")
        self._act(const.ACT_STOP, JobArgs(id=self._job_id, kind=self._job_kind), {})

    def _act(self, action: str, message: JobArgs, params: dict[str, str]) -> str:
        body = ActionMsg(action=action, value=message.as_dict()).model_dump()
        return self._client.request(
            "PUT", const.URL_PATH_CLUSTER, params=params, json=body
        ).text.strip('"')

    def get_within_timeframe(
        self, start_time: datetime, end_time: datetime | None = None
    ) -> list[JobSnap]:
        """Snapshots of the jobs that started and ended within a time.

        Args:
            start_time: Where the time starts.
            end_time: Where it ends; None takes those that have not ended as well.

        Raises:
            JobInfoNotFound: There are none.
        """
        start, end = _aware(start_time), None if end_time is None else _aware(end_time)
        found = [
            snapshot
            for snapshot in self.get_details().list_snapshots()
            if _lies_within(snapshot, start, end)
        ]
        if not found:
            raise JobInfoNotFound(
                f"No jobs of {self!r} between {start_time} and {end_time or 'now'}"
            )
        return found

    def get_total_time(self) -> timedelta | None:
        """Time from the first target's start to the last one's end; None while it runs."""
        snapshots = self.get_details().list_snapshots()
        starts = [parse_time(snapshot.start_time) for snapshot in snapshots]
        ends = [parse_time(snapshot.end_time) for snapshot in snapshots]
        known_starts = [start for start in starts if start]
        known_ends = [end for end in ends if end]
        if not known_starts or len(known_ends) < len(ends):
            return None
        return max(known_ends) - min(known_starts)


def _aware(moment: datetime) -> datetime:
    """Takes a time without a zone as one of the local zone."""
    return moment.astimezone(timezone.utc)


def _lies_within(snapshot: JobSnap, start: datetime, end: datetime | None) -> bool:
    started, ended = parse_time(snapshot.start_time), parse_time(snapshot.end_time)
    if started is None or started < start:
        return False
    return end is None or (ended is not None and ended <= end)
