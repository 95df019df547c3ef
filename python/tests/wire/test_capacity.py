"""Watermarks: what a disk that is fuller than configured refuses, and what goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support import Answer, Wire, ended, fetch, wait_until

import aistore
from aistore.sdk import Bucket

# Whatever the machine's disk holds, it is more than one per cent of it.
LOWEST = {f"space.{mark}": "1" for mark in ("cleanupwm", "lowwm", "highwm")}


@pytest.fixture(autouse=True)
def reset(wire: Wire) -> Iterator[None]:
    if max_fill(wire) < 2:
        pytest.skip("the disk is almost empty")
    yield
    assert wire.send("PUT", "/v1/cluster", action={"action": "reset-config"}).status == 200


@pytest.fixture
def path(bucket: Bucket) -> str:
    return f"/v1/objects/{bucket.name}"


def max_fill(wire: Wire) -> int:
    fills = []
    for target in targets(wire):
        headers = {"Ais-Node-Id": target}
        disk = wire.send("GET", "/v1/reverse/daemon", what="node_status", headers=headers).json()
        fills.append(int(disk["capacity"]["pct_max"]))
    return min(fills)


def targets(wire: Wire) -> list[str]:
    return sorted(wire.send("GET", "/v1/daemon", what="smap").json()["tmap"])


def fill_up(wire: Wire) -> None:
    """Has the disks count as out of space."""
    pairs = LOWEST | {"space.out_of_space": "1"}
    assert wire.send("PUT", "/v1/cluster/set-config", **pairs).status == 200


def run_low(wire: Wire) -> None:
    """Has the disks count as low on space."""
    assert wire.send("PUT", "/v1/cluster/set-config", **LOWEST).status == 200


def make_room(wire: Wire) -> None:
    assert wire.send("PUT", "/v1/cluster", action={"action": "reset-config"}).status == 200


def refused(answer: Answer, setting: str) -> None:
    assert answer.status == 507, answer.body
    error = answer.json()
    assert error["tcode"] == "ErrCapExceeded"
    assert setting in error["message"], error
    assert "mountpath" in error["message"], error


def test_out_of_space_stops_writes_and_nothing_else(wire: Wire, path: str) -> None:
    for name in ("old", "doomed"):
        assert wire.follow("PUT", f"{path}/{name}", body=b"bytes").status == 200
    upload = wire.follow("POST", f"{path}/big", action={"action": "mpt-upload"}).body.decode()
    handle = wire.follow("PUT", f"{path}/log?append_type=append", body=b"x").header(
        "ais-append-handle"
    )
    fill_up(wire)
    bucket = path.rsplit("/", 1)[-1]
    part = f"{path}/big?uploadId={upload}&partNumber=1"
    copy = f"{path}/old?object_to=ais/@%23/{bucket}/copy"
    more = f"{path}/log?append_type=append&append_handle={handle}"
    for url in (f"{path}/new", f"{path}/old", part, f"{path}/log2?append_type=append"):
        refused(wire.follow("PUT", url, body=b"other"), "space.out_of_space")
    refused(wire.follow("PUT", more, body=b"y"), "space.out_of_space")
    refused(wire.follow("PUT", copy), "space.out_of_space")

    assert wire.follow("GET", f"{path}/old").body == b"bytes"
    assert wire.follow("HEAD", f"{path}/old").status == 200
    assert wire.follow("DELETE", f"{path}/doomed").status == 200
    assert wire.follow("GET", f"{path}/new").status == 404
    patch = {"action": "", "value": {"k": "v"}}
    assert wire.follow("PATCH", f"{path}/old", action=patch).status in {200, 204}

    make_room(wire)
    assert wire.follow("PUT", f"{path}/new", body=b"other").status == 200
    assert wire.follow("PUT", part, body=b"other").status == 200
    assert wire.follow("PUT", copy).status == 200
    assert wire.follow("PUT", more, body=b"y").status == 200


def test_low_space_stops_jobs_but_not_puts(
    wire: Wire, path: str, cluster: aistore.LocalCluster
) -> None:
    bucket = path.rsplit("/", 1)[-1]
    assert wire.follow("PUT", f"{path}/old", body=b"bytes").status == 200
    source = Path(cluster.promote_root) / bucket
    source.mkdir(parents=True)
    (source / "file").write_bytes(b"x")
    promote = {"action": "promote", "name": str(source), "value": {}}
    run_low(wire)
    assert wire.follow("PUT", f"{path}/new", body=b"bytes").status == 200
    base = f"/v1/buckets/{bucket}"
    to = f"ais/@#/{bucket}-to/"
    for action in ("copy-bck", "move-bck"):
        answer = wire.send("POST", base, action={"action": action, "value": {}}, bck_to=to)
        refused(answer, "space.highwm")
    answer = wire.send("POST", base, action={"action": "make-n-copies", "value": 2})
    refused(answer, "space.highwm")
    mirror = {"action": "set-bprops", "value": {"mirror": {"enabled": True, "copies": 2}}}
    refused(wire.send("PATCH", base, action=mirror), "space.highwm")
    refused(wire.send("POST", path, action=promote), "space.highwm")
    props = wire.send("HEAD", base).header("ais-bucket-props") or ""
    assert '"enabled":true,"copies"' not in props.replace(" ", "")
    names = [b["name"] for b in wire.send("GET", "/v1/buckets", action={"action": "list"}).json()]
    assert f"{bucket}-to" not in names

    make_room(wire)
    answer = wire.send("POST", path, action=promote)
    assert answer.status == 200
    ended(wire, answer.body.decode())
    assert wire.follow("GET", f"{path}/file").body == b"x"


def test_one_target_can_have_limits_of_its_own(wire: Wire, path: str) -> None:
    headers = {"Ais-Node-Id": targets(wire)[0]}
    pairs = LOWEST | {"space.out_of_space": "1", "transient": "true"}
    set_config = "/v1/reverse/daemon/set-config"
    assert wire.send("PUT", set_config, headers=headers, **pairs).status == 200
    try:
        puts = [wire.follow("PUT", f"{path}/o{i}", body=b"x").status for i in range(48)]
        assert set(puts) == {200, 507}
        status = wire.send("GET", "/v1/reverse/daemon", what="node_status", headers=headers).json()
        assert status["cluster"]["flags"] & 256, status["cluster"]
    finally:
        action = {"action": "reset-config"}
        done = wire.send("PUT", "/v1/reverse/daemon", headers=headers, action=action)
        assert done.status == 200
    again = [wire.follow("PUT", f"{path}/o{i}", body=b"x").status for i in range(48)]
    assert set(again) == {200}


def test_a_disk_that_fills_up_is_cleaned(wire: Wire) -> None:
    def cleaned() -> bool:
        return all(count > 0 for count in cleanups(wire).values())

    run_low(wire)
    wait_until(cleaned, "a clean-up on each target")
    before = cleanups(wire)
    # Not over and over, however full the disk is.
    assert wire.send("PUT", "/v1/cluster/set-config", **LOWEST).status == 200
    assert cleanups(wire) == before


def cleanups(wire: Wire) -> dict[str, float]:
    """Clean-ups so far, by target."""
    found = {}
    for target, node in wire.send("GET", "/v1/daemon", what="smap").json()["tmap"].items():
        lines = fetch(f"{node['public_net']['direct_url']}/metrics").decode().splitlines()
        counts = [line for line in lines if line.startswith("ais_space_cleanups")]
        found[target] = float(counts[0].split()[1])
    return found
