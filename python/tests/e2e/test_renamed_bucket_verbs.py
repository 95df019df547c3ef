"""Every verb on both names of a bucket while it is renamed."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from urllib.parse import quote

import pytest
from support import Answer, Wire, ended, start, status, wait_until

import aistore

COUNT = 6000
EACH = 4


def custom_of(wire: Wire, path: str) -> list[str]:
    return (wire.follow("HEAD", path).header("ais-custom-md") or "").split(",")


def append(wire: Wire, path: str, handle: str, body: bytes, step: str = "append") -> Answer:
    query = f"append_type={step}&append_handle={quote(handle, safe='')}"
    return wire.follow("PUT", f"{path}?{query}", body=body)


def start_upload(wire: Wire, path: str) -> str:
    answer = wire.follow("POST", path, action={"action": "mpt-upload"})
    assert answer.status == 200, answer.body
    return answer.body.decode()


def send_part(wire: Wire, path: str, upload: str, body: bytes) -> Answer:
    return wire.follow("PUT", f"{path}?uploadId={upload}&partNumber=1", body=body)


def complete(wire: Wire, path: str, upload: str) -> Answer:
    action = {"action": "mpt-complete", "value": [{"part-number": 1, "etag": ""}]}
    return wire.follow("POST", f"{path}?uploadId={upload}", action=action)


def test_each_verb_through_the_new_name_sees_what_the_old_one_had(
    own_cluster: aistore.LocalCluster,
) -> None:
    wire = Wire(own_cluster.endpoint)
    source = own_cluster.client().bucket("source").create()
    source.put_many([(f"o{at:05}", f"old {at}".encode()) for at in range(COUNT)])
    left = iter(range(COUNT - 1, 0, -1))
    job = start(wire, "move-bck", "source", "there")
    expected: dict[str, bytes | None] = {}
    for _ in range(EACH):
        for verb in VERBS:
            name = f"o{next(left):05}"
            was = f"old {int(name[1:])}".encode()
            expected.update(verb(wire, f"/v1/objects/there/{name}", name, was))
    running = status(wire, job)["end_time"] == 0
    assert ended(wire, job)["err"] == ""
    assert running, "the job was over before the verbs: give it more objects"
    for name, content in expected.items():
        answer = wire.follow("GET", f"/v1/objects/there/{name}")
        if content is None:
            assert answer.status == 404, name
        else:
            assert (answer.status, answer.body) == (200, content), name
    for name, step in PATCHED.items():
        assert step in custom_of(wire, f"/v1/objects/there/{name}"), name
    assert wire.send("HEAD", "/v1/buckets/source").status == 404


Expected = dict[str, bytes | None]
PATCHED: dict[str, str] = {}


def do_delete(wire: Wire, path: str, name: str, was: bytes) -> Expected:
    assert wire.follow("DELETE", path).status == 200
    return {name: None}


def do_put_and_delete(wire: Wire, path: str, name: str, was: bytes) -> Expected:
    assert wire.follow("PUT", path, body=b"new").status == 200
    assert wire.follow("DELETE", path).status == 200
    return {name: None}


def do_put(wire: Wire, path: str, name: str, was: bytes) -> Expected:
    assert wire.follow("PUT", path, body=b"new").status == 200
    return {name: b"new"}


def do_put_if_absent(wire: Wire, path: str, name: str, was: bytes) -> Expected:
    assert wire.follow("PUT", path, body=b"x", headers={"If-None-Match": "*"}).status == 412
    return {name: was}


def do_append(wire: Wire, path: str, name: str, was: bytes) -> Expected:
    handle = append(wire, path, "", b"+1").header("ais-append-handle") or ""
    handle = append(wire, path, handle, b"+2").header("ais-append-handle") or ""
    assert append(wire, path, handle, b"", "flush").status == 200
    return {name: was + b"+1+2"}


def do_upload(wire: Wire, path: str, name: str, was: bytes) -> Expected:
    upload = start_upload(wire, path)
    assert send_part(wire, path, upload, b"part").status == 200
    assert complete(wire, path, upload).status == 200
    return {name: b"part"}


def do_patch(wire: Wire, path: str, name: str, was: bytes) -> Expected:
    action = {"action": "", "value": {"k": "v"}}
    assert wire.follow("PATCH", path, action=action).status == 200
    PATCHED[name] = "k=v"
    return {name: was}


def do_rename(wire: Wire, path: str, name: str, was: bytes) -> Expected:
    action = {"action": "rename-obj", "name": name + ".renamed"}
    assert wire.follow("POST", path, action=action).status == 200
    return {name: None, name + ".renamed": was}


def do_copy(wire: Wire, path: str, name: str, was: bytes) -> Expected:
    to = f"ais/@#/there/{name}.copy"
    assert wire.follow("PUT", path, object_to=to).status == 200
    return {name: was, name + ".copy": was}


def do_range(wire: Wire, path: str, name: str, was: bytes) -> Expected:
    answer = wire.follow("GET", path, headers={"Range": "bytes=4-"})
    assert (answer.status, answer.body) == (206, was[4:])
    assert wire.follow("HEAD", path).status == 200
    return {name: was}


VERBS = (
    do_delete,
    do_put_and_delete,
    do_put,
    do_put_if_absent,
    do_append,
    do_upload,
    do_patch,
    do_rename,
    do_copy,
    do_range,
)


def test_what_was_begun_on_the_old_name_is_refused_with_the_remedy(
    own_cluster: aistore.LocalCluster,
) -> None:
    wire = Wire(own_cluster.endpoint)
    own_cluster.client().bucket("source").create()
    paths = [f"/v1/objects/source/open{at}" for at in range(9)]
    uploads = [start_upload(wire, path) for path in paths]
    for path, upload in zip(paths, uploads, strict=True):
        assert send_part(wire, path, upload, b"part").status == 200
    handles = [append(wire, path, "", b"x").header("ais-append-handle") or "" for path in paths]
    # A target that does not answer keeps the rename going.
    stopped = own_cluster.targets[-1]
    os.kill(stopped.pid, signal.SIGSTOP)
    try:
        job = start(wire, "move-bck", "source", "there")
        refused = 0
        for path, upload, handle in zip(paths, uploads, handles, strict=True):
            if handle.startswith(stopped.node_id):
                continue
            for answer in (complete(wire, path, upload), append(wire, path, handle, b"", "flush")):
                assert answer.status in {403, 404, 409}, answer.body
                assert "being renamed" in answer.json()["message"], answer.body
                refused += 1
        assert refused
        assert status(wire, job)["end_time"] == 0
    finally:
        os.kill(stopped.pid, signal.SIGCONT)
    assert ended(wire, job)["err"] == ""
    for path, upload, handle in zip(paths, uploads, handles, strict=True):
        assert complete(wire, path, upload).status == 404
        assert append(wire, path, handle, b"", "flush").status == 404
        assert wire.follow("HEAD", path.replace("source", "there")).status == 404

    def left() -> int:
        files = own_cluster.root.rglob("ais/appends/*")
        return sum(1 for _ in files)

    wait_until(lambda: left() == 0, "append sessions of the old name are removed", 30)


LISTED = 3000


def by_package(client: aistore.Client, wire: Wire, bucket: str) -> list[str]:
    return [entry.name for entry in client.bucket(bucket).list_all_objects()]


def by_package_in_pages(client: aistore.Client, wire: Wire, bucket: str) -> list[str]:
    return [entry.name for entry in client.bucket(bucket).list_objects_iter(page_size=700)]


def by_gateway(client: aistore.Client, wire: Wire, bucket: str) -> list[str]:
    listing = {"action": "list", "value": {"props": "name"}}
    answer = wire.send("GET", f"/v1/buckets/{bucket}", action=listing)
    assert answer.status == 200, answer.body
    page = answer.json()
    assert (page["flags"], page["continuation_token"]) == (0, "")
    return [entry["name"] for entry in page["entries"]]


def by_arrow(client: aistore.Client, wire: Wire, bucket: str) -> list[str]:
    pyarrow = pytest.importorskip("pyarrow")
    table = pyarrow.table(client.bucket(bucket).list_objects_arrow())
    return list(table["name"].to_pylist())


def by_summary(client: aistore.Client, wire: Wire, bucket: str) -> list[str]:
    summary = client.bucket(bucket).summary()
    count = int(summary["ObjCount"]["obj_count_present"])
    return [f"o{at:05}" for at in range(count)]


@pytest.mark.parametrize(
    "names", [by_package, by_package_in_pages, by_gateway, by_arrow, by_summary]
)
def test_a_listing_of_the_new_name_is_whole_from_the_start(
    own_cluster: aistore.LocalCluster,
    names: Callable[[aistore.Client, Wire, str], list[str]],
) -> None:
    client, wire = own_cluster.client(), Wire(own_cluster.endpoint)
    source = client.bucket("n0").create()
    source.put_many([(f"o{at:05}", f"{at}".encode() * 100) for at in range(LISTED)])
    expected = [f"o{at:05}" for at in range(LISTED)]
    running = False
    for turn in range(3):
        job = start(wire, "move-bck", f"n{turn}", f"n{turn + 1}")
        running |= status(wire, job)["end_time"] == 0
        assert names(client, wire, f"n{turn + 1}") == expected
        assert ended(wire, job)["err"] == ""
    assert running, "the jobs were over before the listings: give them more objects"


def test_a_listing_that_waits_too_long_names_the_job(own_cluster: aistore.LocalCluster) -> None:
    wire = Wire(own_cluster.endpoint)
    own_cluster.client().bucket("source").create()
    limit = {"timeout": {"max_host_busy": "10s"}}
    changed = wire.send("PUT", "/v1/cluster", action={"action": "set-config", "value": limit})
    assert changed.status == 200, changed.body
    # A target that does not answer keeps the rename going.
    stopped, asked = own_cluster.targets[-1], own_cluster.targets[0]
    os.kill(stopped.pid, signal.SIGSTOP)
    try:
        job = start(wire, "move-bck", "source", "there")
        for bucket in ("there", "source"):
            began = time.monotonic()
            body = json.dumps({"props": "name"}).encode()
            answer = wire.send(
                "POST", f"/v1/scan/{bucket}", body=body, base=asked.url, provider="ais"
            )
            assert answer.status == 409, answer.body
            assert 8 < time.monotonic() - began < 15
            text = answer.json()["message"]
            assert all(part in text for part in (f"ais://{bucket}", job, "wait for the job")), text
    finally:
        os.kill(stopped.pid, signal.SIGCONT)
    assert ended(wire, job)["err"] == ""
