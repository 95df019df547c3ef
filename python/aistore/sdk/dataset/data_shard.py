"""A set of shards that a stream of samples is read from."""

from __future__ import annotations

from dataclasses import dataclass, field

from aistore.sdk.bucket import Bucket
from aistore.sdk.client import Client
from aistore.sdk.provider import Provider


@dataclass
class DataShard:
    """Shards of one bucket.

    Args:
        client_url: URL of a gateway.
        bucket_name: Bucket.
        provider: Its provider.
        prefix: Only shards whose names start with it.
        etl_name: Transformer that each file passes through.
    """

    client_url: str
    bucket_name: str
    provider: Provider | str = Provider.AIS
    prefix: str = ""
    etl_name: str | None = None
    client: Client = field(init=False, repr=False)
    bucket: Bucket = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.client = Client(self.client_url)
        self.bucket = self.client.bucket(self.bucket_name, self.provider)
