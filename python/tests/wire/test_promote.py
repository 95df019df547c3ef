"""Promote: files on the targets' disks become objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support import Answer, Wire, wait_until

import aistore
from aistore.sdk import Bucket


@pytest.fixture
def name(bucket: Bucket) -> str:
    return bucket.name


@pytest.fixture
def source(cluster: aistore.LocalCluster, name: str) -> Path:
    """A directory tree of its own: 2 files, and 3 more below."""
    root = cluster.promote_root / name
    (root / "sub" / "deep").mkdir(parents=True)
    for path in ("a.txt", "ü b.bin", "sub/c.txt", "sub/d.txt", "sub/deep/e.txt"):
        (root / path).write_bytes(path.encode() * 1000)
    (root / "link").symlink_to("/etc/passwd")
    return root


def promote(wire: Wire, name: str, source: Path | str, **value: Any) -> Answer:
    action = {"action": "promote", "name": str(source), "value": value}
    answer = wire.send("POST", f"/v1/objects/{name}", action=action)
    if answer.status == 200 and answer.body:
        wait_for(wire, answer.body.decode())
    return answer


def wait_for(wire: Wire, job: str) -> None:
    def ended() -> bool:
        action = {"id": job, "kind": "promote"}
        status = wire.send("GET", "/v1/cluster", what="status", action=action).json()
        assert not status.get("aborted"), status
        return int(status["end_time"]) > 0

    wait_until(ended, f"job {job} ends")


def listed(wire: Wire, name: str) -> list[str]:
    action = {"action": "list", "value": {"flags": "0"}}
    page = wire.send("GET", f"/v1/buckets/{name}", action=action).json()
    return [entry["name"] for entry in page["entries"] or []]


def content(wire: Wire, name: str, obj: str) -> bytes:
    body: bytes = wire.follow("GET", f"/v1/objects/{name}/{obj}").body
    return body


@pytest.mark.parametrize("private", [False, True])
def test_a_directory_becomes_objects(wire: Wire, name: str, source: Path, *, private: bool) -> None:
    answer = promote(wire, name, source, obj="p/", notshr=private)
    assert answer.status == 200, answer.body
    # Where all targets see the same files it is a job, else 2 files on 3 targets are done at once.
    assert bool(answer.body) != private
    assert listed(wire, name) == ["p/a.txt", "p/ü b.bin"]
    assert promote(wire, name, source, obj="p-", rcr=True, notshr=private).status == 200
    assert listed(wire, name) == [
        *("p-a.txt", "p-sub/c.txt", "p-sub/d.txt", "p-sub/deep/e.txt", "p-ü b.bin"),
        *("p/a.txt", "p/ü b.bin"),
    ]
    assert content(wire, name, "p-sub/deep/e.txt") == b"sub/deep/e.txt" * 1000
    assert (source / "a.txt").exists()


@pytest.mark.parametrize(
    ("obj", "expected"), [("", "a.txt"), ("x", "x"), ("x/", "x/a.txt"), ("x/y.z", "x/y.z")]
)
def test_the_name_of_a_file(wire: Wire, name: str, source: Path, obj: str, expected: str) -> None:
    value = {"tid": "", "src": str(source / "a.txt"), "obj": obj, "rcr": False}
    value |= {"ovw": False, "dls": False, "notshr": False}
    assert promote(wire, name, source / "a.txt", **value).status == 200
    assert listed(wire, name) == [expected]
    assert content(wire, name, expected) == b"a.txt" * 1000


def test_existing_objects_are_left_alone_unless_told(wire: Wire, name: str, source: Path) -> None:
    wire.follow("PUT", f"/v1/objects/{name}/a.txt", body=b"mine")
    assert promote(wire, name, source, dls=True).status == 200
    assert content(wire, name, "a.txt") == b"mine"
    # The file that became an object is gone, the one that did not stays.
    assert (source / "a.txt").exists()
    assert not (source / "ü b.bin").exists()
    assert promote(wire, name, source, ovw=True, dls=True).status == 200
    assert content(wire, name, "a.txt") == b"a.txt" * 1000
    assert not (source / "a.txt").exists()
    assert (source / "sub" / "c.txt").exists()


def test_one_target_promotes_at_once(wire: Wire, name: str, source: Path) -> None:
    targets = wire.send("GET", "/v1/daemon", what="smap").json()["tmap"]
    answer = promote(wire, name, source, tid=next(iter(targets)), rcr=True)
    assert (answer.status, answer.body) == (200, b"")
    assert len(listed(wire, name)) == 5
    assert promote(wire, name, source, tid="t00000000").status == 404


def test_sources_that_may_not_be_promoted(wire: Wire, name: str, source: Path) -> None:
    empty = source / "empty"
    empty.mkdir()
    for bad in (
        "/etc/passwd",
        "/etc",
        "relative/path",
        "",
        source / ".." / ".." / "etc",
        f"{source}/./a.txt",
        source / "absent",
        source / "link",
        empty,
    ):
        answer = promote(wire, name, bad)
        assert answer.status == 400, bad
        assert answer.json()["message"].startswith("invalid promote source"), bad
    two = {"action": "promote", "name": str(source), "value": {"src": str(empty)}}
    assert wire.send("POST", f"/v1/objects/{name}", action=two).status == 400
    assert wire.send("POST", f"/v1/objects/{name}", action={"action": "x"}).status == 400
    gone = {"action": "promote", "name": str(source)}
    assert wire.send("POST", "/v1/objects/no-such-bucket", action=gone).status == 404
    assert listed(wire, name) == []
