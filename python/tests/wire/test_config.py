"""Setting configuration: cluster and node, kept and transient, good and refused."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
from support import Answer, Wire, wait_until

import aistore


@pytest.fixture(autouse=True)
def reset(wire: Wire) -> Iterator[None]:
    yield
    assert wire.send("PUT", "/v1/cluster", action={"action": "reset-config"}).status == 200


def config(wire: Wire) -> Any:
    return wire.send("GET", "/v1/cluster", what="cluster_config").json()


def node_config(wire: Wire, node: str) -> Any:
    headers = {"Ais-Node-Id": node}
    return wire.send("GET", "/v1/reverse/daemon", what="config", headers=headers).json()


def a_target(wire: Wire) -> str:
    return min(wire.send("GET", "/v1/daemon", what="smap").json()["tmap"])


def set_pairs(wire: Wire, **pairs: str) -> Answer:
    return wire.send("PUT", "/v1/cluster/set-config", **pairs)


def set_node(wire: Wire, node: str, **pairs: str) -> Answer:
    headers = {"Ais-Node-Id": node}
    return wire.send("PUT", "/v1/reverse/daemon/set-config", headers=headers, **pairs)


def test_every_section_is_there(wire: Wire) -> None:
    got = config(wire)
    sections = (
        "backend mirror ec chunks log periodic timeout client proxy space lru disk rebalance resilver checksum "
        "versioning net fshc auth keepalivetracker downloader distributed_sort transport memsys tcb tco arch lso "
        "write_policy rate_limit get_batch scrub"
    )
    for section in sections.split():
        assert isinstance(got[section], dict), section
    assert got["features"] == "0"
    assert got["uuid"]
    assert int(got["config_version"]) > 0
    # An embedded cluster begins with 98; 90 is the default, to which other tests go back.
    assert got["space"]["highwm"] in (90, 98)
    assert got["checksum"]["type"] == "xxhash2"
    assert (got["lru"]["dont_evict_time"], got["log"]["max_size"]) == ("2h0m", "64MiB")


def test_pairs_are_case_insensitive_and_versioned(wire: Wire) -> None:
    before = config(wire)
    answer = set_pairs(wire, **{"LRU.Enabled": "yes", "log.stats_time": "90s"})
    assert (answer.status, answer.body) == (200, b"")
    after = config(wire)
    assert (after["lru"]["enabled"], after["log"]["stats_time"]) == (True, "1m30s")
    assert int(after["config_version"]) == int(before["config_version"]) + 1
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", after["lastupdate_time"])


def test_json_form_and_reset(wire: Wire) -> None:
    value = {"mirror": {"copies": 3}, "features": "16", "lru": None}
    answer = wire.send("PUT", "/v1/cluster", action={"action": "set-config", "value": value})
    assert answer.status == 200
    got = config(wire)
    assert (got["mirror"]["copies"], got["features"]) == (3, "16")
    assert wire.send("PUT", "/v1/cluster", action={"action": "reset-config"}).status == 200
    got = config(wire)
    assert (got["mirror"]["copies"], got["features"]) == (2, "0")


@pytest.mark.parametrize(
    ("pairs", "text"),
    [
        ({}, "KEY=VALUE"),
        ({"lru.enable": "true"}, "lru.enable"),
        ({"colour": "red"}, "colour"),
        ({"lru.enabled": "perhaps"}, "perhaps"),
        ({"space.highwm": "101"}, "space.highwm"),
        ({"space.highwm": "many"}, "many"),
        ({"log.flush_time": "10"}, "log.flush_time"),
        ({"checksum.type": "sha1"}, "sha1"),
        ({"write_policy.data": "soon"}, "soon"),
        ({"net.http.write_buffer_size": "1"}, "read-only"),
        ({"keepalivetracker.proxy.name": "x"}, "read-only"),
        ({"uuid": "x"}, "read-only"),
        ({"keepalivetracker.proxy.interval": "1s"}, "timeout.max_keepalive"),
        ({"features": "6144"}, "Disable-Cold-GET"),
    ],
)
def test_bad_pairs(wire: Wire, pairs: dict[str, str], text: str) -> None:
    before = config(wire)
    answer = set_pairs(wire, **pairs)
    assert answer.status == 400
    assert text in answer.json()["message"]
    assert config(wire) == before


def test_one_node_has_settings_of_its_own(wire: Wire) -> None:
    node = a_target(wire)
    default = config(wire)["space"]["highwm"]
    assert set_node(wire, node, **{"space.highwm": "91"}).status == 200
    assert set_node(wire, node, **{"log.level": "4", "transient": "true"}).status == 200
    got = node_config(wire, node)
    assert (got["space"]["highwm"], got["log"]["level"]) == (91, "4")
    assert config(wire)["space"]["highwm"] == default
    headers = {"Ais-Node-Id": node}
    action = {"action": "reset-config"}
    assert wire.send("PUT", "/v1/reverse/daemon", action=action, headers=headers).status == 200
    got = node_config(wire, node)
    assert (got["space"]["highwm"], got["log"]["level"]) == (default, "3")


SHARED = (
    "checksum.type=md5 tcb.burst_buffer=64 tco.burst_buffer=64 arch.burst_buffer=64 lso.burst_buffer=64 "
    "rebalance.enabled=false ec.enabled=true get_batch.max_gfn=1 transport.burst_buffer=512 chunks.chunk_size=1MiB "
    "mirror.copies=3 periodic.stats_time=5s auth.client_auth_required=true proxy.primary_url=x net.use_ipv6=true "
    "features=16 versioning.enabled=false"
)


@pytest.mark.parametrize("pair", SHARED.split())
def test_settings_of_the_cluster_are_not_a_nodes(wire: Wire, pair: str) -> None:
    key, value = pair.split("=")
    answer = set_node(wire, a_target(wire), **{key: value})
    assert answer.status == 400
    assert key.split(".")[0] in answer.json()["message"]
    transient = set_pairs(wire, **{key: value, "transient": "true"})
    assert transient.status == (501 if key.split(".")[0] in {"auth", "net"} else 400)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("memsys.hk_time", "1m"),
        ("keepalivetracker.num_retries", "4"),
        ("timeout.max_keepalive", "6s"),
        ("timeout.cplane_operation", "1s"),
    ],
)
def test_what_is_read_at_start_is_not_transient(wire: Wire, key: str, value: str) -> None:
    answer = set_pairs(wire, **{key: value, "transient": "true"})
    assert answer.status == 501
    assert set_node(wire, a_target(wire), **{key: value, "transient": "true"}).status == 501


def test_a_transient_change_reaches_all_nodes_and_no_metadata(wire: Wire) -> None:
    before = config(wire)
    assert set_pairs(wire, **{"space.lowwm": "76", "transient": "true"}).status == 200
    assert config(wire) == before
    smap = wire.send("GET", "/v1/daemon", what="smap").json()
    for node in [*smap["tmap"], *smap["pmap"]]:
        assert node_config(wire, node)["space"]["lowwm"] == 76
    value = {"space": {"lowwm": 77}}
    action = {"action": "set-config", "value": value}
    assert wire.send("PUT", "/v1/cluster", action=action, transient="true").status == 200
    assert node_config(wire, a_target(wire))["space"]["lowwm"] == 77


@pytest.mark.parametrize(
    ("action", "status"),
    [
        ({"action": "rotate-logs"}, 200),
        ({"action": "reset-stats", "value": True}, 200),
        ({"action": "reset-stats", "value": "x"}, 400),
        ({"action": "reload-creds"}, 200),
        ({"action": "reload-creds", "name": "aws"}, 200),
        ({"action": "reload-creds", "name": "ftp"}, 400),
        ({"action": "clear-lcache"}, 200),
        ({"action": "clear-lcache", "name": "t1234567"}, 501),
        ({"action": "dance"}, 400),
    ],
)
def test_cluster_actions(wire: Wire, action: dict[str, Any], status: int) -> None:
    answer = wire.send("PUT", "/v1/cluster", action=action)
    assert answer.status == status
    if status == 200:
        assert answer.body == b""


def test_changes_go_through_a_gateway(wire: Wire) -> None:
    smap = wire.send("GET", "/v1/daemon", what="smap").json()
    target = next(iter(smap["tmap"].values()))["public_net"]["direct_url"]
    assert (
        wire.send("PUT", "/v1/daemon/set-config", base=target, **{"log.level": "4"}).status == 403
    )
    unknown = set_node(wire, "t0000000", **{"log.level": "4"})
    assert (unknown.status, unknown.json()["tcode"]) == (404, "errNodeNotFound")
    assert wire.send("PUT", "/v1/reverse/daemon/set-config", **{"log.level": "4"}).status == 400
    assert wire.send("DELETE", "/v1/cluster").status == 403


def test_statistics_go_to_the_log_as_often_as_configured(wire: Wire) -> None:
    assert set_pairs(wire, **{"log.stats_time": "1s"}).status == 200

    def told() -> bool:
        log = wire.send("GET", "/v1/daemon", what="log", severity="info").body
        return b"statistics" in log

    wait_until(told, "a line of statistics")


def test_a_hung_target_is_noticed_as_fast_as_configured(own_cluster: aistore.LocalCluster) -> None:
    wire = Wire(own_cluster.endpoint)
    pairs = {"timeout.cplane_operation": "100ms", "timeout.max_keepalive": "300ms"}
    pairs |= {f"keepalivetracker.{role}.interval": "1s" for role in ("proxy", "target")}
    pairs |= {"get_batch.max_wait": "1s", "client.client_timeout": "1s"}
    assert set_pairs(wire, **pairs).status == 200
    assert wire.send("POST", "/v1/buckets/b", action={"action": "create-bck"}).status == 200
    node = own_cluster.targets[0]
    os.kill(node.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        page = wire.send("GET", "/v1/buckets/b", action={"action": "list", "value": {}})
        assert page.status >= 500
        assert "sign of life" in page.json()["message"], page.body
        headers = {"Ais-Node-Id": node.node_id}
        stats = wire.send("GET", "/v1/reverse/daemon", what="node_stats", headers=headers)
        assert stats.status == 502
        assert wire.send("GET", "/v1/cluster", what="sysinfo").status == 200
        # With the defaults this takes 10 s and more for each of the three.
        assert time.monotonic() - began < 8
    finally:
        os.kill(node.pid, signal.SIGCONT)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("timeout.max_host_busy", "-1s"),
        ("client.client_timeout", "0s"),
        ("client.client_long_timeout", "10ms"),
        ("periodic.retry_sync_time", "0"),
        ("periodic.notif_time", "soon"),
        ("space.cleanupwm", "0"),
        ("space.highwm", "100"),
        ("space.out_of_space", "101"),
        ("space.lowwm", "-5"),
        ("space.highwm", "99999999999999999999"),
        ("log.level", "0"),
        ("get_batch.max_wait", "2h"),
        ("keepalivetracker.target.factor", "0"),
        ("checksum.type", "sha1"),
        ("features", "18446744073709551616"),
        ("features", "-1"),
        ("features", "1152921504606846976"),
        ("features", "F1"),
    ],
)
def test_nonsense_is_refused_with_key_value_and_remedy(wire: Wire, key: str, value: str) -> None:
    before = config(wire)
    answer = set_pairs(wire, **{"log.max_size": "1MiB", key: value})
    message = answer.json()["message"]
    assert answer.status == 400, message
    assert key in message, message
    assert value in message, message
    assert "expect" in message, message
    assert config(wire) == before
