"""Objects through the package: bytes in, the same bytes out, and errors that say what is wrong."""

from __future__ import annotations

import os
import pickle
import threading
from pathlib import Path

import numpy as np
import pytest

from aistore.sdk import Bucket, Client
from aistore.sdk.errors import AISError, ErrBckAlreadyExists, ErrBckNotFound, ErrObjNotFound

SIZES = [0, 1, 4095, 65_536, 65_537, 1 << 20, (5 << 20) + 3]


@pytest.mark.parametrize("size", SIZES)
def test_bytes_come_back_as_they_went_in(bucket: Bucket, size: int) -> None:
    content = os.urandom(size)
    obj = bucket.object("dir/name")
    obj.get_writer().put_content(content)
    assert obj.get_reader().read_all() == content
    assert obj.head().size == size
    assert b"".join(obj.get_reader(chunk_size=1000)) == content


@pytest.mark.parametrize(
    "name",
    [
        "plain",
        "a//b",
        "/lead",
        "sp ace",
        "per%cent",
        "q?u#e&s=t+",
        "ü/日本/🙂",
        "n" * 3000,
        "a:b;c,d'\"<>",
    ],
)
def test_any_utf8_name_is_listed_and_served_back(bucket: Bucket, name: str) -> None:
    bucket.object(name).get_writer().put_content(name.encode())
    assert [entry.name for entry in bucket.list_all_objects()] == [name]
    assert bucket.object(name).get_reader().read_all() == name.encode()
    bucket.object(name).delete()
    assert bucket.list_all_objects() == []


def test_a_name_may_be_an_object_and_a_prefix(bucket: Bucket) -> None:
    bucket.object("a").get_writer().put_content(b"1")
    bucket.object("a/b").get_writer().put_content(b"2")
    assert bucket.object("a").get_reader().read_all() == b"1"
    assert bucket.object("a/b").get_reader().read_all() == b"2"


def test_overwrite_replaces_and_counts_versions(bucket: Bucket) -> None:
    obj = bucket.object("o")
    for i in range(1, 4):
        obj.get_writer().put_content(b"x" * i)
        assert obj.props.obj_version == str(i)
        assert obj.get_reader().read_all() == b"x" * i


@pytest.mark.parametrize(
    ("byte_range", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 20),
        ("bytes=990-", 990, 1000),
        ("bytes=-7", 993, 1000),
        ("bytes=900-5000", 900, 1000),
    ],
)
def test_ranges(bucket: Bucket, byte_range: str, start: int, stop: int) -> None:
    content = os.urandom(1000)
    bucket.object("o").get_writer().put_content(content)
    assert bucket.object("o").get_reader(byte_range=byte_range).read_all() == content[start:stop]


def test_large_object_from_file_in_parallel_and_into_own_memory(
    bucket: Bucket, tmp_path: Path
) -> None:
    content = os.urandom(48 << 20)
    path = tmp_path / "big.bin"
    path.write_bytes(content)
    obj = bucket.object("big")
    obj.get_writer().put_file(path)
    assert obj.get_reader().read_all() == content

    array = np.zeros(len(content), dtype=np.uint8)
    assert obj.get_reader().read_into(array) == len(content)
    assert array.tobytes() == content
    buffer = bytearray(len(content))
    assert obj.get_reader().read_into(buffer) == len(content)
    assert buffer == content


def test_reader_as_file(bucket: Bucket) -> None:
    lines = b"".join(b"line %d\n" % i for i in range(10_000))
    bucket.object("text").get_writer().put_content(lines)
    with bucket.object("text").get_reader().as_file() as file:
        assert file.read(4) == b"line"
        assert file.readline() == b" 0\n"
        assert b"line 0\n" + file.read() == lines


def test_checksum_and_attributes(bucket: Bucket) -> None:
    bucket.object("o").get_writer().put_content(b"abc")
    attributes = bucket.object("o").get_reader().attributes
    assert (attributes.checksum_type, attributes.checksum_value) == ("xxhash2", "44bc2cf5ad770999")
    assert attributes.size == 3
    assert int(attributes.access_time) > 1_700_000_000 * 10**9


def test_missing_things_have_their_own_errors(client: Client, bucket: Bucket) -> None:
    with pytest.raises(ErrObjNotFound) as missing:
        bucket.object("nope").get_reader().read_all()
    assert missing.value.status_code == 404
    assert f"ais://{bucket.name}/nope" in str(missing.value)
    with pytest.raises(AISError):
        bucket.object("nope").head()
    with pytest.raises(ErrObjNotFound):
        bucket.object("nope").delete()
    with pytest.raises(ErrBckNotFound) as gone:
        client.bucket("no-such-bucket").object("o").get_reader().read_all()
    assert "no-such-bucket" in str(gone.value)
    with pytest.raises(ErrBckAlreadyExists):
        bucket.create()
    bucket.create(exist_ok=True)
    again = pickle.loads(pickle.dumps(missing.value))
    assert (again.status_code, str(again)) == (404, str(missing.value))


def test_client_and_handles_pickle(bucket: Bucket) -> None:
    bucket.object("o").get_writer().put_content(b"payload")
    for thing in (bucket.object("o"), bucket.object("o").get_reader()):
        copy = pickle.loads(pickle.dumps(thing))
        reader = copy.get_reader() if hasattr(copy, "get_reader") else copy
        assert reader.read_all() == b"payload"


def test_threads_share_a_client(bucket: Bucket) -> None:
    contents = {f"o{i}": os.urandom(3000 + i) for i in range(64)}
    bucket.put_many(list(contents.items()))
    wrong: list[str] = []

    def read() -> None:
        wrong.extend(
            name
            for name, content in contents.items()
            if bucket.object(name).get_reader().read_all() != content
        )

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_concurrent_overwrites_never_mix(bucket: Bucket) -> None:
    """Readers of a name that is being overwritten see one whole version."""
    obj = bucket.object("hot")
    versions = [bytes([i]) * (3 << 20) for i in range(4)]
    obj.get_writer().put_content(versions[0])
    stop = threading.Event()

    def write() -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            obj.get_writer().put_content(versions[turn % 4])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(60):
            content = obj.get_reader().read_all()
            assert content in versions
    finally:
        stop.set()
        writer.join()


def test_put_files_uploads_a_tree(bucket: Bucket, tmp_path: Path) -> None:
    files = {"a.txt": b"1", "sub/b.txt": b"22", "sub/deep/c.bin": b"333"}
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    names = bucket.put_files(tmp_path, recursive=True, prepend="up/", verbose=False)
    assert sorted(names) == sorted(f"up/{name}" for name in files)
    for name, content in files.items():
        assert bucket.object(f"up/{name}").get_reader().read_all() == content
