"""Shards made of objects by jobs: every format and selection, appended to, and what is refused."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile

import pytest

from aistore.sdk import ArchiveConfig, Bucket, Client
from aistore.sdk.errors import AISError
from aistore.sdk.multiobj import ObjectRange

_CONTENT = {f"o/{at:03}.bin": bytes([at]) * (at * 3000 % 200_001) for at in range(60)}


@pytest.fixture
def full(bucket: Bucket) -> Bucket:
    bucket.put_many(list(_CONTENT.items()))
    return bucket


def wait(client: Client, ids: list[str]) -> None:
    for job_id in ids:
        result = client.job(job_id, job_kind="archive").wait(timeout=60)
        assert result.success, result


def files(data: bytes, name: str) -> list[tuple[str, bytes]]:
    if name.endswith(".zip"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return [(file, archive.read(file)) for file in archive.namelist()]
    if name.endswith("gz"):
        data = gzip.decompress(data)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        members = [(m.name, archive.extractfile(m)) for m in archive.getmembers()]
        return [(file, content.read()) for file, content in members if content]


@pytest.mark.parametrize("name", ["s.tar", "s.tgz", "s.tar.gz", "s.zip"])
def test_formats(client: Client, full: Bucket, name: str) -> None:
    wait(client, full.objects(obj_names=list(_CONTENT)).archive(name))
    stored = full.object(name).get_reader().read_all()
    assert files(stored, name) == list(_CONTENT.items())


def test_lz4_by_what_the_server_says(client: Client, full: Bucket) -> None:
    wait(client, full.objects(obj_names=list(_CONTENT)).archive("s.tar.lz4"))
    for name in list(_CONTENT)[::7]:
        config = ArchiveConfig(archpath=name)
        got = full.object("s.tar.lz4").get_reader(archive_config=config).read_all()
        assert got == _CONTENT[name]


def test_selections_other_buckets_and_names(client: Client, full: Bucket) -> None:
    other = client.bucket(f"{full.name}-to").create()
    try:
        some = ObjectRange("o/", 10, 80, 3, 10, ".bin")
        wait(client, full.objects(obj_range=some).archive("r.tar", to_bck=other))
        wanted = [f"o/{at:03}.bin" for at in range(10, 60, 10)]
        made = files(other.object("r.tar").get_reader().read_all(), "r.tar")
        assert made == [(name, _CONTENT[name]) for name in wanted]
        prefixed = full.objects(obj_template="o/00")
        ids = prefixed.archive("p.tar", to_bck=other, include_source_name=True)
        wait(client, ids)
        made = files(other.object("p.tar").get_reader().read_all(), "p.tar")
        assert [name for name, _ in made] == [f"{full.name}/o/{at:03}.bin" for at in range(10)]
        snaps = client.job(ids[0]).get_details()
        assert [s.stats and s.stats.objects for s in snaps.list_snapshots()] == [1]
        # The whole bucket, the shard itself left out.
        full.object("all.tar").get_writer().put_content(b"old")
        wait(client, full.objects(obj_template="*").archive("all.tar"))
        assert len(files(full.object("all.tar").get_reader().read_all(), "all.tar")) == 60
    finally:
        other.delete()


@pytest.mark.parametrize("name", ["s.tar", "s.tgz", "s.zip"])
def test_appending(client: Client, full: Bucket, name: str) -> None:
    names = list(_CONTENT)
    wait(client, full.objects(obj_names=names[:5]).archive(name))
    wait(client, full.objects(obj_names=names[5:9]).archive(name, allow_append=True))
    stored = full.object(name).get_reader().read_all()
    assert [file for file, _ in files(stored, name)] == names[:9]
    wait(client, full.objects(obj_names=names[:2]).archive(name))
    stored = full.object(name).get_reader().read_all()
    assert [file for file, _ in files(stored, name)] == names[:2]


def test_missing_objects(client: Client, full: Bucket) -> None:
    wanted = ["o/001.bin", "gone", "o/002.bin"]
    kept = full.objects(obj_names=wanted).archive("k.tar", continue_on_err=True)
    wait(client, kept)
    made = files(full.object("k.tar").get_reader().read_all(), "k.tar")
    assert [name for name, _ in made] == ["o/001.bin", "o/002.bin"]
    for group in (full.objects(obj_names=wanted), full.objects(obj_template="nothing/")):
        failed = group.archive("f.tar")[0]
        result = client.job(failed, job_kind="archive").wait(timeout=60)
        assert not result.success
        assert not list(full.list_all_objects(prefix="f.tar"))


def test_requests_that_are_refused(client: Client, full: Bucket) -> None:
    for name, mime, text in [("s.txt", "", "must end in"), ("s.tar", ".zip", "contradicts")]:
        with pytest.raises(AISError, match=text):
            full.objects(obj_names=["o/001.bin"]).archive(name, mime=mime)
    with pytest.raises(AISError, match="does not exist"):
        full.objects(obj_names=["o/001.bin"]).archive("s.tar", to_bck=client.bucket("no-such"))
