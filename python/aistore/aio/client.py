"""Entry point of the asyncio interface."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from aistore.aio._calls import Calls
from aistore.aio.batch import AsyncBatch
from aistore.aio.bucket import AsyncBucket
from aistore.aio.object import AsyncObject
from aistore.sdk import const
from aistore.sdk.client import Client
from aistore.sdk.provider import Provider
from aistore.sdk.types import ActionMsg, BucketModel
from aistore.sdk.utils import get_object_url_components

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from typing_extensions import Self

    from aistore.sdk.namespace import Namespace
    from aistore.sdk.retry_config import RetryConfig

_CALLS_AT_ONCE = 64


class AsyncClient:
    """A cluster's client for asyncio: share it between tasks, pickle it, use it after a fork.

    Nothing is sent before the first operation, and no operation takes a thread of its own: requests
    run on the package's native threads, and results come back through the loop.

    Args:
        endpoint: URL of a gateway.
        skip_verify: As for `Client`.
        ca_cert: As for `Client`.
        client_cert: As for `Client`.
        timeout: As for `Client`.
        retry_config: As for `Client`.
        token: As for `Client`.
        max_pool_size: As for `Client`.
        max_concurrency: Operations under way at a time; others wait for their turn.

    Raises:
        ValueError: The endpoint is not a URL, or a number is out of range.
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
        max_concurrency: int = _CALLS_AT_ONCE,
    ) -> None:
        self._client = Client(
            endpoint,
            skip_verify,
            ca_cert,
            client_cert,
            timeout,
            retry_config,
            token,
            max_pool_size,
        )
        self._calls = Calls(self._client.request_client, max_concurrency)

    @property
    def endpoint(self) -> str:
        """URL of the gateway."""
        return self._client.endpoint

    @property
    def calls(self) -> Calls:
        """Makes this client's calls."""
        return self._calls

    def blocking(self) -> Client:
        """The same client for calls that block, with all that they offer."""
        return self._client

    def __repr__(self) -> str:
        return f"AsyncClient({self.endpoint!r})"

    def bucket(
        self,
        bck_name: str,
        provider: Provider | str = Provider.AIS,
        namespace: Namespace | None = None,
    ) -> AsyncBucket:
        """A bucket, whether it exists or not."""
        return AsyncBucket(self._calls, self._client.bucket(bck_name, provider, namespace))

    def get_object_from_url(self, url: str) -> AsyncObject:
        """The object that a URL such as `ais://bucket/name` means.

        Raises:
            InvalidURLException: Provider, bucket or object is missing.
            InvalidBckProvider: The provider is unknown.
        """
        provider, bucket, name = get_object_url_components(url)
        return self.bucket(bucket, provider).object(name)

    async def list_buckets(self, provider: str | Provider = Provider.AIS) -> list[BucketModel]:
        """Buckets of one provider; of all of them with an empty string."""
        params = {const.QPARAM_PROVIDER: Provider.parse(provider).value} if provider else {}
        body = ActionMsg(action=const.ACT_LIST).model_dump_json().encode()
        answer = await self._calls.request("GET", const.URL_PATH_BUCKETS, params, body)
        return TypeAdapter(list[BucketModel]).validate_json(answer.content)

    def get_batch(
        self,
        objects: Sequence[AsyncObject | str] | AsyncObject | str,
        bucket: AsyncBucket | None = None,
        *,
        cont_on_err: bool = True,
    ) -> AsyncBatch:
        """Reads many objects at once: `async for info, content in client.get_batch(...)`.

        Args:
            objects: Objects, or names of objects of `bucket`.
            bucket: Bucket of objects that are given by name.
            cont_on_err: Whether a missing object is an entry with `err_msg` instead of an error.

        Raises:
            ValueError: Nothing is asked for, or a name has no bucket.
        """
        batch = self._client.batch(
            bucket=bucket.blocking() if bucket else None, cont_on_err=cont_on_err
        )
        for obj in [objects] if isinstance(objects, AsyncObject | str) else objects:
            batch.add(obj if isinstance(obj, str) else obj.blocking())
        return AsyncBatch(self._calls, batch)

    def close(self) -> None:
        """Closes this process's connections to the cluster; the next operation opens new ones."""
        self._calls.forget()
        self._client.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
