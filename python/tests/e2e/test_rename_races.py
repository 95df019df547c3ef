"""Renames while others change the object; batches while a bucket is renamed."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from support import Answer, Wire, ended, start, status

import aistore
from aistore.sdk import Bucket

ROUNDS = 12
SIZE = 3_000_000


def rename(wire: Wire, path: str, name: str) -> Answer:
    return wire.follow("POST", path, action={"action": "rename-obj", "name": name})


def owner(wire: Wire, path: str) -> str:
    return urlsplit(wire.send("DELETE", path).header("location") or "").netloc


def names_apart(wire: Wire, bucket: str, tag: str) -> Iterator[tuple[str, str]]:
    """Pairs of names of which each belongs to another target."""
    at = 0
    while True:
        at += 1
        old, new = f"{tag}/old-{at}", f"{tag}/new-{at}"
        paths = [f"/v1/objects/{bucket}/{name}" for name in (old, new)]
        if owner(wire, paths[0]) != owner(wire, paths[1]):
            yield old, new


@contextmanager
def meanwhile(work: Callable[[int], object]) -> Iterator[None]:
    over = threading.Event()

    def run() -> None:
        step = 0
        while not over.is_set():
            step += 1
            work(step)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_metadata_that_changes_meanwhile_moves_along(
    cluster: aistore.LocalCluster, bucket: Bucket
) -> None:
    wire, patcher = Wire(cluster.endpoint), Wire(cluster.endpoint)
    pairs = names_apart(wire, bucket.name, "patched")
    acknowledged_during = 0
    for _ in range(ROUNDS):
        old, new = next(pairs)
        base = f"/v1/objects/{bucket.name}/"
        assert wire.follow("PUT", base + old, body=b"x" * SIZE).status == 200
        acknowledged: list[int] = []

        def patch(step: int, path: str = base + old, done: list[int] = acknowledged) -> None:
            action = {"action": "", "value": {"step": str(step)}}
            if patcher.follow("PATCH", path, action=action).status == 200:
                done.append(step)

        with meanwhile(patch):
            answer = rename(wire, base + old, new)
        assert answer.status == 200, answer.body
        acknowledged_during += len(acknowledged)
        assert wire.follow("HEAD", base + old).status == 404, "both names are there"
        assert wire.follow("GET", base + new).body == b"x" * SIZE
        if acknowledged:
            custom = wire.follow("HEAD", base + new).header("ais-custom-md") or ""
            assert f"step={acknowledged[-1]}" in custom.split(","), (custom, acknowledged)
    assert acknowledged_during


def test_content_that_is_written_meanwhile_stays_under_the_old_name(
    cluster: aistore.LocalCluster, bucket: Bucket
) -> None:
    wire, writer = Wire(cluster.endpoint), Wire(cluster.endpoint)
    pairs = names_apart(wire, bucket.name, "written")
    for _ in range(ROUNDS):
        old, new = next(pairs)
        base = f"/v1/objects/{bucket.name}/"
        assert wire.follow("PUT", base + old, body=b"\0" * SIZE).status == 200
        last = [0]

        def write(step: int, path: str = base + old, last: list[int] = last) -> None:
            step = step % 250 + 1
            assert writer.follow("PUT", path, body=bytes([step]) * SIZE).status == 200
            last[0] = step

        with meanwhile(write):
            answer = rename(wire, base + old, new)
        assert answer.status == 200, answer.body
        moved = wire.follow("GET", base + new)
        assert moved.status == 200
        assert len(moved.body) == SIZE
        assert len(set(moved.body)) == 1
        kept = wire.follow("GET", base + old)
        if kept.status == 200:
            assert kept.body == bytes([last[0]]) * SIZE
        else:
            assert moved.body == bytes([last[0]]) * SIZE


def test_of_two_renames_of_one_object_one_succeeds(
    cluster: aistore.LocalCluster, bucket: Bucket
) -> None:
    wire, other = Wire(cluster.endpoint), Wire(cluster.endpoint)
    pairs = names_apart(wire, bucket.name, "twice")
    base = f"/v1/objects/{bucket.name}/"
    for _ in range(ROUNDS):
        old, new = next(pairs)
        wire.follow("PUT", base + old, body=b"y" * SIZE)
        answers: list[int] = []
        thread = threading.Thread(
            target=lambda old=old, new=new, done=answers: done.append(
                rename(other, base + old, new + ".other").status
            )
        )
        thread.start()
        answers.append(rename(wire, base + old, new).status)
        thread.join()
        assert sorted(answers) == [200, 404]
        there = [wire.follow("HEAD", base + name).status for name in (old, new, new + ".other")]
        assert sorted(there) == [200, 404, 404]


def test_a_batch_gets_objects_that_have_not_moved_yet(own_cluster: aistore.LocalCluster) -> None:
    client, wire = own_cluster.client(), Wire(own_cluster.endpoint)
    source = client.bucket("source").create()
    count = 4000
    source.put_many([(f"d/{at:05}", f"{at}".encode()) for at in range(count)])
    job = start(wire, "move-bck", "source", "there")
    there = client.bucket("there")
    wanted = list(range(count - 1, count - 101, -1))
    native = client.batch([there.object(f"d/{at:05}") for at in wanted])
    got = [content for _, content in native.get()]
    running = status(wire, job)["end_time"] == 0
    # The form for foreign clients, which one target assembles.
    wanted_too = wanted[:50] + list(range(count - 150, count - 200, -1))
    request = {
        "mime": ".tar",
        "in": [{"objname": f"d/{at:05}"} for at in wanted_too],
        "strm": True,
    }
    body, headers = json.dumps(request).encode(), {"Content-Type": "application/json"}
    answer = wire.follow("GET", "/v1/ml/moss/there", body=body, headers=headers)
    assert answer.status == 200, answer.body
    assert answer.body.count(b"ustar") >= len(wanted_too)
    assert got == [f"{at}".encode() for at in wanted]
    assert running, "the job was over before the batch: give it more objects"
    missing = client.batch([there.object("d/none")], cont_on_err=True)
    assert len(list(missing.get())) == 1
    assert ended(wire, job)["err"] == ""
