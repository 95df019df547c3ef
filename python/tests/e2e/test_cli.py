"""`ais`: what people read, what scripts parse, and exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from support import Ais

import aistore
from aistore.sdk import Bucket

AIS = Path(sys.executable).parent / "ais"


def as_json(done: subprocess.CompletedProcess[bytes]) -> Any:
    return json.loads(done.stdout)


def test_show_cluster(ais: Ais) -> None:
    text = ais("show", "cluster").stdout.decode()
    assert text.count("t[") == 3 or text.count("online") >= 3 or text.count("\n") > 5
    assert "PROXY" in text
    assert "TARGET" in text
    assert as_json(ais("show", "cluster", "--json"))


def test_bucket_life(ais: Ais) -> None:
    name = f"ais://cli-{os.getpid()}"
    assert f'"{name}" created' in ais("bucket", "create", name).stdout.decode()
    assert b"already exists" in ais("create", name, code=1).stderr
    assert name in ais("ls").stdout.decode()
    assert name.removeprefix("ais://") in [
        b["name"] for b in as_json(ais("bucket", "ls", "--json"))
    ]
    ais("bucket", "props", "set", name, "checksum.type=md5")
    assert b"md5" in ais("bucket", "props", "show", name).stdout
    assert as_json(ais("bucket", "props", "show", name, "--json"))["checksum"]["type"] == "md5"
    ais("bucket", "props", "reset", name)
    assert as_json(ais("bucket", "props", "show", name, "--json"))["checksum"]["type"] == "xxhash2"
    ais("bucket", "rm", name, "--yes")
    assert b"does not exist" in ais("ls", name, code=1).stderr


def test_objects(ais: Ais, bucket: Bucket, tmp_path: Path) -> None:
    url = f"ais://{bucket.name}"
    tree = {"a.txt": b"alpha", "sub/b.bin": os.urandom(300_000)}
    for name, content in tree.items():
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    ais("put", str(tmp_path / "in" / "a.txt"), f"{url}/one.txt")
    ais("put", str(tmp_path / "in"), f"{url}/tree/", "--recursive", "--progress")
    listed = as_json(ais("ls", url, "--json"))
    entries = listed["entries"] if isinstance(listed, dict) else listed
    assert [e["name"] for e in entries] == ["one.txt", "tree/a.txt", "tree/sub/b.bin"]
    table = ais("ls", url).stdout.decode().splitlines()
    assert table[0].split()[:2] == ["NAME", "SIZE"]
    assert any(line.split()[:2] == ["one.txt", "5B"] for line in table)

    ais("get", f"{url}/tree/sub/b.bin", str(tmp_path / "out.bin"), "--checksum")
    assert (tmp_path / "out.bin").read_bytes() == tree["sub/b.bin"]
    nowhere = tmp_path / "nowhere"
    told = ais("get", f"{url}/one.txt", str(nowhere / "out"), code=1).stderr
    assert f'no directory "{nowhere}"'.encode() in told
    assert not nowhere.exists()
    ais("get", f"{url}/one.txt", f"{nowhere}/")
    assert (nowhere / "one.txt").read_bytes() == b"alpha"
    assert ais("get", f"{url}/one.txt", "-").stdout == b"alpha"
    assert ais("get", f"{url}/one.txt", "-", "--offset", "1", "--length", "3").stdout == b"lph"
    ais("put", "-", f"{url}/stdin", stdin=b"from a pipe")
    assert ais("object", "get", f"{url}/stdin", "-").stdout == b"from a pipe"
    ais("object", "rm", f"{url}/stdin", f"{url}/one.txt")
    assert [e.name for e in bucket.list_all_objects()] == ["tree/a.txt", "tree/sub/b.bin"]


def test_get_batch(ais: Ais, bucket: Bucket, tmp_path: Path) -> None:
    for i in range(5):
        bucket.object(f"o{i}").get_writer().put_content(b"%d" % i)
    out = tmp_path / "batch.tar"
    ais("ml", "get-batch", f"ais://{bucket.name}", str(out), "--list", "o3,o1,o4")
    with tarfile.open(out) as archive:
        assert [n.rpartition("/")[2] for n in archive.getnames()] == ["o3", "o1", "o4"]
    ais("ml", "get-batch", f"ais://{bucket.name}", str(tmp_path / "t.tar"), "--template", "o{0..2}")
    with tarfile.open(tmp_path / "t.tar") as archive:
        assert len(archive.getnames()) == 3
    failed = ais(
        "ml",
        "get-batch",
        f"ais://{bucket.name}",
        str(tmp_path / "x.tar"),
        "--list",
        "o1,gone",
        code=1,
    )
    assert b"gone" in failed.stderr
    assert not (tmp_path / "x.tar").exists()


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["lss"], "ls"),
        (["get", "ais://no-such-bucket/o", "-"], "no-such-bucket"),
        (["get", "bucket/o", "-"], "ais://bucket"),
        (["put", "/no/such/file", "ais://b/o"], "/no/such/file"),
        (["ls", "ftp://x"], "ftp"),
        (["bucket", "create", "ais://bad..name"], "bad..name"),
        (["ls", "--colour"], "--colour"),
    ],
)
def test_mistakes_exit_1_and_say_what_to_do(ais: Ais, args: list[str], text: str) -> None:
    done = ais(*args, code=1)
    assert text in done.stderr.decode()
    assert b"panicked" not in done.stderr


def test_unreachable_endpoint(ais: Ais) -> None:
    done = ais("--endpoint", "http://127.0.0.1:9", "ls", code=1)
    assert b"127.0.0.1:9" in done.stderr
    assert b"AIS_ENDPOINT" in done.stderr


def test_closed_pipe_is_no_error(cluster: aistore.LocalCluster, bucket: Bucket) -> None:
    bucket.put_many([(f"{i:05}" + "n" * 100, b"") for i in range(3000)])
    script = f"{AIS} ls ais://{bucket.name} | head -n 2"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", script], capture_output=True, check=False, timeout=60,
        env={**os.environ, "AIS_ENDPOINT": cluster.endpoint},
    )  # fmt: skip
    assert done.stdout.count(b"\n") == 2
    assert b"panicked" not in done.stderr
