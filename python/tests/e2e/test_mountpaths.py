"""Mountpaths that come and go, mirrored buckets and damaged disks, on whole clusters."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from disks import Disks, content, node_status
from support import Answer, stored_blobs, wait_until

import aistore

COUNT = 60


@pytest.fixture
def single(tmp_path: Path) -> Iterator[aistore.LocalCluster]:
    """One gateway and one target with three mountpaths."""
    root = tmp_path / "cluster"
    with aistore.LocalCluster(targets=1, mountpaths=3, root=root) as running:
        yield running


def test_detach_under_load_fails_nobody(single: aistore.LocalCluster) -> None:
    disks = Disks(single)
    disks.create("b")
    for index in range(COUNT):
        disks.put("b", index)
    path = disks.lists()["available"][1]
    stop = threading.Event()
    failures: list[str] = []
    done = [0]

    def work(thread: int) -> None:
        index = thread
        while not stop.is_set():
            index = (index * 7 + 1) % COUNT
            try:
                if thread % 2:
                    disks.put("b", index)
                else:
                    answer = disks.get("b", index)
                    if answer.status != 200 or answer.body != content(index):
                        failures.append(f"o{index}: {answer.status} {answer.body[:200]!r}")
                done[0] += 1
            except Exception as error:  # noqa: BLE001
                failures.append(repr(error))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    try:
        assert disks.change("DELETE", "detach-mp", path).status == 200
        disks.wait_drained()
        disks.wait_idle()
        assert path not in disks.lists()["available"]
        assert not stored_blobs(path)
        assert disks.change("PUT", "attach-mp", path).status == 200
        disks.wait_idle()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failures, failures[:5]
    assert done[0] > 20
    assert stored_blobs(path)
    assert len(disks.lists()["available"]) == 3


def test_states_and_answers(single: aistore.LocalCluster) -> None:
    disks = Disks(single)
    first = disks.lists()["available"][0]
    assert disks.change("POST", "enable-mp", first).status == 204
    assert disks.change("POST", "enable-mp", "/no/such").status == 404
    assert disks.change("POST", "disable-mp", "/no/such").status == 404
    assert disks.change("POST", "rescan-mp", "/no/such").status == 404
    assert disks.change("POST", "rescan-mp", first).status == 200
    assert disks.change("POST", "fshc-mp", "/no/such").status == 400
    assert disks.change("POST", "fshc-mp", first).status == 200
    assert disks.change("PUT", "attach-mp", first).status == 400
    assert disks.change("PUT", "attach-mp", "/no/such").status == 400
    assert disks.change("POST", "disable-mp", "").status == 400
    assert disks.change("POST", "disable-mp", None).status == 400
    disks.wait_idle()  # the rescan started a resilver, which dntres does not get along with
    assert disks.change("POST", "disable-mp", first, dntres="true").status == 200
    assert disks.lists()["disabled"] == [first]
    assert disks.change("POST", "fshc-mp", first).status == 400
    assert disks.change("POST", "disable-mp", first).status == 204
    single.kill_target(0)
    single.restart_target(0)
    wait_until(lambda: disks.lists()["disabled"] == [first], "the state survives a restart")
    assert disks.change("POST", "enable-mp", first).status == 200
    assert len(disks.lists()["available"]) == 3
    everyone = disks.wire.send("GET", "/v1/cluster", what="mountpaths").json()
    assert everyone["targets"][disks.target] == disks.lists()
    disk = disks.wire.send("GET", "/v1/reverse/daemon", headers=disks.node, what="disk").json()
    assert set(disk["mountpaths"]) == set(disks.lists()["available"])


def test_copies_up_and_down(single: aistore.LocalCluster) -> None:
    disks = Disks(single)
    disks.create("b")
    for index in range(10):
        disks.put("b", index)
    for value, copies in [(2, 2), ("3", 3), (1, 1)]:
        action = {"action": "make-n-copies", "value": value}
        started = disks.wire.send("POST", "/v1/buckets/b", action=action)
        assert started.status == 200, started.body
        disks.wait_job(started.body.decode())
        for index in range(10):
            head = disks.head("b", index)
            assert head.header("ais-mirror-copies") == str(copies)
            paths = (head.header("ais-mirror-paths") or "").split(",")
            assert len(set(paths)) == copies
            assert disks.get("b", index).body == content(index)
    for value in (0, 4, 17, "x", None):
        action = {"action": "make-n-copies", "value": value}
        assert disks.wire.send("POST", "/v1/buckets/b", action=action).status == 400, value
    patch = {"action": "set-bprops", "value": {"mirror": {"enabled": True, "copies": 2}}}
    job = disks.wire.send("PATCH", "/v1/buckets/b", action=patch).body.decode()
    disks.wait_job(job)
    assert disks.head("b", 3).header("ais-mirror-copies") == "2"


def flip_everywhere(paths: list[str], count: int) -> None:
    """Flips a bit of the payload in the first `count` blobs."""
    blobs = stored_blobs(*paths)
    assert len(blobs) >= count
    for blob in blobs[:count]:
        with Path(blob["path"]).open("r+b") as file:
            file.seek(blob["offset"] + 20)
            byte = file.read(1)[0]
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte ^ 1]))


def test_a_flipped_bit_is_found_and_healed(single: aistore.LocalCluster) -> None:
    disks = Disks(single)
    checksum = {"type": "xxhash2", "validate_warm_get": True}
    disks.create("one", checksum=checksum)
    disks.put("one", 5)
    flip_everywhere(disks.lists()["available"], 1)
    answer = disks.get("one", 5)
    assert answer.status == 500
    assert b"BAD DATA CHECKSUM: xxhash2(" in answer.body
    gone = {"action": "destroy-bck"}
    assert disks.wire.send("DELETE", "/v1/buckets/one", action=gone).status == 200
    available = disks.lists()["available"]
    wait_until(lambda: not stored_blobs(*available), "the bucket is gone")

    disks.create("two", checksum=checksum, mirror={"enabled": True, "copies": 2})
    disks.put("two", 6)
    paths = (disks.head("two", 6).header("ais-mirror-paths") or "").split(",")
    assert len(paths) == 2
    flip_everywhere(paths[:1], 1)
    for _ in range(2):
        answer = disks.get("two", 6)
        assert (answer.status, answer.body) == (200, content(6))
    assert len(stored_blobs(*available)) == 2


def test_a_lost_disk_of_a_mirrored_bucket_loses_nothing(single: aistore.LocalCluster) -> None:
    disks = Disks(single)
    disks.create("b", mirror={"enabled": True, "copies": 2})
    for index in range(COUNT):
        disks.put("b", index)
    lost = disks.lists()["available"][2]
    for folder in ("blobs", "segments"):
        shutil.rmtree(Path(lost) / "ais" / folder)
    for index in range(COUNT):
        assert disks.get("b", index).body == content(index), index


def statuses(disks: Disks, bucket: str) -> dict[str, list[int]]:
    """Statuses of the entries of each object when what is misplaced is asked for too."""
    action = {"action": "list", "value": {"flags": "2", "props": "name,size,status,copies"}}
    answer = disks.wire.send("GET", f"/v1/buckets/{bucket}", action=action)
    assert answer.status == 200, answer.body
    found: dict[str, list[int]] = {}
    for entry in answer.json()["entries"]:
        assert entry["flags"] & 64
        found.setdefault(entry["name"], []).append(entry["flags"] & 31)
    return found


def test_the_listing_tells_copies_and_what_is_misplaced(single: aistore.LocalCluster) -> None:
    disks = Disks(single)

    def resilver(enabled: str) -> None:
        query = {"resilver.enabled": enabled}
        assert disks.wire.send("PUT", "/v1/cluster/set-config", **query).status == 200

    disks.create("mirrored", mirror={"enabled": True, "copies": 2})
    disks.create("plain")
    for index in range(COUNT):
        disks.put("mirrored", index)
        disks.put("plain", index)
    assert list(statuses(disks, "mirrored").values()) == [[0, 3]] * COUNT
    assert list(statuses(disks, "plain").values()) == [[0]] * COUNT

    # Taken away at once: copies stay without their objects, what had none is missing.
    gone = disks.lists()["available"][1]
    assert disks.change("POST", "disable-mp", gone, dntres="true").status == 200
    seen = statuses(disks, "mirrored")
    assert len(seen) == COUNT
    kinds = {tuple(found) for found in seen.values()}
    assert kinds == {(0,), (0, 3), (4,)}
    assert 0 < len(statuses(disks, "plain")) < COUNT
    resilver("false")
    assert disks.change("POST", "enable-mp", gone).status == 200
    assert list(statuses(disks, "mirrored").values()) == [[0, 3]] * COUNT
    assert list(statuses(disks, "plain").values()) == [[0]] * COUNT

    # Emptied and brought back: objects that belong there lie elsewhere until a resilver.
    resilver("true")
    assert disks.change("POST", "disable-mp", gone).status == 200
    disks.wait_drained()
    disks.wait_idle()
    assert list(statuses(disks, "plain").values()) == [[0]] * COUNT
    resilver("false")
    assert disks.change("POST", "enable-mp", gone).status == 200
    off = [name for name, found in statuses(disks, "plain").items() if found == [2]]
    assert 0 < len(off) < COUNT
    names = {"action": "list", "value": {"flags": "0"}}
    entries = disks.wire.send("GET", "/v1/buckets/plain", action=names).json()["entries"]
    assert [entry["flags"] for entry in entries] == [64] * COUNT
    resilver("true")
    start = {"action": "start", "value": {"Kind": "resilver", "DaemonID": disks.target}}
    started = disks.wire.send("PUT", "/v1/cluster", action=start)
    assert started.status == 200, started.body
    disks.wait_idle()
    assert list(statuses(disks, "plain").values()) == [[0]] * COUNT
    assert list(statuses(disks, "mirrored").values()) == [[0, 3]] * COUNT


def vanish(path: str) -> None:
    """Removes a mountpath under the feet of its target, which may write to it meanwhile."""
    away = Path(f"{path}.away")
    Path(path).rename(away)

    def gone() -> bool:
        shutil.rmtree(away, ignore_errors=True)
        return not away.exists()

    wait_until(gone, "the directory is removed")


def test_a_failing_disk_is_taken_out_of_use(single: aistore.LocalCluster) -> None:
    disks = Disks(single)
    disks.create("b", mirror={"enabled": True, "copies": 2})
    for index in range(COUNT):
        disks.put("b", index)
    available = disks.lists()["available"]
    for path in available:
        assert disks.change("POST", "fshc-mp", path).status == 200
    wait_until(lambda: disks.log("info").count(b"passed its health") == 3, "the checks end", 60)
    assert disks.lists()["available"] == available
    assert node_status(disks)["cluster"]["flags"] & 8192 == 0

    # The disk vanishes; writes that fail make the target look for itself.
    lost = available[0]
    vanish(lost)
    path = "/v1/objects/b/new"

    def disabled() -> bool:
        for index in range(COUNT):
            # Large enough for a file of its own: those who append to an open one notice nothing.
            disks.wire.follow("PUT", f"{path}{index}", body=bytes(100_000))
        return disks.lists()["disabled"] == [lost]

    wait_until(disabled, "the failing mountpath is disabled", 60)
    for index in range(COUNT):
        assert disks.get("b", index).body == content(index), index
        assert disks.wire.follow("PUT", f"{path}{index}", body=b"x").status == 200
    status = node_status(disks)
    assert status["cluster"]["flags"] & 8192
    tracker = status["tracker"]
    assert tracker["err.fshc.n"] >= 1
    assert tracker["err.io.put.n"] >= 1
    assert tracker["state.flags"] == status["cluster"]["flags"]

    # Of the others one may go, the last one stays.
    vanish(available[1])
    assert disks.change("POST", "fshc-mp", available[1]).status == 200
    wait_until(lambda: available[1] in disks.lists()["disabled"], "the next one is disabled")
    vanish(available[2])
    assert disks.change("POST", "fshc-mp", available[2]).status == 200
    wait_until(lambda: b"stays in use" in disks.log("error"), "the last mountpath is checked")
    assert disks.lists()["available"] == [available[2]]


def test_labels_of_mountpaths_are_kept(single: aistore.LocalCluster, tmp_path: Path) -> None:
    disks = Disks(single)
    path = str(tmp_path / "more")
    Path(path).mkdir()
    for bad in ("x" * 65, "a\nb"):
        assert disks.change("PUT", "attach-mp", path, mountpath_label=bad).status == 400
    assert disks.change("PUT", "attach-mp", path, mountpath_label="nvme").status == 200
    disks.wait_idle()

    def labels() -> list[str]:
        ask = disks.wire.send
        status = node_status(disks)["capacity"]["mountpaths"]
        disk = ask("GET", "/v1/reverse/daemon", headers=disks.node, what="disk").json()
        config = ask("GET", "/v1/reverse/daemon", headers=disks.node, what="config").json()
        assert [entry["mountpath_label"] for entry in status.values()].count("nvme") <= 1
        return [
            status[path]["mountpath_label"],
            disk["mountpaths"][path]["mountpath_label"],
            config["fspaths"][path],
        ]

    assert labels() == ["nvme"] * 3
    single.kill_target(0)
    single.restart_target(0)
    assert labels() == ["nvme"] * 3
    disks.wait_idle()
    assert disks.change("POST", "disable-mp", path, dntres="true").status == 200
    assert disks.change("POST", "enable-mp", path).status == 200
    assert labels() == ["nvme"] * 3
    disks.wait_idle()
    assert disks.change("DELETE", "detach-mp", path).status == 200
    disks.wait_drained()
    disks.wait_idle()
    assert disks.change("PUT", "attach-mp", path).status == 200
    assert labels() == [""] * 3


def test_many_mountpaths_attached_at_once_keep_their_labels(
    single: aistore.LocalCluster, tmp_path: Path
) -> None:
    disks = Disks(single)
    paths = [str(tmp_path / f"more{index}") for index in range(10)]
    answers: dict[str, Answer] = {}

    def attach(path: str) -> None:
        answers[path] = disks.change("PUT", "attach-mp", path, mountpath_label=Path(path).name)

    for path in paths:
        Path(path).mkdir()
    threads = [threading.Thread(target=attach, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {path: answers[path].status for path in paths} == dict.fromkeys(paths, 200), answers
    disks.wait_idle()

    def labels() -> dict[str, str]:
        ask = disks.wire.send
        config = ask("GET", "/v1/reverse/daemon", headers=disks.node, what="config").json()
        return {path: config["fspaths"].get(path) for path in paths}

    expected = {path: Path(path).name for path in paths}
    assert labels() == expected
    single.kill_target(0)
    single.restart_target(0)
    assert labels() == expected
    assert set(paths) <= set(disks.lists()["available"])


def test_mountpaths_do_not_nest(single: aistore.LocalCluster, tmp_path: Path) -> None:
    disks = Disks(single)
    outer = Path(disks.lists()["available"][0])
    (outer / "inner").mkdir()
    data = next(tmp_path.rglob("target/node-id")).parent.parent
    long = tmp_path / ("x" * 250)
    long.mkdir()
    refused = {
        "/": "root directory",
        str(long): "255 bytes",
        str(outer / "inner"): f"inside mountpath {outer}",
        str(outer.parent): "contains",
        str(data.parent): "contains",
        str(data / "target"): "data directory",
    }
    for path, reason in refused.items():
        answer = disks.change("PUT", "attach-mp", path)
        assert answer.status == 400, (path, answer.body)
        if path not in (str(data / "target"), str(outer.parent)):
            assert reason.encode() in answer.body, (path, answer.body)


def test_a_mended_disk_comes_back_while_another_is_gone(single: aistore.LocalCluster) -> None:
    disks = Disks(single)
    # More than a check ever finds: a disk that is gone goes all the same.
    conf = {"fshc": {"error_limit": 1000}, "resilver": {"enabled": False}}
    action = {"action": "set-config", "value": conf}
    assert disks.wire.send("PUT", "/v1/cluster", action=action).status == 200
    first, second, _ = disks.lists()["available"]
    vanish(first)
    wait_until(lambda: disks.lists()["disabled"] == [first], "the lost disk is disabled")

    conf["fshc"] = {"enabled": False}
    assert disks.wire.send("PUT", "/v1/cluster", action=action).status == 200
    vanish(second)
    Path(first).mkdir()
    answer = disks.change("POST", "enable-mp", first)
    assert answer.status == 200, answer.body
    assert first in disks.lists()["available"]
