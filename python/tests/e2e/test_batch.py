"""GetBatch: strict order over objects and files in shards, on every target, missing ones marked."""

from __future__ import annotations

import io
import json
import os
import random
import tarfile
import urllib.request
import zipfile
from pathlib import Path

import numpy as np
import pytest
from support import Wire

import aistore
from aistore.sdk import Bucket, Client
from aistore.sdk.errors import AISError, ErrObjNotFound


def make_tar(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


@pytest.fixture
def contents(bucket: Bucket) -> dict[tuple[str, str], bytes]:
    """200 plain objects and 6 shards of 50 files; keys are (object, archpath)."""
    rng = random.Random(7)
    plain = {(f"obj-{i:03}", ""): rng.randbytes(rng.randrange(20_000)) for i in range(200)}
    plain["obj-empty", ""] = b""
    shards = {
        f"shard-{s}.tar": {
            f"dir/{'long' * 40}-{f}-ü.bin" if f % 10 == 0 else f"{f}.bin": rng.randbytes(
                rng.randrange(9_000)
            )
            for f in range(50)
        }
        for s in range(6)
    }
    bucket.put_many(
        [(name, content) for (name, _), content in plain.items()]
        + [(name, make_tar(files)) for name, files in shards.items()]
    )
    inside = {(s, f): c for s, files in shards.items() for f, c in files.items()}
    return plain | inside


@pytest.mark.parametrize("streaming", [True, False])
def test_entries_come_in_request_order(
    client: Client, bucket: Bucket, contents: dict[tuple[str, str], bytes], streaming: bool
) -> None:
    wanted = list(contents)
    random.Random(1).shuffle(wanted)
    wanted += wanted[:20]  # the same entry twice is two entries
    batch = client.batch(bucket=bucket, streaming_get=streaming)
    for name, archpath in wanted:
        batch.add(name, archpath=archpath or None)
    got = list(batch.get())
    assert [(out.obj_name, out.archpath or "") for out, _ in got] == wanted
    assert [content for _, content in got] == [contents[key] for key in wanted]
    assert all(isinstance(content, bytes) and not out.err_msg for out, content in got)


def test_raw_stream_is_a_plain_tar(
    client: Client, bucket: Bucket, contents: dict[tuple[str, str], bytes]
) -> None:
    wanted = [("obj-003", ""), ("shard-1.tar", "7.bin"), ("obj-empty", ""), ("obj-150", "")]
    batch = client.batch(bucket=bucket)
    for name, archpath in wanted:
        batch.add(name, archpath=archpath or None)
    with tarfile.open(fileobj=io.BytesIO(batch.get(raw=True).read())) as archive:
        members = archive.getmembers()
        assert [m.name for m in members] == [
            f"{bucket.name}/{name}" + (f"/{archpath}" if archpath else "")
            for name, archpath in wanted
        ]
        read = [archive.extractfile(m) for m in members]
        assert [f.read() if f else None for f in read] == [contents[key] for key in wanted]


@pytest.mark.parametrize("output_format", [".tgz", ".tar.gz", ".zip"])
def test_raw_streams_of_other_formats_hold_the_same(
    client: Client, bucket: Bucket, contents: dict[tuple[str, str], bytes], output_format: str
) -> None:
    wanted = random.Random(2).sample(list(contents), 150)
    batch = client.batch(bucket=bucket, output_format=output_format, only_obj_name=True)
    for name, archpath in wanted:
        batch.add(name, archpath=archpath or None)
    batch.add("absent", archpath="x")
    names = [f"{name}/{path}" if path else name for name, path in wanted] + ["__404__/absent/x"]
    found = [contents[key] for key in wanted] + [b""]
    raw = io.BytesIO(batch.get(raw=True).read())
    if output_format == ".zip":
        with zipfile.ZipFile(raw) as zipped:
            assert zipped.testzip() is None
            assert zipped.namelist() == names
            assert [zipped.read(i) for i in zipped.infolist()] == found
            return
    with tarfile.open(fileobj=raw, mode="r:gz") as archive:
        members = archive.getmembers()
        assert [m.name for m in members] == names
        read = [archive.extractfile(m) for m in members]
        assert [f.read() if f else None for f in read] == found


@pytest.mark.parametrize("streaming", [True, False])
def test_missing_entries_are_marked_and_the_rest_arrives(
    client: Client, bucket: Bucket, contents: dict[tuple[str, str], bytes], streaming: bool
) -> None:
    batch = client.batch(bucket=bucket, cont_on_err=True, streaming_get=streaming)
    batch.add("obj-001").add("absent").add("shard-0.tar", archpath="nope.bin").add(
        "no.tar", archpath="x"
    ).add("obj-002")
    got = list(batch.get())
    assert [bool(out.err_msg) for out, _ in got] == [False, True, True, True, False]
    assert [content for _, content in got] == [
        contents["obj-001", ""],
        b"",
        b"",
        b"",
        contents["obj-002", ""],
    ]


@pytest.mark.parametrize("streaming", [True, False])
def test_a_missing_entry_fails_a_strict_batch_and_is_named(
    client: Client, bucket: Bucket, contents: dict[tuple[str, str], bytes], streaming: bool
) -> None:
    batch = client.batch(
        ["obj-001", "absent"], bucket=bucket, cont_on_err=False, streaming_get=streaming
    )
    with pytest.raises(ErrObjNotFound, match="absent"):
        list(batch.get())


def test_too_many_missing_entries_fail_the_batch(client: Client, bucket: Bucket) -> None:
    batch = client.batch([f"absent-{i}" for i in range(20)], bucket=bucket, cont_on_err=True)
    with pytest.raises(AISError, match="soft-errors limit"):
        list(batch.get())


def test_ranges_in_objects_and_members(
    client: Client, bucket: Bucket, contents: dict[tuple[str, str], bytes]
) -> None:
    content, member = os.urandom(5000), contents["shard-2.tar", "7.bin"]
    bucket.object("r").get_writer().put_content(content)
    batch = client.batch(bucket=bucket)
    batch.add("r", start=100, length=50).add("r", start=4000, length=-1)
    batch.add("shard-2.tar", archpath="7.bin", start=0, length=1)
    assert [c for _, c in batch.get()] == [content[100:150], content[4000:], member[:1]]

    batch = client.batch(bucket=bucket, cont_on_err=True).add("r", start=4990, length=11)
    with pytest.raises(AISError) as outside:
        list(batch.get())
    assert outside.value.status_code == 400


def test_batches_fill_memory_of_the_caller(
    client: Client, bucket: Bucket, contents: dict[tuple[str, str], bytes]
) -> None:
    wanted = random.Random(4).sample(list(contents), 200)
    batch = client.batch(bucket=bucket)
    for name, archpath in wanted:
        batch.add(name, archpath=archpath or None)
    batch.add("absent")
    size = sum(len(contents[key]) for key in wanted)
    memory = bytearray(size)
    got = batch.read_into(memory, clear_batch=False)
    assert [part.tobytes() for _, part in got] == [*(contents[key] for key in wanted), b""]
    assert [out.size for out, _ in got[:-1]] == [len(contents[key]) for key in wanted]
    assert got[-1][0].err_msg and not got[0][0].err_msg
    assert bytes(memory) == b"".join(contents[key] for key in wanted)
    with pytest.raises(ValueError, match="larger"):
        batch.read_into(bytearray(size - 1))
    with pytest.raises(TypeError, match="writable"):
        batch.read_into(bytes(size))


def test_objects_are_read_to_wherever_the_caller_wants(bucket: Bucket, tmp_path: Path) -> None:
    content = random.Random(5).randbytes(40 << 20)
    bucket.object("o").get_writer().put_content(content)
    for workers in (None, 2, 8):
        reader = bucket.object("o").get_reader(num_workers=workers)
        memory = bytearray(len(content) + 5)
        assert reader.read_all(out=memory, verify=True) == len(content)
        assert memory[: len(content)] == content
    array = np.empty(len(content) // 4, dtype="<u4")
    assert reader.read_all(out=array) == len(content)
    assert array.tobytes() == content
    assert reader.read_all(out=tmp_path / "copy") == len(content)
    assert (tmp_path / "copy").read_bytes() == content
    with (tmp_path / "raw").open("wb", buffering=0) as file:
        assert reader.read_all(out=file) == len(content)
    assert (tmp_path / "raw").read_bytes() == content
    with pytest.raises(ValueError, match="larger"):
        reader.read_all(out=bytearray(5))
    with pytest.raises(ValueError, match="verify"):
        reader.read_all(out=tmp_path / "copy", verify=True)
    part = bucket.object("o").get_reader(byte_range="bytes=5-9")
    assert part.read_all(out=memory) == 5
    assert memory[:5] == content[5:10]


def test_batch_over_several_buckets(client: Client, bucket: Bucket) -> None:
    other = client.bucket(f"{bucket.name}-other").create()
    try:
        bucket.object("o").get_writer().put_content(b"one")
        other.object("o").get_writer().put_content(b"two")
        batch = client.batch([bucket.object("o"), other.object("o"), bucket.object("o")])
        assert [c for _, c in batch.get()] == [b"one", b"two", b"one"]
    finally:
        other.delete()


def test_a_batch_of_large_objects_keeps_order(client: Client, bucket: Bucket) -> None:
    contents = {f"big-{i}": os.urandom(6 << 20) for i in range(6)}
    bucket.put_many(list(contents.items()))
    names = list(contents) * 2
    got = list(client.batch(names, bucket=bucket).get())
    assert [c for _, c in got] == [contents[n] for n in names]


def test_bad_batches_are_refused_before_data_moves(client: Client, bucket: Bucket) -> None:
    with pytest.raises(ValueError, match="empty"):
        client.batch(bucket=bucket).get()
    with pytest.raises(ValueError):
        client.batch(bucket=bucket).add("o", start=-1, length=2)
    with pytest.raises(ValueError):
        client.batch(bucket=bucket).add("o", start=3)
    with pytest.raises(AISError, match="no-such-bucket"):
        list(client.batch(["o"], bucket=client.bucket("no-such-bucket")).get())


@pytest.mark.parametrize("native", [True, False])
def test_batches_go_on_when_a_target_restarts(
    own_cluster: aistore.LocalCluster, native: bool
) -> None:
    client = own_cluster.client()
    bucket = client.bucket("b").create()
    contents = {f"o{i:03}": random.Random(i).randbytes(100_000) for i in range(200)}
    bucket.put_many(list(contents.items()))
    # More than client and connections read ahead.
    names = list(contents) * 6

    def restart(victim: int) -> None:
        own_cluster.kill_target(victim)
        own_cluster.restart_target(victim)

    batch = client.batch(names, bucket=bucket, cont_on_err=False, only_obj_name=True)
    if native:
        for at, (_, content) in enumerate(batch.get()):
            assert content == contents[names[at]]
            if at == 3:
                restart(0)
        assert at == len(names) - 1
        return
    body = json.dumps(batch.request.dict()).encode()
    wire = Wire(own_cluster.endpoint)
    url = wire.send("GET", "/v1/ml/moss/b", body=body).header("location") or ""
    chosen = next(i for i, t in enumerate(own_cluster.targets) if url.startswith(t.url))
    request = urllib.request.Request(url, body, {"TE": "trailers"}, method="GET")
    with (
        urllib.request.urlopen(request, timeout=30) as answer,
        tarfile.open(fileobj=answer, mode="r|") as archive,
    ):
        for at, member in enumerate(archive):
            file = archive.extractfile(member)
            assert file is not None
            assert (member.name, file.read()) == (names[at], contents[names[at]])
            if at == 3:
                restart((chosen + 1) % 3)
    assert at == len(names) - 1
