"""Retry settings.

Retrying is done natively, with jitter and within the timeouts; these classes say how often.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from aistore.sdk.errors import AISConnectionError, AISRetryableError, AISTimeoutError

DEFAULT_ATTEMPTS = 5
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
    """

    total: int = DEFAULT_ATTEMPTS - 1


@dataclass
class NetworkRetry:
    """Retries of requests that got no answer.

    Args:
        attempts: Attempts in all.
    """

    attempts: int = DEFAULT_ATTEMPTS


@dataclass
class RetryConfig:
    """All retry settings of a client.

    Args:
        http_retry: An `HttpRetry`, or any object with a `total`.
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
        """Attempts of one request in all: the larger of what the two layers ask for, at least 1."""
        total = getattr(self.http_retry, "total", None)
        network = getattr(self.network_retry, "attempts", None)
        if network is None:
            stop = getattr(self.network_retry, "stop", None)
            network = getattr(stop, "max_attempt_number", None)
        asked = [
            total + 1 if isinstance(total, int) else 1,
            network if isinstance(network, int) else 1,
        ]
        return max(1, *asked)

    def __getstate__(self) -> dict[str, object]:
        # Foreign retry objects hold locks and closures; the number is all that counts.
        return {
            "http_retry": HttpRetry(self.attempts - 1),
            "network_retry": NetworkRetry(self.attempts),
            "cold_get_conf": self.cold_get_conf,
        }
