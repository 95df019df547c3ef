"""Uploads in parts, appended files and actions on objects against a real cluster."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import aistore
from aistore.sdk import Bucket, MultipartConfig
from aistore.sdk.errors import AISError, ErrObjNotFound

CONFIG = MultipartConfig(threshold=1, part_size=1 << 20, num_workers=4)
CONTENT = os.urandom((5 << 20) + 17)


def test_large_content_in_parts(bucket: Bucket, tmp_path: Path) -> None:
    sent: list[int] = []
    obj = bucket.object("o")
    obj.get_writer().put_content(CONTENT, multipart=CONFIG, progress=sent.append)
    assert obj.get_reader().read_all() == CONTENT
    assert sent[-1] == len(CONTENT)
    (tmp_path / "f").write_bytes(CONTENT[::-1])
    sent.clear()
    obj.get_writer().put_file(tmp_path / "f", multipart=CONFIG, progress=sent.append)
    assert obj.get_reader().read_all() == CONTENT[::-1]
    assert sent[-1] == len(CONTENT)
    obj.get_writer().put_content(b"", multipart=CONFIG)
    assert obj.get_reader().read_all() == b""
    assert [entry.name for entry in bucket.list_all_objects()] == ["o"]


def test_the_upload_by_hand(bucket: Bucket) -> None:
    upload = bucket.object("o").multipart_upload().create()
    upload.add_part(2).put_content(b"world")
    upload.add_part(1).put_content(b"hello ")
    with pytest.raises(AISError):
        bucket.object("o").get_reader().read_all()
    upload.complete()
    assert bucket.object("o").get_reader().read_all() == b"hello world"
    with pytest.raises(AISError) as caught:
        upload.abort()
    assert caught.value.status_code == 404


def test_a_missing_bucket_is_told(bucket: Bucket) -> None:
    bucket.delete()
    with pytest.raises(AISError) as caught:
        bucket.object("o").get_writer().put_content(CONTENT, multipart=CONFIG)
    assert caught.value.status_code == 404


def test_a_file_that_grows(bucket: Bucket) -> None:
    obj = bucket.object("log")
    with obj.get_writer().as_file("a") as file:
        file.write(b"one\n")
        file.flush()
        assert obj.get_reader().read_all() == b"one\n"
        file.write(CONTENT)
        file.write(CONTENT)
    assert obj.get_reader().read_all() == b"one\n" + CONTENT + CONTENT
    with pytest.raises(RuntimeError), obj.get_writer().as_file("a") as file:
        file.write(b"never")
        raise RuntimeError
    assert obj.get_reader().read_all() == b"one\n" + CONTENT + CONTENT


def test_appending_goes_on_after_the_target_was_killed(own_cluster: aistore.LocalCluster) -> None:
    bucket = own_cluster.client().bucket("appended").create()
    obj = bucket.object("log")
    owner = (
        own_cluster.client().cluster().get_info().get_target_for_object(f"{bucket.get_path()}log")
    )
    index = [node.node_id for node in own_cluster.targets].index(owner.daemon_id)
    writer, handle, wanted = obj.get_writer(), "", b""
    for number in range(6):
        piece = bytes([number]) * 100_000
        handle = writer.append_content(piece, handle)
        wanted += piece
        if number % 3 == 1:
            own_cluster.kill_target(index)
            own_cluster.restart_target(index)
    assert bucket.list_all_objects() == []
    assert writer.append_content(b"", handle, True) == ""
    assert obj.get_reader().read_all() == wanted
    with writer.as_file("a") as file:
        file.write(b"more")
    assert obj.get_reader().read_all() == wanted + b"more"


def test_object_actions(bucket: Bucket) -> None:
    obj = bucket.object("o")
    obj.get_writer().put_content(b"content")
    obj.get_writer().set_custom_props({"k": "v"})
    assert obj.props.custom_metadata == {"k": "v"}
    obj.copy(bucket.object("copy/of"))
    assert bucket.object("copy/of").get_reader().read_all() == b"content"
    renamed = obj.rename("renamed")
    assert renamed.get_reader().read_all() == b"content"
    assert sorted(e.name for e in bucket.list_all_objects()) == ["copy/of", "renamed"]


def test_files_come_down_to_what_the_path_is(bucket: Bucket, tmp_path: Path) -> None:
    obj, file, link = bucket.object("shapes"), tmp_path / "file", tmp_path / "link"
    obj.get_writer().put_content(CONTENT)
    reader = obj.get_reader()
    link.symlink_to("file")
    for _ in ("dangling", "existing"):
        assert reader.to_file(link) == len(CONTENT)
        assert link.is_symlink()
        assert file.read_bytes() == CONTENT
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        received = pool.submit(pipe.read_bytes)
        assert reader.to_file(pipe) == len(CONTENT)
        assert received.result() == CONTENT
    assert pipe.is_fifo()
    assert reader.to_file("/dev/null") == len(CONTENT)
    assert Path("/dev/null").is_char_device()
    for bad, error in ((tmp_path, IsADirectoryError), (tmp_path / "none" / "x", OSError)):
        with pytest.raises(error) as raised:
            reader.to_file(bad)
        assert raised.value.filename == str(bad)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link", "pipe"]


def test_files_come_down_whole_or_not_at_all(bucket: Bucket, tmp_path: Path) -> None:
    obj, file = bucket.object("down"), tmp_path / "down.bin"
    obj.get_writer().put_content(CONTENT)
    seen: list[int] = []
    assert obj.get_reader().to_file(file, progress=seen.append) == len(CONTENT)
    assert file.read_bytes() == CONTENT
    assert seen == sorted(seen)
    assert seen[-1] == len(CONTENT)
    with pytest.raises(ErrObjNotFound):
        bucket.object("none").get_reader().to_file(file, progress=True)
    assert file.read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["down.bin"]
