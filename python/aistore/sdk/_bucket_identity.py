"""A bucket's identity, and requests to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from aistore.sdk import const
from aistore.sdk.ais_source import AISSource
from aistore.sdk.errors import InvalidBckProvider
from aistore.sdk.namespace import Namespace
from aistore.sdk.obj.object import BucketDetails, Object
from aistore.sdk.provider import Provider
from aistore.sdk.types import ActionMsg, BucketModel

if TYPE_CHECKING:
    from aistore.sdk.obj.object_props import ObjectProps
    from aistore.sdk.request_client import RequestClient
    from aistore.sdk.response import Response


class BucketIdentity(AISSource):
    """What every part of a bucket's interface stands on.

    Args:
        name: Name of the bucket.
        client: Sends the requests.
        provider: Where its data has its home.
        namespace: Namespace; None is the global one.
    """

    def __init__(
        self,
        name: str,
        client: RequestClient | None = None,
        provider: Provider | str = Provider.AIS,
        namespace: Namespace | None = None,
    ) -> None:
        self._client = client
        self._provider = Provider.parse(provider)
        self._namespace = namespace
        self._qparam = {const.QPARAM_PROVIDER: self._provider.value}
        if namespace:
            self._qparam[const.QPARAM_NAMESPACE] = namespace.get_path()
        self._set_name(name)

    def _set_name(self, name: str) -> None:
        self._name = name
        path = f"{self._provider.value}/{(self._namespace or Namespace()).get_path()}/{name}/"
        self._details = BucketDetails(name, self._provider, self._qparam, path)

    @property
    def client(self) -> RequestClient:
        """Sends the requests.

        Raises:
            ValueError: The bucket was made without a client.
        """
        if self._client is None:
            raise ValueError(f"bucket {self._name!r} has no client: make it with Client.bucket()")
        return self._client

    @client.setter
    def client(self, client: RequestClient) -> None:
        self._client = client

    @property
    def qparam(self) -> dict[str, str]:
        """Query parameters that select the bucket."""
        return self._qparam

    @property
    def provider(self) -> Provider:
        """Where the data has its home."""
        return self._provider

    @property
    def name(self) -> str:
        """Name of the bucket."""
        return self._name

    @property
    def namespace(self) -> Namespace | None:
        """Namespace; None is the global one."""
        return self._namespace

    @property
    def details(self) -> BucketDetails:
        """What objects need to know of the bucket."""
        return self._details

    def get_path(self) -> str:
        """`provider/@uuid#namespace/bucket/`."""
        return self._details.path

    def as_model(self) -> BucketModel:
        """Identity, as requests carry it."""
        return BucketModel(
            name=self._name, provider=self._provider.value, namespace=self._namespace
        )

    def __repr__(self) -> str:
        return f"Bucket('{self._provider.value}://{self._name}')"

    def object(self, obj_name: str, props: ObjectProps | None = None) -> Object:
        """An object of the bucket, whether it exists or not."""
        return Object(self.client, self._details, obj_name, props)

    def make_request(
        self,
        method: str,
        action: str,
        value: Any = None,
        params: dict[str, str] | None = None,
        name: str = "",
    ) -> Response:
        """Sends an action to the bucket."""
        return self.client.request(
            method,
            self.url_path,
            params={**self._qparam, **(params or {})},
            json=ActionMsg(action=action, name=name, value=value).model_dump(),
        )

    def verify_cloud_bucket(self) -> None:
        """Checks that the data's home is outside the cluster.

        Raises:
            InvalidBckProvider: It is not.
        """
        if self._provider is Provider.AIS:
            raise InvalidBckProvider(self._provider)

    @property
    def url_path(self) -> str:
        """`buckets/name`, percent-encoded."""
        return f"{const.URL_PATH_BUCKETS}/{quote(self._name, safe='')}"

    def _require_ais(self) -> None:
        if self._provider is not Provider.AIS:
            raise InvalidBckProvider(self._provider)
