"""A real target on a disk that fails: what it answers, what it keeps, and what becomes of the mountpath.

The target's process runs on the twin of the file system of rust/testkit, which is preloaded: calls below one
mountpath fail as a file of rules says, whatever part of the program makes them.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from disks import Disks, content, node_status
from support import ROOT, Answer, wait_until

import aistore

LIMPING = 8192
COUNT = 40
# Larger than what shares a file, and smaller.
SIZES = (100_000, 300)


@pytest.fixture(scope="module")
def library() -> Path:
    """The twin as a library to be preloaded, built like what else is built here."""
    if not shutil.which("cargo"):
        pytest.skip("the twin of the file system is built with cargo")
    profile = "release" if (ROOT / "target/release/deps").exists() else "debug"
    command = ["cargo", "build", "--quiet", "-p", "aistore-testkit", "--example", "faulty_disk"]
    subprocess.run(command + ["--release"] * (profile == "release"), cwd=ROOT, check=True)
    return ROOT / "target" / profile / "examples" / "libfaulty_disk.so"


class FailingDisks(Disks):
    """The mountpaths of a target whose calls to its files can be made to fail."""

    def __init__(self, cluster: aistore.LocalCluster, rules: Path) -> None:
        super().__init__(cluster)
        self.cluster = cluster
        self.rules = rules
        self.acknowledged: dict[str, bytes] = {}
        # What a name may hold instead, because that was refused half-way.
        self.begun: dict[str, list[bytes]] = {}

    def fail(self, *rules: str) -> None:
        """Calls fail by these rules, and by no others, from now on."""
        text = "".join(rule + "\n" for rule in rules)
        self.rules.write_text(text)
        seen = Path(f"{self.rules}.seen")
        wait_until(lambda: seen.exists() and seen.read_text() == text, "the rules count")

    def look_after_disks(self, enabled: bool) -> None:
        """Whether the target checks disks by itself."""
        action = {"action": "set-config", "value": {"fshc": {"enabled": enabled}}}
        assert self.wire.send("PUT", "/v1/cluster", action=action).status == 200

    def send(self, method: str, name: str, body: bytes | None = None) -> Answer:
        """A request for an object, `bucket/name`, and what it acknowledges."""
        answer = self.wire.follow(method, f"/v1/objects/{name}", body=body)
        if answer.status not in {200, 204}:
            self.begun.setdefault(name, []).extend([body] if body is not None else [])
            return answer
        self.begun.pop(name, None)
        if body is not None:
            self.acknowledged[name] = body
        elif method == "DELETE":
            del self.acknowledged[name]
        return answer

    def read(self, name: str) -> None:
        """What was acknowledged is there, or what was refused since if nobody knows how far that went."""
        answer = self.wire.follow("GET", f"/v1/objects/{name}")
        allowed = [self.acknowledged[name], *self.begun.get(name, [])]
        assert answer.status == 200, (name, answer.body)
        assert answer.body in allowed, name

    def verify(self) -> None:
        """All that was acknowledged is there."""
        for name in self.acknowledged:
            self.read(name)

    def verify_on_good_disks(self) -> None:
        """The same, of a target that is started again, on disks that work."""
        self.cluster.restart_target(0)
        wait_until(lambda: self.wire.send("GET", "/v1/health").status == 200, "the cluster is up")
        self.verify()


@pytest.fixture
def failing(
    library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FailingDisks]:
    """One target with three mountpaths, of which any can fail; and some objects, `b` mirrored and `a` not."""
    rules = tmp_path / "rules"
    rules.touch()
    with aistore.LocalCluster(targets=1, mountpaths=3, root=tmp_path / "cluster") as cluster:
        with monkeypatch.context() as preloaded:
            preloaded.setenv("LD_PRELOAD", str(library))
            preloaded.setenv("FAULTY_DISK", str(tmp_path / "cluster" / "target-0"))
            preloaded.setenv("FAULTY_RULES", str(rules))
            cluster.restart_target(0)
        disks = FailingDisks(cluster, rules)
        immediate = {"write_policy": {"data": "immediate"}}
        disks.create("a", **immediate)
        disks.create("b", mirror={"enabled": True, "copies": 2}, **immediate)
        for index in range(COUNT):
            for bucket in "ab":
                assert disks.send("PUT", f"{bucket}/o{index}", content(index)).status == 200
        yield disks


def refused(answer: Answer, path: str, status: int) -> bool:
    """Whether a request was refused, in the name of this mountpath."""
    if answer.status == 200:
        return False
    assert answer.status == status, answer.body
    assert path in answer.body.decode(), answer.body
    return True


def try_puts(disks: FailingDisks, path: str, status: int) -> int:
    """Puts objects anew and others over them; how many were refused because of a mountpath."""
    count = 0
    for index in range(COUNT):
        body = bytes([index]) * SIZES[index % 2]
        for name in (f"a/new{index}", f"a/o{index}", f"b/o{index}"):
            count += refused(disks.send("PUT", name, body), path, status)
    return count


def test_a_full_disk_refuses_writes_and_reads_and_deletes_go_on(failing: FailingDisks) -> None:
    full = failing.lists()["available"][1]
    places = ("tmp", "blobs", "segments")
    failing.fail(
        *(f"ENOSPC write,create,allocate,mkdir {Path(full).name}/ais/{one}" for one in places)
    )
    assert try_puts(failing, full, 507) > COUNT / 3
    # Of what was refused nothing is left.
    failing.begun.clear()
    failing.verify()
    for index in range(0, COUNT, 2):
        for bucket in "ab":
            assert failing.send("DELETE", f"{bucket}/o{index}").status in {200, 204}
            assert failing.get(bucket, index).status == 404
    failing.verify()
    # A full disk is no faulty one.
    assert full in failing.lists()["available"]
    assert node_status(failing)["cluster"]["flags"] & LIMPING == 0
    failing.fail()
    assert try_puts(failing, full, 507) == 0
    failing.verify()
    failing.verify_on_good_disks()


@pytest.mark.parametrize("calls", ["sync", "write,create,sync"])
def test_a_disk_that_does_not_write_refuses_changes_and_is_taken_out_of_use(
    failing: FailingDisks, calls: str
) -> None:
    bad = failing.lists()["available"][1]
    failing.look_after_disks(False)
    failing.fail(f"EIO {calls} {Path(bad).name}/ais")
    assert try_puts(failing, bad, 500) > 0
    # What is there is read, whether its disk takes writes or not.
    failing.verify()
    failing.look_after_disks(True)

    def disabled() -> bool:
        try_puts(failing, bad, 500)
        return failing.lists()["disabled"] == [bad]

    wait_until(disabled, "the failing mountpath is disabled", 60)
    assert node_status(failing)["cluster"]["flags"] & LIMPING
    wait_idle_and_verify_copies(failing)
    # The others take what would have gone there.
    assert try_puts(failing, bad, 500) == 0

    failing.fail()
    answer = failing.change("POST", "enable-mp", bad)
    assert answer.status == 200, answer.body
    assert node_status(failing)["cluster"]["flags"] & LIMPING == 0
    failing.wait_idle()
    failing.verify()
    failing.verify_on_good_disks()


def test_one_failed_sync_ends_the_changes_until_the_mountpath_is_opened_anew(
    failing: FailingDisks,
) -> None:
    bad = failing.lists()["available"][1]
    failing.fail(f"EIO sync {Path(bad).name}/ais/segments")
    assert try_puts(failing, bad, 500) > 0
    # The disk is well again, and nobody knows what it did not keep.
    failing.fail()
    assert try_puts(failing, bad, 500) > 0
    failing.verify()

    def limps() -> bool:
        return bool(node_status(failing)["cluster"]["flags"] & LIMPING)

    wait_until(limps, "the mountpath is told of", 60)
    assert bad in failing.lists()["available"]
    # Not drained: what it holds stays there.
    answer = failing.change("POST", "disable-mp", bad, dntres="true")
    assert answer.status == 200, answer.body
    wait_until(lambda: bad in failing.lists()["disabled"], "the mountpath is disabled")
    answer = failing.change("POST", "enable-mp", bad)
    assert answer.status == 200, answer.body
    assert not limps()
    assert try_puts(failing, bad, 500) == 0
    failing.wait_idle()
    failing.verify()
    failing.verify_on_good_disks()


def wait_idle_and_verify_copies(disks: FailingDisks) -> None:
    """What has copies is there without the disk that failed."""
    disks.wait_idle()
    for name in disks.acknowledged:
        if name.startswith("b/"):
            disks.read(name)


def test_a_disk_that_does_not_read_is_passed_over_where_there_are_copies(
    failing: FailingDisks,
) -> None:
    bad = failing.lists()["available"][1]
    # Of what is opened anew: the target may still have it in its memory.
    failing.fail(*(f"EIO read,open {Path(bad).name}/ais/{one}" for one in ("blobs", "segments")))
    failed = 0
    for index in range(COUNT):
        failed += refused(failing.get("a", index), bad, 500)
        answer = failing.get("b", index)
        assert (answer.status, answer.body) == (200, content(index)), index
    assert 0 < failed < COUNT
    failing.fail()
    failing.verify()
