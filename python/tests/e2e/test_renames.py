"""Writers on both names of a bucket while it is renamed and a target dies: nothing acknowledged is lost."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException

from support import Wire, ended, start, status

import aistore

NAMES = 30
STILL = 1200
DELETED = b""
# What says for certain that nothing was changed.
REFUSED = {403, 404, 409}


class Writer:
    """Writes and deletes its own names, one operation at a time, and remembers what may be there."""

    def __init__(self, endpoint: str, at: int) -> None:
        self.wire = Wire(endpoint)
        self.at = at
        self.names = [f"w/{at}-{number:02}" for number in range(NAMES)]
        # Per name: payloads of which one must be there at the end; DELETED for none.
        self.possible: dict[str, set[bytes]] = {name: {DELETED} for name in self.names}
        self.acknowledged = {"source": 0, "there": 0}
        self.stop = threading.Event()

    def run(self) -> None:
        step = 0
        while not self.stop.is_set():
            step += 1
            self.one(self.names[step * 7 % NAMES], step)

    def one(self, name: str, step: int) -> None:
        delete = step % 5 == 0
        content = DELETED if delete else f"{name} {step} ".encode() * (1 + step % 3000)
        bucket = "there" if self.acknowledged["there"] or step % 2 else "source"
        method, body = ("DELETE", None) if delete else ("PUT", content)
        try:
            code = self.wire.follow(method, f"/v1/objects/{bucket}/{name}", body=body).status
        except (OSError, HTTPException):
            code = 0
        if code == 200:
            self.possible[name] = {content}
            self.acknowledged[bucket] += 1
        elif delete and code == 404 and bucket == "there" and self.acknowledged["there"]:
            # The new name is there, so it is the object that is not.
            assert DELETED in self.possible[name], f"{name} was lost before step {step}"
            self.possible[name] = {DELETED}
        elif code not in REFUSED:
            self.possible[name].add(content)
            time.sleep(0.05)


def test_no_acknowledged_write_is_lost_and_the_newest_wins(
    own_cluster: aistore.LocalCluster,
) -> None:
    client = own_cluster.client()
    source = client.bucket("source").create()
    source.put_many([(f"d/{at:05}", f"{at}".encode() * 100) for at in range(STILL)])
    writers = [Writer(own_cluster.endpoint, at) for at in range(6)]
    pool = ThreadPoolExecutor(len(writers))
    runs = [pool.submit(writer.run) for writer in writers]
    time.sleep(1)
    wire = Wire(own_cluster.endpoint)
    job = start(wire, "move-bck", "source", "there")
    time.sleep(0.15)
    running = status(wire, job)["end_time"] == 0
    own_cluster.kill_target(1)
    time.sleep(0.5)
    own_cluster.restart_target(1)
    end = ended(wire, job)
    time.sleep(1)
    for writer in writers:
        writer.stop.set()
    for run in runs:
        run.result()
    assert running, "the job was over before the kill: give it more objects"
    assert (end["err"], end["aborted"]) == ("", False)
    there = client.bucket("there")
    present = {entry.name for entry in there.list_all_objects()}
    for writer in writers:
        assert all(writer.acknowledged.values()), writer.acknowledged
        for name, possible in writer.possible.items():
            found = DELETED
            if name in present:
                found = there.object(name).get_reader().read_all()
            brief = sorted(one[:24] for one in possible)
            assert found in possible, f"{name}: {found[:24]!r}, expected one of {brief}"
    assert {f"d/{at:05}" for at in range(STILL)} <= present


def test_a_rename_that_was_stopped_goes_on_and_the_newer_object_wins(
    own_cluster: aistore.LocalCluster,
) -> None:
    client, wire = own_cluster.client(), Wire(own_cluster.endpoint)
    source = client.bucket("source").create()
    source.put_many([(f"d/{at:05}", b"old") for at in range(STILL)])
    job = start(wire, "move-bck", "source", "there")
    wire.send("PUT", "/v1/cluster", action={"action": "stop", "value": {"ID": job}})
    end = ended(wire, job)
    assert end["aborted"]
    assert "again" in end["err"]
    newer = {f"d/{at:05}": ("source" if at % 2 else "there") for at in range(0, STILL, 50)}
    for name, bucket in newer.items():
        answer = wire.follow("PUT", f"/v1/objects/{bucket}/{name}", body=bucket.encode())
        assert answer.status == 200, answer.body
    job = start(wire, "move-bck", "source", "there")
    assert ended(wire, job)["err"] == ""
    there = client.bucket("there")
    assert len(list(there.list_all_objects())) == STILL
    for at in range(0, STILL, 25):
        name = f"d/{at:05}"
        expected = newer.get(name, "old").encode()
        assert there.object(name).get_reader().read_all() == expected, name
