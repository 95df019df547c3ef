"""The cluster as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from aistore.sdk import const
from aistore.sdk.enums import LogSeverity, NodeFilter
from aistore.sdk.errors import AISError
from aistore.sdk.provider import Provider
from aistore.sdk.types import ActionMsg, BucketModel, ETLInfo, JobQuery, JobStatus, Smap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aistore.sdk.request_client import RequestClient
    from aistore.sdk.response import Response


class Cluster:
    """Queries about the cluster.

    Args:
        client: Sends the requests.
    """

    def __init__(self, client: RequestClient) -> None:
        self._client = client

    def __repr__(self) -> str:
        return f"Cluster({self._client.endpoint!r})"

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

    def list_jobs_status(self, job_kind: str = "", target_id: str = "") -> list[JobStatus]:
        """Where the jobs stand that run or ran a short while ago.

        Args:
            job_kind: Only jobs of this kind.
            target_id: Only jobs of this target.
        """
        answer = self._query_jobs(const.WHAT_ALL_XACT_STATUS, job_kind, target_id, active=False)
        return TypeAdapter(list[JobStatus] | None).validate_json(answer.content) or []

    def list_running_jobs(self, job_kind: str = "", target_id: str = "") -> list[str]:
        """The jobs that run, as `kind[id]`.

        Args:
            job_kind: Only jobs of this kind.
            target_id: Only jobs of this target.
        """
        answer = self._query_jobs(const.WHAT_ALL_RUNNING_STATUS, job_kind, target_id, active=True)
        return TypeAdapter(list[str] | None).validate_json(answer.content) or []

    def list_etls(self, stages: Sequence[str] = (const.ETL_STAGE_RUNNING,)) -> list[ETLInfo]:
        """The transformers of the cluster.

        Args:
            stages: Only those in one of these.
        """
        answer = self._client.request("GET", const.URL_PATH_ETL)
        found = TypeAdapter(list[ETLInfo] | None).validate_json(answer.content) or []
        return [etl for etl in found if etl.stage in stages]

    def _query_jobs(self, what: str, kind: str, target: str, *, active: bool) -> Response:
        return self._client.request(
            "GET",
            const.URL_PATH_CLUSTER,
            params={const.QPARAM_WHAT: what},
            json=JobQuery(kind=kind, target=target, active=active).as_dict(),
        )

    def get_performance(self) -> dict[str, dict[str, object]]:
        """Status and counters of every target, by its id."""
        params = {const.QPARAM_WHAT: const.WHAT_NODE_STATS_AND_STATUS}
        return {node: self._ask_node(node, params).json() for node in self.get_info().tmap}

    def get_node_log(self, node_id: str, severity: LogSeverity | str = LogSeverity.INFO) -> str:
        """The current log of a node.

        Args:
            node_id: The node.
            severity: Which of its logs.
        """
        return self._ask_node(node_id, _log_params(severity)).text

    def get_node_log_archive(
        self, node_id: str, severity: LogSeverity | str = LogSeverity.INFO
    ) -> bytes:
        """All logs of a node, the rotated ones included, as a `.tar.gz`.

        Args:
            node_id: The node.
            severity: Which of its logs.
        """
        params = {**_log_params(severity), const.QPARAM_LOGS_ALL: "true"}
        return self._ask_node(node_id, params).content

    def get_cluster_logs(
        self,
        severity: LogSeverity | str = LogSeverity.INFO,
        role: NodeFilter | str = NodeFilter.TARGET,
    ) -> dict[str, str]:
        """The current logs of many nodes, by the node's id.

        Args:
            severity: Which of their logs.
            role: Which nodes.
        """
        smap, role = self.get_info(), NodeFilter(role)
        nodes = [
            *(smap.tmap if role is not NodeFilter.PROXY else ()),
            *(smap.pmap if role is not NodeFilter.TARGET else ()),
        ]
        return {node: self.get_node_log(node, severity) for node in nodes}

    def _ask_node(self, node_id: str, params: dict[str, str]) -> Response:
        headers = {const.AIS_NODE_ID: node_id}
        return self._client.request(
            "GET", const.URL_PATH_REVERSE_DAEMON, headers=headers, params=params
        )


def _log_params(severity: LogSeverity | str) -> dict[str, str]:
    return {
        const.QPARAM_WHAT: const.WHAT_LOG,
        const.QPARAM_LOG_SEVERITY: LogSeverity(severity).value,
    }
