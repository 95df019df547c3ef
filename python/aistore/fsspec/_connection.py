"""The client behind a file system."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from aistore.aio.client import AsyncClient
from aistore.fsspec._paths import split

if TYPE_CHECKING:
    from aistore.aio._calls import Calls
    from aistore.aio.bucket import AsyncBucket
    from aistore.aio.object import AsyncObject
    from aistore.sdk.provider import Provider


class Connection:
    """Buckets and objects by path, at an endpoint that the environment may give.

    Args:
        endpoint: URL of a gateway; None reads `AIS_ENDPOINT` at each use, as file systems are
            remembered for as long as a process lives.
        provider: Where the buckets have their home.
        options: Further arguments of `AsyncClient`.
    """

    def __init__(self, endpoint: str | None, provider: Provider, options: dict[str, Any]) -> None:
        self._endpoint = endpoint
        self._options = options
        self._clients: dict[str, AsyncClient] = {}
        self.provider = provider
        if endpoint is not None:
            self._client()

    def _client(self) -> AsyncClient:
        endpoint = self._endpoint or os.environ.get("AIS_ENDPOINT", "")
        if not endpoint:
            raise ValueError(
                "no endpoint: set AIS_ENDPOINT, or pass endpoint (storage_options="
                '{"endpoint": "http://host:port"}) of a gateway'
            )
        client = self._clients.get(endpoint)
        if client is None:
            client = self._clients[endpoint] = AsyncClient(endpoint, **self._options)
        return client

    @property
    def calls(self) -> Calls:
        """Makes native calls."""
        return self._client().calls

    def bucket(self, name: str) -> AsyncBucket:
        """A bucket."""
        return self._client().bucket(name, self.provider)

    def object(self, path: str) -> AsyncObject:
        """An object.

        Raises:
            IsADirectoryError: The path names no object, but a bucket or nothing.
        """
        bucket, name = split(path)
        if not name:
            raise IsADirectoryError(f"ais://{path}: expected ais://bucket/object")
        return self.bucket(bucket).object(name)

    async def list_buckets(self) -> list[str]:
        """Names of all buckets of the provider."""
        return [found.name for found in await self._client().list_buckets(self.provider)]
