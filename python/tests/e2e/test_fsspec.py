"""`ais://` as a file system."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import pickle
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import fsspec.callbacks
import pytest

import aistore
from aistore.fsspec import AISFileSystem
from aistore.sdk import Bucket
from aistore.sdk.errors import AISError
from aistore.sdk.obj.multipart_upload import MultipartUpload

MIB = 1 << 20
FILES = {"top": b"t", "d/1": b"one", "d/2": b"two2", "d/e/3": b"three"}


@pytest.fixture
def fs(cluster: aistore.LocalCluster) -> Iterator[AISFileSystem]:
    AISFileSystem.clear_instance_cache()
    yield fsspec.filesystem("ais", endpoint=cluster.endpoint)
    AISFileSystem.clear_instance_cache()


@pytest.fixture
def root(fs: AISFileSystem, bucket: Bucket) -> str:
    fs.pipe({f"ais://{bucket.name}/{name}": content for name, content in FILES.items()})
    return bucket.name


@pytest.fixture
def uploads(monkeypatch: pytest.MonkeyPatch) -> list[MultipartUpload]:
    """Uploads in parts that were begun."""
    begun: list[MultipartUpload] = []
    create = MultipartUpload.create

    def noted(upload: MultipartUpload) -> MultipartUpload:
        begun.append(upload)
        return create(upload)

    monkeypatch.setattr(MultipartUpload, "create", noted)
    return begun


def assert_unknown(uploads: list[MultipartUpload]) -> None:
    """The cluster has forgotten them."""
    for upload in uploads:
        with pytest.raises(AISError) as caught:
            upload.complete()
        assert caught.value.status_code == 404


def test_listings(fs: AISFileSystem, root: str) -> None:
    assert root in fs.ls("", detail=False)
    assert fs.ls(root, detail=False) == [f"{root}/d", f"{root}/top"]
    kinds = {info["name"]: (info["type"], info["size"]) for info in fs.ls(f"ais://{root}/d/")}
    assert kinds == {
        f"{root}/d/1": ("file", 3),
        f"{root}/d/2": ("file", 4),
        f"{root}/d/e": ("directory", 0),
    }
    assert fs.ls(f"{root}/top", detail=False) == [f"{root}/top"]
    assert fs.find(root) == sorted(f"{root}/{name}" for name in FILES)
    assert fs.find(f"{root}/d", withdirs=True) == [
        f"{root}/{name}" for name in ("d", "d/1", "d/2", "d/e", "d/e/3")
    ]
    assert fs.find(f"{root}/d", maxdepth=1) == [f"{root}/d/1", f"{root}/d/2"]
    assert fs.find(root, prefix="d/e") == [f"{root}/d/e/3"]
    assert fs.find(f"{root}/top") == [f"{root}/top"]
    assert fs.find(f"{root}/nowhere") == []
    assert fs.glob(f"{root}/d/*") == [f"{root}/d/1", f"{root}/d/2", f"{root}/d/e"]
    assert fs.glob(f"ais://{root}/**/3") == [f"{root}/d/e/3"]
    assert fs.du(root) == sum(map(len, FILES.values()))
    walked = {top: (sorted(dirs), sorted(files)) for top, dirs, files in fs.walk(root)}
    assert walked == {
        root: (["d"], ["top"]),
        f"{root}/d": (["e"], ["1", "2"]),
        f"{root}/d/e": ([], ["3"]),
    }


def test_what_is_there(fs: AISFileSystem, root: str) -> None:
    info = fs.info(f"{root}/d/1")
    assert (info["name"], info["size"], info["type"]) == (f"{root}/d/1", 3, "file")
    assert info["ETag"]
    assert fs.modified(f"{root}/d/1") == fs.created(f"{root}/d/1") == info["LastModified"]
    assert fs.info(root)["type"] == fs.info(f"{root}/d")["type"] == fs.info("")["type"]
    assert [fs.exists(f"{root}{name}") for name in ("", "/d", "/d/1", "/x")] == [1, 1, 1, 0]
    assert [fs.isdir(f"{root}{name}") for name in ("", "/d", "/d/1", "/x")] == [1, 1, 0, 0]
    assert [fs.isfile(f"{root}{name}") for name in ("", "/d", "/d/1", "/x")] == [0, 0, 1, 0]
    before = fs.ukey(f"{root}/d/1")
    fs.pipe(f"{root}/d/1", b"two")
    assert fs.ukey(f"{root}/d/1") != before


@pytest.mark.parametrize("path", ["{}/x", "no-such-bucket/x", "no-such-bucket"])
def test_what_is_not_there(fs: AISFileSystem, root: str, path: str, tmp_path: Path) -> None:
    path = path.format(root)
    assert not fs.exists(path)
    for call in (
        fs.info,
        fs.ls,
        lambda p: fs.rm(p, recursive=True),
        *(
            (fs.cat, fs.open, fs.rm, fs.modified, lambda p: fs.get(p, str(tmp_path / "x")))
            if "/" in path
            else ()
        ),
    ):
        with pytest.raises(FileNotFoundError, match="ais://") as caught:
            call(path)
        assert path in str(caught.value)
    assert not (tmp_path / "x").exists()


def test_contents_and_parts(fs: AISFileSystem, root: str) -> None:
    name = f"{root}/d/e/3"
    assert fs.cat(f"ais://{name}") == b"three"
    for start in (None, 0, 1, 4, 5, 9, -2, -9):
        for end in (None, 0, 2, 5, 9, -1, -9):
            assert fs.cat_file(name, start, end) == b"three"[start:end], (start, end)
    assert fs.cat(root, recursive=True) == {f"{root}/{k}": v for k, v in FILES.items()}
    assert fs.cat([f"{root}/top", f"{root}/x"], on_error="omit") == {f"{root}/top": b"t"}
    with pytest.raises(FileNotFoundError):
        fs.cat([f"{root}/top", f"{root}/x"])
    assert fs.head(name, 2) == b"th"
    assert fs.tail(name, 2) == b"ee"


def test_many_ranges_come_in_order_with_one_request(fs: AISFileSystem, root: str) -> None:
    content = random.Random(1).randbytes(100_000)
    fs.pipe(f"{root}/big", content)
    chance = random.Random(2)
    starts = [chance.randrange(100_000) for _ in range(500)]
    ends = [min(start + chance.randrange(1, 300), 100_000) for start in starts]
    got = fs.cat_ranges([f"{root}/big"] * 500, starts, ends)
    assert got == [content[a:b] for a, b in zip(starts, ends, strict=True)]
    # What is missing or out of bounds keeps nothing else from coming.
    paths = [f"{root}/{name}" for name in ("d/1", "x", "d/2", "d/2", "big", "d/e/3", "top")]
    got = fs.cat_ranges(paths, [0, 0, 1, 9, None, -2, 1], [2, 1, 99, 99, None, None, 1])
    assert isinstance(got.pop(1), FileNotFoundError)
    assert got == [b"on", b"wo2", b"", content, b"ee", b""]
    with pytest.raises(FileNotFoundError):
        fs.cat_ranges(paths, 0, 1, on_error="raise")
    many = fs.cat_ranges([f"{root}/x{i}" for i in range(40)] + [f"{root}/top"], 0, 1)
    assert all(isinstance(each, FileNotFoundError) for each in many[:40])
    assert many[40] == b"t"
    assert fs.cat_ranges([], [], []) == []
    with pytest.raises(ValueError, match="bounds"):
        fs.cat_ranges(paths, [1], 2)


def test_reading_a_file(fs: AISFileSystem, root: str) -> None:
    content = random.Random(3).randbytes(3 * MIB + 5)
    fs.pipe(f"{root}/big", content)
    with fs.open(f"ais://{root}/big", "rb", block_size=MIB) as file:
        assert file.size == len(content)
        assert file.read(10) == content[:10]
        assert file.read(2 * MIB) == content[10 : 2 * MIB + 10]
        assert file.seek(-5, os.SEEK_END) == len(content) - 5
        assert file.read() == content[-5:]
        assert file.read(1) == b""
        file.seek(7)
        buffer = bytearray(100)
        assert file.readinto(buffer) == 100
        assert bytes(buffer) == content[7:107]
        moved = pickle.loads(pickle.dumps(file))
        assert moved.tell() == 107
        assert moved.read() == content[107:]
    with fs.open(f"{root}/big", "rb", block_size=1000) as file:
        assert file.read(10) == content[:10]
        fs.pipe(f"{root}/big", content[::-1])
        with pytest.raises(OSError, match="was replaced while it was read"):
            file.read(MIB)
    with fs.open(f"{root}/big", "rb", block_size=1000) as file:
        fs.pipe(f"{root}/big", content)
        with pytest.raises(OSError, match="was replaced while it was read"):
            file.read()
    with fs.open(f"{root}/big", "rb", block_size=1000) as file:
        assert file.read() == content


@pytest.mark.parametrize("size", [0, 5, MIB, MIB + 1, 5 * MIB + 3])
def test_writing_a_file(fs: AISFileSystem, root: str, size: int) -> None:
    content = random.Random(size).randbytes(size)
    with fs.open(f"{root}/new/w", "wb", block_size=MIB) as file:
        for start in range(0, size, 400_000):
            file.write(content[start : start + 400_000])
        assert not fs.exists(f"{root}/new/w")
    assert fs.cat(f"{root}/new/w") == content
    with fs.open(f"{root}/new/w", "ab", block_size=MIB) as file:
        file.write(b"more")
    assert fs.cat(f"{root}/new/w") == content + b"more"
    with pytest.raises(FileExistsError):
        fs.open(f"{root}/new/w", "xb")
    with fs.open(f"{root}/new/x", "xb", block_size=MIB) as file:
        file.write(content)
    assert fs.cat(f"{root}/new/x") == content


@pytest.mark.parametrize("mode", ["wb", "w"])
@pytest.mark.parametrize("size", [5, 5 * MIB])
def test_what_is_given_up_leaves_nothing(
    fs: AISFileSystem, root: str, uploads: list[MultipartUpload], mode: str, size: int
) -> None:
    fs.pipe(f"{root}/old", b"old")
    for name in ("old", "new"):
        with (
            pytest.raises(ZeroDivisionError),
            fs.open(f"{root}/{name}", mode, block_size=MIB) as file,
        ):
            file.write("x" * size if mode == "w" else b"x" * size)
            raise ZeroDivisionError
    lost = fs.open(f"{root}/new", "wb", block_size=MIB)
    lost.write(b"x" * size)
    del lost
    assert fs.cat(f"{root}/old") == b"old"
    assert not fs.exists(f"{root}/new")
    assert len(uploads) == (3 if size > MIB else 0)
    assert_unknown(uploads)
    with pytest.raises(FileNotFoundError), fs.open("no-such-bucket/x", "wb") as file:
        file.write(b"x")


def test_transactions(fs: AISFileSystem, root: str, uploads: list[MultipartUpload]) -> None:
    with fs.transaction:
        for name, size in (("a", 5), ("b", 3 * MIB)):
            with fs.open(f"{root}/{name}", "wb", block_size=MIB) as file:
                file.write(b"x" * size)
            assert not fs.exists(f"{root}/{name}")
    assert fs.info(f"{root}/b")["size"] == 3 * MIB
    with pytest.raises(ZeroDivisionError), fs.transaction:
        for name, size in (("c", 5), ("e", 3 * MIB)):
            with fs.open(f"{root}/{name}", "wb", block_size=MIB) as file:
                file.write(b"x" * size)
        raise ZeroDivisionError
    assert not fs.exists(f"{root}/c")
    assert not fs.exists(f"{root}/e")
    assert len(uploads) == 2
    assert_unknown(uploads[1:])


def test_text_and_compression(fs: AISFileSystem, root: str) -> None:
    with fs.open(f"{root}/text", "w", encoding="cp1252", newline="\r\n") as file:
        file.write("héllo\nthere")
    assert fs.cat(f"{root}/text") == "héllo\r\nthere".encode("cp1252")
    with fs.open(f"{root}/text", "r", encoding="cp1252") as file:
        assert file.readlines() == ["héllo\n", "there"]
    with fs.open(f"{root}/t.gz", "w", compression="gzip") as file:
        file.write("packed")
    assert fs.cat(f"{root}/t.gz")[:2] == b"\x1f\x8b"
    with fs.open(f"{root}/t.gz", "r", compression="infer") as file:
        assert file.read() == "packed"
    for options in ({}, {"compression": "gzip"}):
        with pytest.raises(ZeroDivisionError), fs.open(f"{root}/no", "w", **options) as file:
            file.write("x")
            raise ZeroDivisionError
        lost = fs.open(f"{root}/no", "w", **options)
        lost.write("x")
        del lost
        assert not fs.exists(f"{root}/no")


def test_copies_and_removals(fs: AISFileSystem, root: str) -> None:
    fs.cp(f"{root}/d", f"{root}/copy", recursive=True)
    assert fs.cat(f"{root}/copy/e/3") == b"three"
    fs.mv(f"{root}/copy/1", f"{root}/moved")
    assert fs.cat(f"{root}/moved") == b"one"
    assert fs.find(f"{root}/copy") == [f"{root}/copy/2", f"{root}/copy/e/3"]
    fs.rm([f"{root}/copy/2", f"{root}/moved"])
    fs.rm(f"ais://{root}/copy", recursive=True)
    assert fs.find(root) == sorted(f"{root}/{name}" for name in FILES)
    fs.rm(f"{root}/d/*", recursive=True)
    assert fs.find(root) == [f"{root}/top"]
    fs.pipe_file(f"{root}/once", b"1", mode="create")
    with pytest.raises(FileExistsError):
        fs.pipe_file(f"{root}/once", b"2", mode="create")
    fs.touch(f"{root}/once", truncate=False)
    assert fs.cat(f"{root}/once") == b"1"
    fs.touch(f"{root}/once")
    assert fs.cat(f"{root}/once") == b""


def test_buckets(fs: AISFileSystem, root: str) -> None:
    made = f"{root}-made"
    fs.mkdir(made)
    with pytest.raises(FileExistsError):
        fs.mkdir(made)
    fs.makedirs(f"{made}/a/b", exist_ok=True)
    fs.pipe(f"{made}/a/b/c", b"1")
    with pytest.raises(OSError, match="not empty"):
        fs.rmdir(made)
    fs.rm(made, recursive=True)
    assert not fs.exists(made)
    fs.makedirs(made)
    fs.rmdir(made)
    assert made not in fs.ls("", refresh=True, detail=False)


class Counted(fsspec.callbacks.Callback):
    """Keeps what it was told of each file."""

    def __init__(self) -> None:
        super().__init__()
        self.files: list[fsspec.callbacks.Callback] = []

    def branched(self, path_1: Any, path_2: Any, **kwargs: Any) -> fsspec.callbacks.Callback:
        self.files.append(fsspec.callbacks.Callback())
        return self.files[-1]


def test_files_come_and_go_with_callbacks(fs: AISFileSystem, root: str, tmp_path: Path) -> None:
    up, down = Counted(), Counted()
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    contents = {"a": b"a" * 1000, "sub/b": b"b", "sub/c": random.Random(1).randbytes(65 * MIB)}
    for name, content in contents.items():
        (source / name).write_bytes(content)
    fs.put(str(source), f"ais://{root}/up", recursive=True, callback=up)
    assert fs.find(f"{root}/up") == [f"{root}/up/{name}" for name in sorted(contents)]
    assert up.value == up.size == len(contents)
    assert sorted(f.value for f in up.files) == sorted(map(len, contents.values()))
    fs.get(f"{root}/up", str(tmp_path / "down"), recursive=True, callback=down)
    for name, content in contents.items():
        assert (tmp_path / "down" / name).read_bytes() == content
    assert {(f.value, f.size) for f in down.files} >= {(len(c), len(c)) for c in contents.values()}
    with (tmp_path / "open").open("wb") as out:
        fs.get_file(f"{root}/up/a", out)
    assert (tmp_path / "open").read_bytes() == contents["a"]


def test_listings_are_remembered_and_forgotten(
    fs: AISFileSystem, root: str, bucket: Bucket
) -> None:
    assert fs.ls(root, detail=False) == [f"{root}/d", f"{root}/top"]
    bucket.object("d2/x").get_writer().put_content(b"1")
    assert fs.ls(root, detail=False) == [f"{root}/d", f"{root}/top"]
    assert fs.ls(root, detail=False, refresh=True) == [f"{root}/{n}" for n in ("d", "d2", "top")]
    # Whatever this file system changes is seen at once.
    fs.ls(f"{root}/d")
    fs.pipe(f"{root}/d/new/x", b"1")
    assert f"{root}/d/new" in fs.ls(f"{root}/d", detail=False)
    fs.rm(f"{root}/d2/x")
    assert f"{root}/d2" not in fs.ls(root, detail=False)
    bucket.object("later").get_writer().put_content(b"1")
    fs.invalidate_cache()
    assert f"{root}/later" in fs.ls(root, detail=False)
    assert fs.info(f"{root}/later")["size"] == 1
    fresh = AISFileSystem(fs.storage_options["endpoint"], use_listings_cache=False)
    bucket.object("latest").get_writer().put_content(b"1")
    assert f"{root}/latest" in fresh.ls(root, detail=False)


def test_endpoint_of_the_environment(
    fs: AISFileSystem, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIS_ENDPOINT", fs.storage_options["endpoint"])
    with fsspec.open(f"ais://{root}/top") as file:
        assert file.read() == b"t"
    # Remembered by fsspec, and yet not bound to what the environment was.
    monkeypatch.delenv("AIS_ENDPOINT")
    with pytest.raises(ValueError, match="AIS_ENDPOINT"):
        fsspec.filesystem("ais").ls("")


def test_awaited(fs: AISFileSystem, root: str) -> None:
    async def use() -> None:
        own = AISFileSystem(fs.storage_options["endpoint"], asynchronous=True)
        assert await own._cat_file(f"{root}/d/1") == b"one"
        many = await asyncio.gather(*(own._cat_file(f"{root}/d/e/3", i, i + 1) for i in range(5)))
        assert b"".join(many) == b"three"
        assert await own._cat_ranges([f"{root}/d/1"] * 2, [0, 1], [1, 2]) == [b"o", b"n"]
        assert await own._find(root) == sorted(f"{root}/{name}" for name in FILES)
        await own._pipe_file(f"{root}/async", b"1")
        assert (await own._info(f"{root}/async"))["size"] == 1

    asyncio.run(use())


def test_awaited_files(fs: AISFileSystem, root: str, uploads: list[MultipartUpload]) -> None:
    content = random.Random(4).randbytes(3 * MIB + 5)

    async def use() -> None:
        own = AISFileSystem(fs.storage_options["endpoint"], asynchronous=True)
        for size in (5, len(content)):
            async with await own.open_async(f"ais://{root}/w", "wb", block_size=MIB) as file:
                for start in range(0, size, MIB // 2):
                    await file.write(content[start : min(start + MIB // 2, size)])
            async with await own.open_async(f"{root}/w", "rb") as file:
                assert await file.read(3) == content[:3]
                assert await file.read() == content[3:size]
                assert await file.read(1) == b""
                file.seek(2)
                assert await file.read(2) == content[2:4]
            with pytest.raises(ZeroDivisionError):
                async with await own.open_async(f"{root}/no", "wb", block_size=MIB) as file:
                    await file.write(content[:size])
                    raise ZeroDivisionError
            assert not await own._exists(f"{root}/no")
        with pytest.raises(FileNotFoundError):
            await own.open_async(f"{root}/no")

    asyncio.run(use())
    assert len(uploads) == 2
    assert_unknown(uploads[1:])


def read(fs: AISFileSystem, path: str, queue: Any) -> None:
    with fs.open(path) as file:
        queue.put((fs.cat(path), file.read()))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_another_process(fs: AISFileSystem, root: str, method: str) -> None:
    assert fs.cat(f"{root}/top") == b"t"
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    child = context.Process(target=read, args=(fs, f"{root}/d/1", queue))
    child.start()
    assert queue.get(timeout=60) == (b"one", b"one")
    child.join(timeout=30)
    assert child.exitcode == 0
    assert fs.cat(f"{root}/d/1") == b"one"
