"""The cluster as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from aistore.sdk import const
from aistore.sdk.errors import AISError
from aistore.sdk.provider import Provider
from aistore.sdk.types import ActionMsg, BucketModel, Smap

if TYPE_CHECKING:
    from aistore.sdk.request_client import RequestClient


class Cluster:
    """Queries about the cluster.

    Args:
        client: Sends the requests.
    """

    def __init__(self, client: RequestClient) -> None:
        self._client = client

    @property
    def client(self) -> RequestClient:
        """Sends the requests."""
        return self._client

    def get_info(self) -> Smap:
        """The cluster map, as of now."""
        params = {const.QPARAM_WHAT: const.WHAT_SMAP}
        answer = self._client.request("GET", const.URL_PATH_DAEMON, params=params)
        return Smap.model_validate_json(answer.content)

    def get_primary_url(self) -> str:
        """URL of the primary gateway."""
        return self.get_info().proxy_si.public_net.direct_url

    def get_uuid(self) -> str:
        """Identity of the cluster."""
        return self.get_info().uuid

    def list_buckets(self, provider: str | Provider = Provider.AIS) -> list[BucketModel]:
        """Buckets of one provider; of all of them with an empty string.

        Raises:
            InvalidBckProvider: The provider is unknown.
        """
        params = {}
        if provider:
            params[const.QPARAM_PROVIDER] = Provider.parse(provider).value
        answer = self._client.request(
            "GET",
            const.URL_PATH_BUCKETS,
            params=params,
            json=ActionMsg(action=const.ACT_LIST).model_dump(),
        )
        return TypeAdapter(list[BucketModel]).validate_json(answer.content)

    def is_ready(self) -> bool:
        """Whether the primary answers and its cluster has started."""
        try:
            self._client.request(
                "GET",
                const.URL_PATH_HEALTH,
                endpoint=self.get_primary_url(),
                params={const.QPARAM_PRIMARY_READY_REB: "true"},
            )
        except (AISError, ValueError):
            return False
        return True

    def get_performance(self) -> dict[str, dict[str, object]]:
        """Status and counters of every target, by its id."""
        found: dict[str, dict[str, object]] = {}
        for node_id in self.get_info().tmap:
            answer = self._client.request(
                "GET",
                "reverse/daemon",
                headers={const.AIS_NODE_ID: node_id},
                params={const.QPARAM_WHAT: "node_status"},
            )
            found[node_id] = answer.json()
        return found
