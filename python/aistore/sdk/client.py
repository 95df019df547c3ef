"""Entry point of the client interface."""

from __future__ import annotations

import math
import os
import warnings
from typing import TYPE_CHECKING

from aistore.sdk.enums import Colocation
from aistore.sdk.provider import Provider
from aistore.sdk.request_client import RequestClient
from aistore.sdk.retry_config import RetryConfig
from aistore.sdk.session_manager import SessionManager
from aistore.sdk.utils import get_object_url_components

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aistore.sdk.batch.batch import Batch
    from aistore.sdk.bucket import Bucket
    from aistore.sdk.cluster import Cluster
    from aistore.sdk.job import Job
    from aistore.sdk.multipart_config import MultipartConfig
    from aistore.sdk.namespace import Namespace
    from aistore.sdk.obj.object import Object

_DEFAULT_CONNECT_S = 3.0
_DEFAULT_READ_S = 20.0
_DEFAULT_POOL = 10


class Client:
    """A cluster's client: share it between threads, pickle it, use it after a fork.

    Nothing is sent before the first operation.

    Args:
        endpoint: URL of a gateway: `http://host:port` or `https://host:port`.
        skip_verify: Accept any certificate; for tests only. Also `AIS_SKIP_VERIFY_CRT` or
            `AIS_SKIP_VERIFY`, which False does not override.
        ca_cert: File or folder of trusted certificates (PEM). Default: `AIS_CLIENT_CA`, else what
            the system trusts.
        client_cert: File of our own certificate and key, or a file of each. Default: `AIS_CRT` and
            `AIS_CRT_KEY`, if both are set.
        timeout: Seconds to wait, one number for both or (connect, read); 0 waits without end.
            Default: `AIS_CONNECT_TIMEOUT` and `AIS_READ_TIMEOUT`, else 3 and 20.
        retry_config: How often to retry.
        token: Bearer token. Default: `AIS_AUTHN_TOKEN`.
        max_pool_size: Idle connections kept per node. Default: `AIS_MAX_CONN_POOL`, else 10.
        multipart_config: When writers upload large objects in parts; None is only when a call asks.

    Raises:
        ValueError: The endpoint is no URL, or a number is out of range; at the first operation
            also a certificate that cannot be read.
    """

    def __init__(
        self,
        endpoint: str,
        skip_verify: bool = False,
        ca_cert: str | None = None,
        client_cert: str | tuple[str, str] | None = None,
        timeout: float | tuple[float, float] | None = None,
        retry_config: RetryConfig | None = None,
        token: str | None = None,
        max_pool_size: int | None = None,
        *,
        multipart_config: MultipartConfig | None = None,
    ) -> None:
        scheme, separator, rest = endpoint.partition("://")
        if scheme not in {"http", "https"} or not separator or not rest:
            raise ValueError(
                f"endpoint {endpoint!r}: expected http://host:port (or https) of a gateway"
            )
        self.retry_config = retry_config or RetryConfig.default()
        self._request_client = RequestClient(
            endpoint,
            # A plain endpoint may name https:// nodes, so certificates count there too.
            SessionManager(
                ca_cert=ca_cert,
                skip_verify=skip_verify,
                client_cert=client_cert,
                max_pool_size=_pool_size(max_pool_size),
            ),
            _timeouts(timeout),
            token or os.environ.get("AIS_AUTHN_TOKEN", ""),
            retry_config=self.retry_config,
            multipart=multipart_config,
        )

    @property
    def endpoint(self) -> str:
        """URL of the gateway."""
        return self._request_client.endpoint

    @property
    def request_client(self) -> RequestClient:
        """Sends plain requests."""
        return self._request_client

    def bucket(
        self,
        bck_name: str,
        provider: Provider | str = Provider.AIS,
        namespace: Namespace | None = None,
    ) -> Bucket:
        """A bucket, whether it exists or not."""
        from aistore.sdk.bucket import Bucket  # noqa: PLC0415 - buckets refer to clients

        return Bucket(
            name=bck_name,
            client=self._request_client,
            provider=Provider.parse(provider),
            namespace=namespace,
        )

    def cluster(self) -> Cluster:
        """The cluster as a whole."""
        from aistore.sdk.cluster import Cluster  # noqa: PLC0415 - not on the data path

        return Cluster(client=self._request_client)

    def job(self, job_id: str = "", job_kind: str = "") -> Job:
        """A job, by its id, its kind or both."""
        from aistore.sdk.job import Job  # noqa: PLC0415 - not on the data path

        return Job(self._request_client, job_id, job_kind)

    def batch(
        self,
        objects: Sequence[Object | str] | Object | str | None = None,
        bucket: Bucket | None = None,
        output_format: str = ".tar",
        cont_on_err: bool = True,
        only_obj_name: bool = False,
        streaming_get: bool = True,
        colocation: Colocation = Colocation.NONE,
    ) -> Batch:
        """A request for many objects, or parts of them, at once; see `Batch`."""
        from aistore.sdk.batch.batch import Batch  # noqa: PLC0415 - batches refer to objects

        return Batch(
            request_client=self._request_client,
            objects=objects,
            bucket=bucket,
            output_format=output_format,
            cont_on_err=cont_on_err,
            only_obj_name=only_obj_name,
            streaming_get=streaming_get,
            colocation=colocation,
        )

    def get_object_from_url(self, url: str) -> Object:
        """The object that a URL such as `ais://bucket/name` means.

        Raises:
            InvalidURLException: Provider, bucket or object is missing.
            InvalidBckProvider: The provider is unknown.
        """
        provider, bucket, name = get_object_url_components(url)
        return self.bucket(bucket, provider).object(name)

    def fetch_object_by_url(self, url: str) -> Object:
        """Older name of `get_object_from_url`."""
        return self.get_object_from_url(url)

    def close(self) -> None:
        """Closes this process's connections to the cluster; the next operation opens new ones."""
        self._request_client.close()

    def __repr__(self) -> str:
        return f"Client({self.endpoint!r})"


def _timeouts(
    given: float | tuple[float, float] | None,
) -> tuple[float | None, float | None]:
    """Applies argument, environment and default, in this order; 0 becomes None."""
    if given is None:
        connect = _seconds_from_env("AIS_CONNECT_TIMEOUT", _DEFAULT_CONNECT_S)
        read = _seconds_from_env("AIS_READ_TIMEOUT", _DEFAULT_READ_S)
    elif isinstance(given, tuple):
        connect, read = given
    else:
        connect = read = given
    for seconds in (connect, read):
        if not (math.isfinite(seconds) and seconds >= 0):
            raise ValueError(f"timeout {given!r}: expected seconds, 0 to wait without end")
    return connect or None, read or None


def _seconds_from_env(name: str, default: float) -> float:
    text = os.environ.get(name)
    if not text:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if math.isfinite(seconds) and seconds >= 0:
        return seconds
    warnings.warn(f"{name}={text!r} is not a number of seconds; using {default}", stacklevel=4)
    return default


def _pool_size(given: int | None) -> int:
    text = os.environ.get("AIS_MAX_CONN_POOL")
    if given is None and text:
        try:
            given = int(text)
        except ValueError:
            warnings.warn(
                f"AIS_MAX_CONN_POOL={text!r} is not a number; using {_DEFAULT_POOL}", stacklevel=4
            )
    size = _DEFAULT_POOL if given is None else given
    if size < 1:
        raise ValueError(f"max_pool_size {size}: expected at least 1")
    return size
