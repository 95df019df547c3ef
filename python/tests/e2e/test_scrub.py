"""Damage at rest, on a whole cluster: found without anybody reading, repaired, told and counted."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import Wire, fetch, stored_blobs, wait_until

import aistore


@pytest.fixture
def single(tmp_path: Path) -> Iterator[aistore.LocalCluster]:
    """One gateway and one target with two mountpaths."""
    with aistore.LocalCluster(targets=1, mountpaths=2, root=tmp_path / "cluster") as running:
        yield running


def content(index: int) -> bytes:
    return bytes([index % 251]) * (300 + index * 40_000)


class Target:
    """The only target of a cluster."""

    def __init__(self, cluster: aistore.LocalCluster) -> None:
        self.wire = Wire(cluster.endpoint)
        nodes = self.wire.send("GET", "/v1/daemon", what="smap").json()["tmap"]
        [(self.id, node)] = nodes.items()
        self.url = node["public_net"]["direct_url"]
        folders = cluster.root.rglob("ais")
        self.paths = [folder.parent for folder in folders if (folder / "blobs").is_dir()]

    def create(self, bucket: str, **props: Any) -> None:
        action = {"action": "create-bck", "value": props}
        assert self.wire.send("POST", f"/v1/buckets/{bucket}", action=action).status == 200

    def put(self, bucket: str, index: int) -> None:
        path = f"/v1/objects/{bucket}/o{index}"
        assert self.wire.follow("PUT", path, body=content(index)).status == 200

    def flip(self, name: str, *, copies: int = 1) -> None:
        """Flips a bit of the payload of a blob of an object."""
        for blob in [blob for blob in stored_blobs(*self.paths) if blob["name"] == name][:copies]:
            with Path(blob["path"]).open("r+b") as file:
                file.seek(blob["offset"] + 20)
                byte = file.read(1)[0]
                file.seek(-1, os.SEEK_CUR)
                file.write(bytes([byte ^ 1]))

    def metric(self, name: str) -> float:
        lines = fetch(f"{self.url}/metrics").decode().splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(f"ais_{name} "))

    def tracker(self) -> dict[str, int]:
        stats = self.wire.send("GET", "/v1/cluster", what="node_stats").json()
        found: dict[str, int] = stats["target"][self.id]["tracker"]
        return found

    def quarantine(self) -> list[Path]:
        return [file for path in self.paths for file in path.glob("ais/quarantine/*")]


def test_damage_at_rest_is_found_and_repaired(single: aistore.LocalCluster) -> None:
    target = Target(single)
    target.create("one")
    target.create("two", mirror={"enabled": True, "copies": 2})
    for index in range(4):
        target.put("one", index)
        target.put("two", index + 10)
    # Nothing begins by itself on a cluster that was just made.
    assert target.metric("scrub_completed_time_seconds") == 0
    for name in ("o0", "o3", "o10", "o13"):
        target.flip(name)
    pair = {"scrub.interval": "1s"}
    assert target.wire.send("PUT", "/v1/cluster/set-config", **pair).status == 200

    wait_until(lambda: target.metric("scrub_completed_time_seconds") > 0, "a pass is complete", 60)
    assert target.metric("scrub_damaged_total") == 4
    assert target.metric("scrub_healed_total") == 2
    assert target.metric("scrub_quarantined_total") == 2
    assert target.metric("scrub_blobs_total") >= 4 + 8
    assert target.metric("scrub_payload_bytes_total") > sum(len(content(i)) for i in range(4))
    assert len(target.quarantine()) == 4
    tracker = target.tracker()
    assert (tracker["err.scrub.n"], tracker["scrub.healed.n"]) == (4, 2)
    assert tracker["scrub.quarantined.n"] == 2
    assert tracker["scrub.size"] > 0
    for index in range(10, 14):
        answer = target.wire.follow("GET", f"/v1/objects/two/o{index}")
        assert (answer.status, answer.body) == (200, content(index))
    for index in range(4):
        answer = target.wire.follow("GET", f"/v1/objects/one/o{index}")
        if index in (0, 3):
            assert answer.status == 500
            assert b"was damaged" in answer.body
            assert f"ais://one/o{index}".encode() in answer.body
        else:
            assert (answer.status, answer.body) == (200, content(index))
    query = {"what": "log", "severity": "error"}
    headers = {"Ais-Node-Id": target.id}
    log = target.wire.send("GET", "/v1/reverse/daemon", headers=headers, **query).body
    assert b"ais://one/o0" in log
    assert b"put it again" in log

    # What is stored is counted, to the byte.
    stats = target.wire.send("GET", "/v1/cluster", what="node_stats").json()["target"][target.id]
    stored = [disk["stored"] for disk in stats["capacity"]["mountpaths"].values()]
    assert all(one["counted"] for one in stored)
    assert sum(int(one["objects"]) for one in stored) == 8
    payload = sum(len(content(i)) for i in [*range(4), *range(10, 14)])
    assert sum(int(one["object_bytes"]) for one in stored) == payload
    quarantined = sum(file.stat().st_size for file in target.quarantine())
    assert sum(int(one["quarantine_bytes"]) for one in stored) == quarantined > 0
    segments = sum(file.stat().st_size for path in target.paths for file in path.rglob("*.segment"))
    assert sum(int(one["segment_bytes"]) for one in stored) == segments
    assert target.metric("stored_segments_bytes") == segments
    job = {"action": "start", "value": {"kind": "cleanup-store"}}
    assert target.wire.send("PUT", "/v1/cluster", action=job).status == 200

    # An object that is put again is whole, and what was repaired stays so over a restart.
    target.put("one", 0)
    answer = target.wire.follow("GET", "/v1/objects/one/o0")
    assert (answer.status, answer.body) == (200, content(0))
    before = target.metric("scrub_completed_time_seconds")
    wait_until(lambda: target.metric("scrub_completed_time_seconds") > before, "another pass", 60)
    assert target.metric("scrub_damaged_total") == 4

    # Off is off.
    pair = {"scrub.enabled": "false"}
    assert target.wire.send("PUT", "/v1/cluster/set-config", **pair).status == 200
    bad = {"scrub.rate": "1KiB"}
    answer = target.wire.send("PUT", "/v1/cluster/set-config", **bad)
    assert answer.status == 400
    assert b"scrub.rate" in answer.body
