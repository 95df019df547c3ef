"""What tests of mountpaths share: the disks of a target, by plain HTTP."""

from __future__ import annotations

from typing import Any

from support import Answer, Wire, wait_until

import aistore


def content(index: int) -> bytes:
    return bytes([index % 251]) * (100 + index * 977 % 70_000)


class Disks:
    """The mountpaths of the only target."""

    def __init__(self, cluster: aistore.LocalCluster) -> None:
        self.wire = Wire(cluster.endpoint)
        self.target = next(iter(self.wire.send("GET", "/v1/daemon", what="smap").json()["tmap"]))
        self.node = {"Ais-Node-Id": self.target}

    def lists(self) -> dict[str, list[str]]:
        answer = self.wire.send("GET", "/v1/reverse/daemon", headers=self.node, what="mountpaths")
        assert answer.status == 200
        lists: dict[str, list[str]] = answer.json()
        return lists

    def change(self, method: str, action: str, path: Any, **query: str) -> Answer:
        return self.wire.send(
            method,
            "/v1/reverse/daemon/mountpaths",
            action={"action": action, "value": path},
            headers=self.node,
            **query,
        )

    def log(self, severity: str) -> bytes:
        query = {"what": "log", "severity": severity}
        answer = self.wire.send("GET", "/v1/reverse/daemon", headers=self.node, **query)
        return bytes(answer.body)

    def wait_drained(self) -> None:
        wait_until(lambda: not self.lists()["waiting_dd"], "the mountpath is empty", 60)

    def wait_idle(self) -> None:
        def idle() -> bool:
            body = b'{"kind":"resilver"}'
            running = self.wire.send("GET", "/v1/cluster", body=body, what="running_all")
            return bool(running.json() == [])

        wait_until(idle, "no resilver runs", 60)

    def put(self, bucket: str, index: int) -> None:
        done = self.wire.follow("PUT", f"/v1/objects/{bucket}/o{index}", body=content(index))
        assert done.status == 200, done.body

    def get(self, bucket: str, index: int) -> Answer:
        return self.wire.follow("GET", f"/v1/objects/{bucket}/o{index}")

    def head(self, bucket: str, index: int) -> Answer:
        path = f"/v1/objects/{bucket}/o{index}?props=copies,location"
        return self.wire.follow("HEAD", path)

    def create(self, bucket: str, **props: Any) -> None:
        action = {"action": "create-bck", "value": props or None}
        assert self.wire.send("POST", f"/v1/buckets/{bucket}", action=action).status == 200

    def wait_job(self, job: str) -> None:
        def done() -> bool:
            body = f'{{"id":"{job}"}}'.encode()
            status = self.wire.send("GET", "/v1/cluster", body=body, what="status").json()
            return bool(status["end_time"])

        wait_until(done, f"job {job} ends", 60)


def node_status(disks: Disks) -> Any:
    return disks.wire.send(
        "GET", "/v1/reverse/daemon", headers=disks.node, what="node_status"
    ).json()
