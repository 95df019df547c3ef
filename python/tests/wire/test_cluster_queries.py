"""Every `what=` of cluster and nodes, health, statistics and logs."""

from __future__ import annotations

import io
import re
import tarfile
from typing import Any

import msgpack
import pytest
from support import Answer, Wire, fetch, wait_until

import aistore
from aistore.sdk import Bucket, Client

VERBOSE = {"log.level": "4", "transient": "true"}
MSGPACK = {"Accept": "application/msgpack"}


def smap(wire: Wire) -> Any:
    return wire.send("GET", "/v1/daemon", what="smap").json()


def ask(
    wire: Wire, node: str, what: str, headers: dict[str, str] | None = None, **q: str
) -> Answer:
    headers = {"Ais-Node-Id": node, **(headers or {})}
    return wire.send("GET", "/v1/reverse/daemon", what=what, headers=headers, **q)


def target(wire: Wire) -> str:
    return min(smap(wire)["tmap"])


def gateway(wire: Wire) -> str:
    return min(smap(wire)["pmap"])


def test_the_map_is_the_same_everywhere(wire: Wire) -> None:
    got = smap(wire)
    assert got == wire.send("GET", "/v1/cluster", what="smap").json()
    assert got == ask(wire, target(wire), "smap").json()
    assert got["proxy_si"] in got["pmap"].values()
    assert isinstance(got["version"], str)
    node = got["tmap"][target(wire)]
    assert set(node) >= {
        "daemon_id",
        "daemon_type",
        "public_net",
        "intra_control_net",
        "id_digest",
        "flags",
    }
    assert set(node["public_net"]) == {"node_ip_addr", "daemon_port", "direct_url"}
    assert wire.send("GET", "/v1/daemon", what="snode").json() == got["proxy_si"]


def test_bucket_metadata(wire: Wire, bucket: Bucket) -> None:
    got = wire.send("GET", "/v1/cluster", what="bmd").json()
    assert got == wire.send("GET", "/v1/daemon", what="bmd").json()
    props = got["providers"]["ais"]["@#"][bucket.name]
    assert props["provider"] == "ais"
    assert int(got["version"]) > 0


@pytest.mark.parametrize("role", ["target", "gateway"])
def test_node_status_in_both_encodings(wire: Wire, role: str) -> None:
    node = target(wire) if role == "target" else gateway(wire)
    got = ask(wire, node, "node_status").json()
    assert (got["status"], got["ais_version"], got["deployment"]) == ("", "5.0", "linux")
    assert got["snode"]["daemon_id"] == node
    assert got["tracker"]["up.ns.time"] > 0
    assert got["cluster"]["flags"] == 6
    assert isinstance(got["smap_version"], str)
    assert got["sys_info"]["mem"]["Total"] > 0
    if role == "gateway":
        assert got["capacity"]["mountpaths"] is None
        assert got["capacity"]["total_used"] == "0"
    else:
        assert len(got["capacity"]["mountpaths"]) == 2
    answer = ask(wire, node, "node_status", MSGPACK)
    assert answer.header("content-type") == "application/msgpack"
    packed = msgpack.unpackb(answer.body)
    assert set(packed) >= {"s", "d", "v", "b", "k", "n", "t", "x", "c", "y", "w"}
    assert packed["w"] == int(got["smap_version"])
    assert packed["n"]["g"] == got["snode"]["id_digest"]
    assert packed["c"]["s"]["Version"] == packed["w"]
    assert packed["c"]["f"] == 6
    assert isinstance(packed["y"]["p"], float)
    for path, entry in (got["capacity"]["mountpaths"] or {}).items():
        short = packed["x"]["m"][path]
        assert short["f"]["i"] == [int(half) for half in entry["fs"]["FsID"].split(",")]
        assert set(short["Capacity"]) == {"u", "a", "p"}


def test_counters_are_cumulative_and_can_be_reset(wire: Wire, bucket: Bucket) -> None:
    def total(name: str) -> int:
        stats = wire.send("GET", "/v1/cluster", what="node_stats").json()
        return sum(node["tracker"].get(name, 0) for node in stats["target"].values())

    wire.send("PUT", "/v1/cluster", action={"action": "reset-stats", "value": False})
    for i in range(5):
        bucket.object(f"o{i}").get_writer().put_content(b"0123456789")
    for i in range(3):
        bucket.object(f"o{i}").get_reader().read_all()
    wire.follow("GET", f"/v1/objects/{bucket.name}/absent")
    assert (total("put.n"), total("put.size")) == (5, 50)
    assert (total("get.n"), total("get.size")) == (3, 30)
    assert total("get.ns.total") > 0
    assert total("err.get.n") == 1
    kinds = ask(wire, target(wire), "metrics").json()
    assert (kinds["get.n"], kinds["get.size"], kinds["get.ns.total"]) == (
        "counter",
        "size",
        "total",
    )
    wire.send("PUT", "/v1/cluster", action={"action": "reset-stats", "value": True})
    assert (total("err.get.n"), total("get.n")) == (0, 3)
    wire.send("PUT", "/v1/cluster", action={"action": "reset-stats", "value": False})
    assert (total("get.n"), total("put.size")) == (0, 0)


def test_every_name_has_a_kind_and_redirects_and_versions_count(
    wire: Wire, client: Client, bucket: Bucket
) -> None:
    def total(name: str) -> int:
        stats = wire.send("GET", "/v1/cluster", what="node_stats").json()
        return sum(node["tracker"].get(name, 0) for node in stats["target"].values())

    wire.send("PUT", "/v1/cluster", action={"action": "reset-stats", "value": False})
    path = f"/v1/objects/{bucket.name}/o"
    for body in (b"one", b"four", b"seven"):
        assert wire.follow("PUT", path, body=body).status == 200
    assert wire.follow("GET", path).body == b"seven"
    # Two of the three took the place of another version.
    assert (total("ver.change.n"), total("ver.change.size")) == (2, 9)
    assert 0 < total("get.redir.ns") < 60_000_000_000
    assert 0 < total("put.redir.ns") < total("e2e.put.ns.total")
    assert total("e2e.put.ns.total") >= total("put.redir.ns") + total("put.ns.total")
    # A time that cannot be is not counted.
    before = total("get.redir.ns")
    node = wire.send("GET", path, provider="ais").header("location") or ""
    for utm in ("zzzzzzzzzzzz", "1", "-"):
        where = node.split("utm=")[0] + f"utm={utm}"
        base, _, rest = where.partition("/v1/")
        assert wire.send("GET", f"/v1/{rest}", base=base).status == 200
    assert total("get.redir.ns") == before
    assert total("err.io.get.n") == 0

    unversioned = client.bucket(f"{bucket.name}-u").create()
    try:
        patch = {"action": "set-bprops", "value": {"versioning": {"enabled": False}}}
        wire.send("PATCH", f"/v1/buckets/{unversioned.name}", action=patch)
        for body in (b"a", b"b"):
            wire.follow("PUT", f"/v1/objects/{unversioned.name}/o", body=body)
        assert total("ver.change.n") == 2
    finally:
        unversioned.delete()

    kinds = ask(wire, target(wire), "metrics").json()
    for node in wire.send("GET", "/v1/cluster", what="node_stats").json()["target"].values():
        assert set(node["tracker"]) <= set(kinds)
    expected = {
        "err.io.get.n": "counter",
        "err.io.put.n": "counter",
        "err.io.del.n": "counter",
        "err.fshc.n": "counter",
        "ver.change.n": "counter",
        "ver.change.size": "size",
        "get.redir.ns": "latency",
        "put.redir.ns": "latency",
        "e2e.put.ns.total": "total",
        "state.flags": "gauge",
        "up.ns.time": "special",
    }
    assert {name: kinds[name] for name in expected} == expected
    url = smap(wire)["tmap"][target(wire)]["public_net"]["direct_url"]
    text = fetch(f"{url}/metrics").decode()
    for name in ("version_changes_total", "read_io_errors_total", "mountpath_checks_total"):
        assert f"ais_{name}" in text
    assert "ais_get_redirect_duration_seconds_bucket" in text


def test_node_stats(wire: Wire) -> None:
    got = ask(wire, target(wire), "node_stats").json()
    assert set(got) == {"snode", "tracker", "capacity"}
    packed = msgpack.unpackb(ask(wire, target(wire), "node_stats", MSGPACK).body)
    assert set(packed) == {"n", "t", "x"}
    whole = wire.send("GET", "/v1/cluster", what="node_stats").json()
    assert set(whole) == {"proxy", "target"}
    assert set(whole["target"]) == set(smap(wire)["tmap"])
    assert whole["proxy"]["snode"]["daemon_type"] == "proxy"


def test_small_answers(wire: Wire) -> None:
    node = target(wire)
    assert ask(wire, node, "software_version").body == b"5.0"
    assert wire.send("GET", "/v1/cluster", what="backends").json() == []
    assert wire.send("GET", "/v1/cluster", what="remote").json() == {"a": None, "ver": 0}
    assert wire.send("GET", "/v1/cluster", what="running_all").json() == []
    hosts = wire.send("GET", "/v1/cluster", what="target_ips").body.decode().split(",")
    assert len(hosts) == 3 * len(smap(wire)["tmap"])
    for node in (target(wire), gateway(wire)):
        assert ask(wire, node, "tls_certificate").status == 404
    system = wire.send("GET", "/v1/cluster", what="sysinfo").json()
    assert set(system) == {"proxy", "target"}
    for record in system["target"].values():
        assert int(record["fs_capacity"]) > 0
        assert isinstance(record["pct_fs_used"], float)


def test_unknown_questions(wire: Wire) -> None:
    for path in ("/v1/cluster", "/v1/daemon"):
        answer = wire.send("GET", path, what="weather")
        assert answer.status == 400
        assert "weather" in answer.json()["message"]
    assert ask(wire, target(wire), "weather").status == 400
    assert wire.send("GET", "/v1/reverse/daemon", what="smap").status == 400
    missing = ask(wire, "t0000000", "smap")
    assert (missing.status, missing.json()["tcode"]) == (404, "errNodeNotFound")


def test_node_config_has_local_keys(wire: Wire) -> None:
    got = ask(wire, target(wire), "config").json()
    cluster = wire.send("GET", "/v1/cluster", what="cluster_config").json()
    assert got["uuid"] == cluster["uuid"]
    assert len(got["fspaths"]) == 2
    assert got["confdir"]
    assert got["log_dir"]
    port = smap(wire)["tmap"][target(wire)]["public_net"]["daemon_port"]
    assert got["host_net"]["port"] == port


@pytest.mark.parametrize("role", ["target", "gateway"])
def test_logs(wire: Wire, role: str) -> None:
    node = target(wire) if role == "target" else gateway(wire)
    assert wire.send("PUT", "/v1/cluster/set-config", **VERBOSE).status == 200
    assert ask(wire, node, "weather").status == 400
    wait_until(lambda: b"weather" in ask(wire, node, "log").body, "the refusal is in the log")
    answer = ask(wire, node, "log", severity="info")
    assert (answer.status, answer.header("content-length")) == (200, str(len(answer.body)))
    rest = ask(wire, node, "log", offset="10")
    assert answer.body[10:] == rest.body[: len(answer.body) - 10]
    assert ask(wire, node, "log", severity="error").status == 200
    assert ask(wire, node, "log", severity="warning").status == 200
    assert ask(wire, node, "log", severity="debug").status == 400
    assert ask(wire, node, "log", offset=str(1 << 40)).status == 400
    assert ask(wire, node, "log", offset="x").status == 400
    wire.send("PUT", "/v1/cluster", action={"action": "rotate-logs"})
    assert b"weather" not in ask(wire, node, "log").body
    packed = ask(wire, node, "log", all="true")
    assert packed.status == 200
    with tarfile.open(fileobj=io.BytesIO(packed.body), mode="r:gz") as archive:
        names = archive.getnames()
        assert len(names) >= 2
        assert names[-1] == "aisnode.INFO"
        last = archive.extractfile(names[-2])
        assert last
        assert b"weather" in last.read()
    assert wire.send("PUT", "/v1/cluster", action={"action": "reset-config"}).status == 200


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({}, 200),
        ({"readiness": "true"}, 200),
        ({"prr": "true"}, 200),
        ({"apr": "true"}, 200),
        ({"cii": "true"}, 200),
        ({"cii-apr": "true"}, 200),
        ({"cii": "true", "prr": "true"}, 400),
    ],
)
def test_health(wire: Wire, query: dict[str, str], status: int) -> None:
    answer = wire.send("GET", "/v1/health", **query)
    assert answer.status == status
    if status == 200:
        assert int(answer.header("ais-node-uptime") or 0) > 0
        assert int(answer.header("ais-cluster-uptime") or 0) > 0
        cii = any(key.startswith("cii") for key in query)
        assert bool(answer.body) == cii
        if cii:
            assert answer.json()["flags"] == 6
    node = smap(wire)["tmap"][target(wire)]["public_net"]["direct_url"]
    if "cii-apr" in query or "prr" in query:
        status = 400
    assert wire.send("GET", "/v1/health", base=node, **query).status == status


def test_every_node_tells_the_uptime_of_the_cluster(own_cluster: aistore.LocalCluster) -> None:
    wire = Wire(own_cluster.endpoint)
    own_cluster.kill_target(0)
    own_cluster.restart_target(0)
    primary = int(wire.send("GET", "/v1/health").header("ais-cluster-uptime") or 0)
    urls = [node["public_net"]["direct_url"] for node in smap(wire)["tmap"].values()]

    def ages() -> list[tuple[int, int]]:
        answers = [wire.send("GET", "/v1/health", base=url) for url in urls]
        names = ("ais-node-uptime", "ais-cluster-uptime")
        pairs = [[int(one.header(name) or 0) for name in names] for one in answers]
        return [(node, cluster) for node, cluster in pairs]

    wait_until(lambda: all(age[1] >= primary for age in ages()), "every node knows", 30)
    assert any(cluster > node + 50_000_000 for node, cluster in ages())


def test_the_build_is_dated(wire: Wire) -> None:
    built = ask(wire, target(wire), "node_status").json()["build_time"]
    assert built == "unknown" or re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}[+]0000", built)
