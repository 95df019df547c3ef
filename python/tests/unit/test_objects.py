"""Objects, readers, writers and batches above an in-memory native client."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from aistore.sdk import Batch, Bucket, Client
from aistore.sdk.batch.types import MossIn, MossOut, MossReq
from aistore.sdk.enums import Colocation
from aistore.sdk.errors import AISError, ErrObjNotFound, from_native
from aistore.sdk.multiobj import ObjectGroup, ObjectRange
from aistore.sdk.obj.obj_file.errors import (
    ObjectFileReaderMaxResumeError,
    ObjectFileReaderStreamError,
)
from unit.fakes import FakeNative

CONTENT = bytes(range(256)) * 1000


@pytest.fixture
def bucket(native: FakeNative) -> Bucket:
    return Client("http://fake:1").bucket("b")


@pytest.fixture
def written(bucket: Bucket) -> Bucket:
    bucket.object("o").get_writer().put_content(CONTENT)
    return bucket


def test_read_all_and_chunks(written: Bucket) -> None:
    assert written.object("o").get_reader().read_all() == CONTENT
    chunks = list(written.object("o").get_reader(chunk_size=1000))
    assert b"".join(chunks) == CONTENT
    assert {len(c) for c in chunks} == {1000}


def test_missing(bucket: Bucket) -> None:
    with pytest.raises(ErrObjNotFound):
        bucket.object("o").get_reader().read_all()
    with pytest.raises(AISError):
        bucket.object("o").head()


@pytest.mark.parametrize("size", [10, len(CONTENT), len(CONTENT) + 10])
def test_read_into(written: Bucket, size: int) -> None:
    buffer = bytearray(b"\xff" * size)
    read = written.object("o").get_reader().read_into(buffer)
    assert read == min(size, len(CONTENT))
    assert buffer == CONTENT[:size] + b"\xff" * (size - read)
    assert written.object("o").get_reader(byte_range="bytes=5-7").read_into(buffer) == 3
    assert buffer[:3] == CONTENT[5:8]
    assert written.object("o").get_reader(byte_range="bytes=-4").read_into(buffer, offset=1) == 3
    assert buffer[:3] == CONTENT[-3:]


def test_read_into_wants_writable_memory(written: Bucket) -> None:
    with pytest.raises(TypeError, match="writable"):
        written.object("o").get_reader().read_into(b"1234")
    with pytest.raises(TypeError, match="contiguous"):
        written.object("o").get_reader().read_into(memoryview(bytearray(10))[::2])


@pytest.mark.parametrize("cuts", [[], [0], [1, 5], [32768, 32769, 0, 100_000]])
def test_a_file_goes_on_after_breaks_without_doubling_a_byte(
    written: Bucket, native: FakeNative, cuts: list[int | None]
) -> None:
    native.cuts = list(cuts)
    with written.object("o").get_reader().as_file() as file:
        assert file.read(10) == CONTENT[:10]
        assert file.read() == CONTENT[10:]
        assert file.read() == b""
    assert len(native.opened) == len(cuts) + 1


def test_a_range_goes_on_within_its_bounds(written: Bucket, native: FakeNative) -> None:
    native.cuts = [7]
    file = written.object("o").get_reader(byte_range="bytes=100-119").as_file()
    assert file.read() == CONTENT[100:120]
    assert native.opened == ["bytes=100-119", "bytes=107-119"]


def test_a_suffix_starts_over_and_skips(written: Bucket, native: FakeNative) -> None:
    native.cuts = [7]
    assert written.object("o").get_reader(byte_range="bytes=-20").as_file().read() == CONTENT[-20:]
    assert native.opened == ["bytes=-20", "bytes=-20"]


def test_a_replaced_object_is_not_spliced(written: Bucket, native: FakeNative) -> None:
    native.cuts = [100]
    file = written.object("o").get_reader().as_file()
    assert file.read(50) == CONTENT[:50]
    written.object("o").get_writer().put_content(CONTENT[::-1])
    with pytest.raises(ObjectFileReaderStreamError, match="changed"):
        file.read()
    assert file.closed


def test_a_node_that_is_not_ready_yet_costs_a_resumption(
    written: Bucket, native: FakeNative, monkeypatch: pytest.MonkeyPatch
) -> None:
    native.cuts = [7]
    opening = native.open
    answers = iter([None, 503, 503, None])

    def restarting(*args: Any, **options: Any) -> Any:
        status = next(answers)
        if status is not None:
            raise from_native("api", status, "starting", "http://fake", "GET", "")
        return opening(*args, **options)

    monkeypatch.setattr(native, "open", restarting)
    monkeypatch.setattr("aistore.sdk.obj.obj_file.stream.time.sleep", lambda _: None)
    assert written.object("o").get_reader().as_file().read() == CONTENT


def test_too_many_breaks_are_an_error(written: Bucket, native: FakeNative) -> None:
    native.cuts = [10, 10, 10]
    file = written.object("o").get_reader().as_file(max_resume=2)
    with pytest.raises(ObjectFileReaderMaxResumeError) as error:
        file.read()
    assert isinstance(error.value.original_error, ConnectionError)


def test_entering_a_file_starts_over(written: Bucket) -> None:
    file = written.object("o").get_reader().as_file()
    file.read(5)
    with file as again:
        assert again.read(5) == CONTENT[:5]
    with pytest.raises(ValueError, match="closed"):
        file.read()


def test_lines_and_readinto(bucket: Bucket) -> None:
    bucket.object("t").get_writer().put_content(b"one\ntwo\n" + b"x" * 100_000 + b"\nend")
    file = bucket.object("t").get_reader().as_file()
    assert file.readline() == b"one\n"
    buffer = bytearray(3)
    assert file.readinto(buffer) == 3
    assert buffer == b"two"
    assert [len(line) for line in file] == [1, 100_001, 3]


def test_parallel_reads(written: Bucket) -> None:
    reader = written.object("o").get_reader(num_workers=3, chunk_size=1001)
    with reader.read_all() as buffer:
        assert len(buffer) == len(CONTENT)
        assert buffer.buf == CONTENT
        assert buffer.tobytes() == CONTENT
        with pytest.raises(TypeError, match="pickle"):
            pickle.dumps(buffer)
    buffer.close()
    with pytest.raises(ValueError, match="closed"):
        _ = buffer.buf
    assert b"".join(reader) == CONTENT


def test_an_empty_object_is_an_empty_buffer(bucket: Bucket) -> None:
    bucket.object("e").get_writer().put_content(b"")
    with bucket.object("e").get_reader(num_workers=2).read_all() as buffer:
        assert buffer.tobytes() == b""


@pytest.mark.parametrize(
    "arguments",
    [{"num_workers": 1}, {"num_workers": 2, "byte_range": "bytes=0-1"}, {"chunk_size": 0}],
)
def test_contradicting_reader_arguments(bucket: Bucket, arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        bucket.object("o").get_reader(**arguments)


def test_attributes(written: Bucket) -> None:
    props = written.object("o").props
    assert (props.name, props.bucket_name, props.bucket_provider) == ("o", "b", "ais")
    assert (props.size, props.obj_version, props.present) == (len(CONTENT), "1", False)
    assert props.custom_metadata == {"a": "1", "b": "2"}
    assert props.ec is None
    assert props.mirror_paths == []


def test_file_writer(bucket: Bucket, native: FakeNative, monkeypatch: pytest.MonkeyPatch) -> None:
    obj = bucket.object("f")
    with obj.get_writer().as_file("w") as file:
        assert file.write("o") == 1
        assert file.write(b"ne") == 2
        assert "ais/@#/b/f" not in native.objects
    with obj.get_writer().as_file() as file:
        file.write(b"two")
    assert native.objects["ais/@#/b/f"] == b"onetwo"
    monkeypatch.setattr("aistore.sdk.obj.obj_file.object_file_writer._APPEND_BYTES", 10)
    with obj.get_writer().as_file("a") as file:
        for _ in range(5):
            file.write(b"x" * 9)
    assert native.objects["ais/@#/b/f"] == b"onetwo" + b"x" * 45
    with obj.get_writer().as_file("a"):
        pass
    assert native.objects["ais/@#/b/f"] == b"onetwo" + b"x" * 45
    with obj.get_writer().as_file("w"):
        pass
    assert native.objects["ais/@#/b/f"] == b""
    monkeypatch.setattr("aistore.sdk.obj.obj_file.object_file_writer._IN_MEMORY", 10)
    with obj.get_writer().as_file("w") as file:
        for _ in range(5):
            file.write(b"y" * 9)
        assert native.objects["ais/@#/b/f"] == b""
        file.flush()
        assert native.objects["ais/@#/b/f"] == b"y" * 45
        file.write(b"z")
        assert file.tell() == 46
    assert native.objects["ais/@#/b/f"] == b"y" * 45 + b"z"
    with pytest.raises(ValueError, match="Invalid mode"):
        obj.get_writer().as_file("r")


def test_an_exception_or_a_lost_file_writes_nothing(bucket: Bucket, native: FakeNative) -> None:
    with pytest.raises(RuntimeError), bucket.object("f").get_writer().as_file("w") as file:
        file.write(b"half")
        raise RuntimeError
    assert file.closed
    lost = bucket.object("f").get_writer().as_file("w")
    lost.write(b"half")
    del lost
    with pytest.raises(RuntimeError), bucket.object("f").get_writer().as_file("a") as file:
        file.write(b"half" * (4 << 20))
        raise RuntimeError
    assert len(native.sessions) == 1, "sent, and left behind"
    assert native.objects == {}


def test_put_files(bucket: Bucket, tmp_path: Path, native: FakeNative) -> None:
    for name in ("a.txt", "b.log", "sub/a.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    assert bucket.put_files(tmp_path, dry_run=True) == ["a.txt", "b.log"]
    assert native.objects == {}
    assert bucket.put_files(tmp_path, recursive=True, pattern="*.txt", prepend="p-") == [
        "p-a.txt",
        "p-sub/a.txt",
    ]
    assert native.objects["ais/@#/b/p-sub/a.txt"] == b"sub/a.txt"
    with pytest.raises(ValueError, match="basename"):
        bucket.put_files(tmp_path, recursive=True, basename=True)
    with pytest.raises(ValueError, match="not a directory"):
        bucket.put_files(tmp_path / "a.txt")


def test_listing(bucket: Bucket) -> None:
    bucket.put_many([(f"o{i}", b"x" * i) for i in range(7)])
    assert [e.name for e in bucket.list_objects_iter(page_size=3)] == [f"o{i}" for i in range(7)]
    assert [e.name for e in bucket.list_objects_iter(start_after="o4", page_size=1)] == ["o5", "o6"]
    entries = bucket.list_all_objects(prefix="o")
    assert entries[3].object.props_cached.size == 3
    objects = list(bucket.list_all_objects_iter())
    assert [o.props_cached.size for o in objects if o.props_cached] == list(range(7))
    assert (objects[1].props_cached or objects[1].props).bucket_name == "b"
    assert pickle.loads(pickle.dumps(objects))[2].props_cached.size == 2
    assert list(bucket.list_urls("o6")) == ["http://fake:1/v1/objects/b/o6?provider=ais"]


def test_groups(written: Bucket) -> None:
    with pytest.raises(ValueError, match="exactly one"):
        ObjectGroup(written)
    with pytest.raises(ValueError, match="exactly one"):
        written.objects(obj_names=["a"], obj_template="b")
    with pytest.raises(TypeError, match="ObjectRange"):
        written.objects(obj_range="a{1..2}")
    assert written.objects(obj_range=ObjectRange("x", 1, 2)).list_names() == ["x1", "x2"]
    (found,) = written.objects(obj_names=["o"]).list_all_objects_iter()
    assert found.props_cached
    assert found.props_cached.size == len(CONTENT)
    with pytest.raises(AISError):
        list(written.objects(obj_names=["nope"]).list_all_objects_iter())


# Batches.


def test_batch_pairs_entries_with_requests(written: Bucket, native: FakeNative) -> None:
    client = Client("http://fake:1")
    batch = client.batch(["o"], bucket=written)
    batch.add("o", start=2, length=3, opaque=b"\x00tag").add(written.object("nope"))
    kept = batch.requests_list
    assert (len(batch), repr(batch)) == (3, "Batch(objects=3, format=.tar)")
    got = list(batch.get())
    assert [c for _, c in got] == [CONTENT, CONTENT[2:5], b""]
    first, second, third = (out for out, _ in got)
    assert (first.obj_name, first.bucket, first.provider, first.size) == (
        "o",
        "b",
        "ais",
        len(CONTENT),
    )
    assert (second.opaque, second.archpath, second.err_msg) == (b"\x00tag", "", None)
    assert third.err_msg
    assert native.batches[0]["in"] == [
        {"objname": "o"},
        {"objname": "o", "opaque": "AHRhZw==", "start": 2, "length": 3},
        {"objname": "nope", "bucket": "b", "provider": "ais"},
    ]
    assert {k: v for k, v in native.batches[0].items() if k != "in"} == {
        "mime": ".tar",
        "coer": True,
        "onob": False,
        "strm": True,
    }
    assert len(kept) == 3
    assert len(batch) == 0
    with pytest.raises(ValueError, match="empty"):
        batch.get()


def test_a_batch_can_be_kept(written: Bucket) -> None:
    batch = Client("http://fake:1").batch("o", bucket=written, streaming_get=False)
    assert [c for _, c in batch.get(clear_batch=False)] == [CONTENT]
    assert [c for _, c in batch.get(tar_buffer_size=1)] == [CONTENT]


@pytest.mark.parametrize(
    "arguments",
    [
        {"obj": "o", "start": -1, "length": 1},
        {"obj": "o", "length": -2},
        {"obj": "o", "start": 1},
        {"obj": "o", "bck": "b"},
        {"obj": "o", "provider": "ais"},
        {"obj": 5},
    ],
)
def test_bad_entries_are_refused(written: Bucket, arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        Client("http://fake:1").batch(bucket=written).add(**arguments)


def test_bad_batches_are_refused(written: Bucket) -> None:
    client = Client("http://fake:1")
    with pytest.raises(ValueError, match="no bucket"):
        client.batch(["o"])
    with pytest.raises(ValueError, match="format"):
        client.batch(output_format=".rar")
    with pytest.raises(ValueError):
        client.batch(colocation=7)
    with pytest.raises(NotImplementedError):
        client.batch(colocation=Colocation.TARGET_AND_SHARD_AWARE)
    with pytest.raises(ValueError, match="tar_buffer_size"):
        client.batch("o", bucket=written).get(tar_buffer_size=0)
    with pytest.raises(ValueError, match="not with an Object"):
        client.batch().add(written.object("o"), bck="b", provider="ais")


def test_what_other_libraries_probe() -> None:
    assert isinstance(vars(Batch)["requests_list"], property)
    assert "moss_in" in MossReq.model_fields
    assert {"start", "length"} <= set(MossIn.model_fields)
    required = [name for name, f in MossIn.model_fields.items() if f.is_required()]
    assert required == ["obj_name"]
    built = MossIn.model_construct(obj_name="o", start=0, length=1)
    assert built.model_dump(by_alias=True, exclude_defaults=True)["start"] == 0
    assert built.dict() == MossIn(obj_name="o", start=0, length=1).dict()
    assert MossIn(objname="o", bucket="b") == MossIn(obj_name="o", bck="b")
    assert MossOut(objname="o", opaque="AHRhZw==").opaque == b"\x00tag"
    assert MossOut(objname="o", opaque="!").opaque is None


def test_progress_is_silent_without_a_terminal(
    bucket: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "f").write_bytes(b"1")
    bucket.put_files(tmp_path, verbose=True)
    assert capsys.readouterr().err == ""
