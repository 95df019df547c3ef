"""Retry settings.

Retrying is done natively, with jitter and within the timeouts; these classes say how often, after
what and how long to wait.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from aistore.sdk.errors import AISConnectionError, AISRetryableError, AISTimeoutError

DEFAULT_ATTEMPTS = 5
# No request is repeated without end, whatever is asked for.
MAX_ATTEMPTS = 1000
_LONGEST_WAIT_S = 3600.0
DEFAULT_BACKOFF_S = 0.05
DEFAULT_BACKOFF_MAX_S = 2.0
DEFAULT_STATUSES = (429, 502, 503, 504)
NETWORK_RETRY_EXCEPTIONS = (AISConnectionError, AISTimeoutError, AISRetryableError)


@dataclass
class ColdGetConf:
    """How long to wait for an object that the cluster is still fetching from its remote home.

    Args:
        est_bandwidth_bps: Expected bandwidth of the remote home, in bytes per second.
        max_cold_wait: Longest wait, in seconds.
        enable_remote_head: Whether the object's size may be asked for, to scale the wait.
    """

    est_bandwidth_bps: int = 1_250_000_000
    max_cold_wait: int = 180
    enable_remote_head: bool = True


@dataclass
class HttpRetry:
    """Retries of requests that were answered with a passing failure.

    Args:
        total: Retries after the first attempt.
        backoff_factor: Seconds of the first wait; each further one is twice as long. The wait is a
            random part of it, so that clients that failed together do not return together.
        backoff_max: Seconds of the longest wait.
        status_forcelist: Answers to try again after. Requests that must not be done twice are only
            repeated after 429, which is refused before anything is done.
    """

    total: int = DEFAULT_ATTEMPTS - 1
    backoff_factor: float = DEFAULT_BACKOFF_S
    backoff_max: float = DEFAULT_BACKOFF_MAX_S
    status_forcelist: Collection[int] = DEFAULT_STATUSES


@dataclass
class NetworkRetry:
    """Retries of requests that got no answer.

    Nobody was there, the connection broke, or a GET or HEAD met the read timeout.

    Args:
        attempts: Attempts in all.
    """

    attempts: int = DEFAULT_ATTEMPTS


@dataclass
class RetryConfig:
    """All retry settings of a client.

    Args:
        http_retry: An `HttpRetry`, or any object with some of its attributes, such as a
            `urllib3.Retry`.
        network_retry: A `NetworkRetry`, or any object with `attempts` or `stop.max_attempt_number`.
        cold_get_conf: Waiting for objects of remote buckets.
    """

    http_retry: object = field(default_factory=HttpRetry)
    network_retry: object = field(default_factory=NetworkRetry)
    cold_get_conf: ColdGetConf = field(default_factory=ColdGetConf)

    @staticmethod
    def default() -> RetryConfig:
        """The settings of a client that was given none."""
        return RetryConfig()

    @property
    def attempts(self) -> int:
        """Attempts of a request that gets no answer, 1 to 1000."""
        network = getattr(self.network_retry, "attempts", None)
        if network is None:
            stop = getattr(self.network_retry, "stop", None)
            network = getattr(stop, "max_attempt_number", None)
        return _attempts(network)

    @property
    def answered_attempts(self) -> int:
        """Attempts of a request that is answered with one of `statuses`, 1 to 1000."""
        total = getattr(self.http_retry, "total", None)
        return _attempts(total + 1 if isinstance(total, int) else None)

    @property
    def backoff(self) -> tuple[float, float]:
        """Seconds of the first and of the longest wait before another attempt."""
        first = getattr(self.http_retry, "backoff_factor", DEFAULT_BACKOFF_S)
        longest = getattr(self.http_retry, "backoff_max", DEFAULT_BACKOFF_MAX_S)
        return _seconds(first), _seconds(longest)

    @property
    def statuses(self) -> tuple[int, ...]:
        """Answers to try again after."""
        given = getattr(self.http_retry, "status_forcelist", DEFAULT_STATUSES)
        return tuple(sorted(int(status) for status in given or ()))

    def __getstate__(self) -> dict[str, object]:
        # Foreign retry objects hold locks and closures; the numbers are all that counts.
        return {
            "http_retry": HttpRetry(self.answered_attempts - 1, *self.backoff, self.statuses),
            "network_retry": NetworkRetry(self.attempts),
            "cold_get_conf": self.cold_get_conf,
        }


def _attempts(asked: object) -> int:
    """A number of attempts that ends; nothing asked for counts as one."""
    return min(max(1, asked), MAX_ATTEMPTS) if isinstance(asked, int) else 1


def _seconds(given: float) -> float:
    """A wait that ends; not a number counts as none."""
    return min(max(0.0, float(given)), _LONGEST_WAIT_S)
