"""`ais`: jobs, copies, storage and configuration against a real cluster."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from support import Ais

import aistore
from aistore.sdk import Bucket, Client


def _json(done: subprocess.CompletedProcess[bytes]) -> dict[str, object]:
    value = json.loads(done.stdout)
    assert isinstance(value, dict)
    return value


def _fill(bucket: Bucket, count: int = 30) -> None:
    for at in range(count):
        bucket.object(f"p{at % 3}/o{at:03}").get_writer().put_content(b"x" * at)


@pytest.fixture
def filled(bucket: Bucket) -> str:
    _fill(bucket)
    return f"ais://{bucket.name}"


def test_copy_is_waited_for_shown_and_finished(ais: Ais, filled: str, client: Client) -> None:
    copy = f"{filled}-copy"
    text = ais("bucket", "cp", filled, copy, "--wait", "--progress").stdout.decode()
    assert f"Copying {filled} => {copy}" in text
    assert "Started copy-bucket[" in text
    assert text.rstrip().endswith("finished")
    job = text.split("copy-bucket[")[1].split("]")[0]
    assert len(json.loads(ais("ls", copy, "--json").stdout)) == 30
    table = ais("show", "job", job).stdout.decode().splitlines()
    assert table[0].split() == [
        "NODE", "ID", "KIND", "BUCKET", "OBJECTS", "BYTES", "START", "END", "STATE",
    ]  # fmt: skip
    assert all(f"{filled} => {copy}" in line and "Finished" in line for line in table[1:4])
    assert table[4].split()[:2] == ["Total:", "30"]
    by_target = json.loads(ais("job", "show", job, "--json").stdout)
    assert {snap["id"] for snaps in by_target.values() for snap in snaps} == {job}
    assert ".id" in ais("show", "job", job, "-v").stdout.decode()
    ais("wait", job)
    ais("wait", "copy-bucket", job)
    assert _json(ais("wait", job, "--json"))["aborted"] is False
    ais("rmb", copy, "-y")


def test_copy_of_a_prefix_and_of_one_object(ais: Ais, filled: str) -> None:
    copy = f"{filled}-part"
    ais("create", copy)
    ais("cp", filled, copy, "--prefix", "p1/", "--prepend", "new-", "--wait")
    names = [entry["name"] for entry in json.loads(ais("ls", copy, "--json").stdout)]
    assert len(names) == 10
    assert all(name.startswith("new-p1/") for name in names)
    ais("object", "cp", f"{filled}/p0/o003", f"{copy}/one")
    assert ais("object", "cat", f"{copy}/one").stdout == b"xxx"
    assert b"does" in ais("cp", f"{filled}/none", f"{copy}/one", code=1).stderr
    ais("object", "mv", f"{copy}/one", f"{copy}/two")
    assert ais("object", "cat", f"{copy}/two").stdout == b"xxx"
    ais("object", "cat", f"{copy}/one", code=1)
    assert (
        b"inside their bucket" in ais("object", "mv", f"{copy}/two", f"{filled}/x", code=1).stderr
    )
    ais("object", "set-custom", f"{copy}/two", "source=web", "k=v")
    assert b"source=web" in ais("show", "object", f"{copy}/two", "--props", "all").stdout
    ais("object", "set-custom", f"{copy}/two", '{"only": "this"}', "--set-new-custom")
    shown = ais("show", "object", f"{copy}/two", "--props", "custom").stdout
    assert b"only=this" in shown
    assert b"source=web" not in shown
    ais("rmb", copy, "-y")


def test_a_bucket_is_renamed(ais: Ais, client: Client) -> None:
    name = f"cli-mv-{os.getpid()}"
    _fill(client.bucket(name).create(), 5)
    ais("bucket", "mv", f"ais://{name}", f"ais://{name}-new", "--wait")
    assert len(json.loads(ais("ls", f"ais://{name}-new", "--json").stdout)) == 5
    assert b"does not exist" in ais("ls", f"ais://{name}", code=1).stderr
    ais("rmb", f"ais://{name}-new", "-y")


def test_jobs_that_are_not_there(ais: Ais) -> None:
    assert b'did you mean "rebalance"' in ais("show", "job", "rebalanc", code=1).stderr
    assert b"not found" in ais("wait", "nosuchjobid", code=1).stderr
    assert b"not found" in ais("show", "job", "nosuchjobid", code=1).stderr
    assert b"not found" in ais("stop", "nosuchjobid", code=1).stderr
    assert b"No jobs" in ais("show", "job", "ec-bucket").stdout
    assert b"Nothing to stop" in ais("stop", "ec-bucket").stdout
    assert b"is not a duration" in ais("wait", "x", "--timeout", "soon", code=1).stderr
    assert ais("job", "start", "rebalance", code=1).stderr
    assert ais("start", "nosuchkind", code=1).stderr


def test_mirror_resilver_and_summary(ais: Ais, filled: str, client: Client) -> None:
    text = ais("storage", "mirror", filled, "--copies", "2", "--wait").stdout.decode()
    assert "mirror[" in text
    assert text.rstrip().endswith("finished")
    assert b"2" in ais("bucket", "props", "show", filled, "mirror.copies").stdout
    target = next(iter(client.cluster().get_info().tmap))
    ais("job", "start", "resilver", target, "--timeout", "50s")
    for words in (("ls", "--summary"), ("storage", "summary"), ("bucket", "summary")):
        line = ais(*words, filled).stdout.decode().splitlines()[1]
        assert line.split()[:2] == [filled, "30"]
    rows = json.loads(ais("storage", "summary", f"{filled}/p1/", "--json").stdout)
    assert rows[0]["ObjCount"]["obj_count_present"] == "10"


def test_mountpaths_and_disks(ais: Ais, cluster: aistore.LocalCluster) -> None:
    shown = _json(ais("storage", "mountpath", "show", "--json"))
    target, paths = next(iter(shown.items()))
    assert isinstance(paths, dict)
    path = paths["available"][0]
    table = ais("show", "storage", "mountpath", f"t[{target}]").stdout.decode()
    assert table.splitlines()[0].split() == ["TARGET", "MOUNTPATH", "STATE"]
    ais("storage", "mountpath", "disable", f"t[{target}]={path}", "--no-resilver")
    assert b"disabled" in ais("storage", "mountpath", "show", target).stdout
    ais("storage", "mountpath", "enable", f"{target}={path}")
    assert b"checked" in ais("storage", "mountpath", "fshc", f"{target}={path}").stdout
    assert b"rescanned" in ais("storage", "mountpath", "rescan-disks", f"{target}={path}").stdout
    assert b"TARGET=PATH" in ais("storage", "mountpath", "attach", path, code=1).stderr
    assert ais("storage", "mountpath", "attach", f"{target}=/no/such/place", code=1).stderr
    assert ais("show", "storage", "disk").stdout.startswith(b"TARGET")
    assert set(_json(ais("storage", "disk", "--json"))) == set(shown)


def test_configuration_of_cluster_and_node(ais: Ais, client: Client) -> None:
    node = next(iter(client.cluster().get_info().tmap))
    assert b"mirror.copies" in ais("config", "show", "cluster", "mirror").stdout
    changed = ais("config", "cluster", "lru.dont_evict_time=3h").stdout
    assert b'"lru.dont_evict_time" set to: "3h0m"' in changed
    assert b"mirror.copies" in ais("show", "cluster", "config", "mirror").stdout
    ais("config", "node", node, "log.level=4", "--transient")
    assert b"4" in ais("config", "node", node, "log.level").stdout
    ais("config", "reset", node, "-y")
    ais("config", "reset", "-y")
    assert b"did you mean" in ais("config", "cluster", "mirror.copis=2", code=1).stderr
    assert ais("config", "cluster", "mirror.copies=99", code=1).stderr


def test_cluster_views_logs_and_certificates(
    ais: Ais, client: Client, filled: str, tmp_path: Path
) -> None:
    assert filled.removeprefix("ais://").encode() in ais("show", "cluster", "bmd").stdout
    assert b"up.ns.time" in ais("show", "cluster", "stats").stdout
    node = next(iter(client.cluster().get_info().tmap))
    assert ais("log", "show", node, "--severity", "i").stdout
    ais("log", "get", node, str(tmp_path))
    assert (tmp_path / f"aistarget-{node}").stat().st_size > 0
    assert ais("tls", "show", code=1).stderr
    assert b"http" in ais("tls", "load-certificate", code=1).stderr


def test_files_on_the_targets_become_objects(
    ais: Ais, bucket: Bucket, cluster: aistore.LocalCluster
) -> None:
    folder = Path(cluster.promote_root) / bucket.name
    folder.mkdir(parents=True)
    for name in ("a", "b"):
        (folder / name).write_text(name)
    url = f"ais://{bucket.name}"
    ais("object", "promote", str(folder), f"{url}/from/", "--timeout", "50s")
    assert ais("object", "cat", f"{url}/from/a").stdout == b"a"
    assert b"absolute" in ais("object", "promote", "folder", url, code=1).stderr


def test_large_files_go_up_in_parts(ais: Ais, bucket: Bucket, tmp_path: Path) -> None:
    content = os.urandom(2_500_000)
    (tmp_path / "f").write_bytes(content)
    url = f"ais://{bucket.name}/big"
    ais("put", str(tmp_path / "f"), url, "--chunk-size", "1MiB")
    ais("get", url, str(tmp_path / "g"), "--checksum")
    assert (tmp_path / "g").read_bytes() == content
    assert b"chunks" in ais("show", "object", url, "--props", "all").stdout
