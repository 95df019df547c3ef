"""Files inside shards: one, many, listed, added; shards made by Python's own modules, and broken ones."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import random
import struct
import tarfile
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException

import pytest
from support import Answer, Wire
from verbs import get, put

from aistore.sdk import Bucket, ListObjectFlag

Files = dict[str, bytes]
LONG = "d/" * 80 + "ünï-" + "n" * 120 + ".bin"
FILES: Files = {
    "a.txt": b"alpha",
    "d/b.cls": b"7",
    "d/b.jpg": bytes(range(256)) * 300,
    "d/empty": b"",
    LONG: b"long" * 1000,
    "zeros": bytes(700_000),
}


def tar(files: Files, form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        folder = tarfile.TarInfo("d")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), 1_700_000_000
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def zipped(files: Files, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.writestr("d/", b"")
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def xxh32(data: bytes) -> int:
    """XXH32 of less than 4 bytes."""
    prime2, prime3, prime5 = 2246822519, 3266489917, 374761393
    mask = 0xFFFFFFFF
    value = prime5 + len(data)
    for byte in data:
        value = (value + byte * prime5) & mask
        value = ((value << 11 | value >> 21) & mask) * 2654435761 & mask
    value = (value ^ value >> 15) * prime2 & mask
    value = (value ^ value >> 13) * prime3 & mask
    return value ^ value >> 16


def lz4(data: bytes) -> bytes:
    """LZ4 frames of blocks that are not compressed, two of them to be read as one."""
    out = b""
    for part in (data[: len(data) // 2], data[len(data) // 2 :]):
        head = bytes([0x60, 0x40])
        out += struct.pack("<I", 0x184D2204) + head + bytes([xxh32(head) >> 8 & 255])
        for at in range(0, len(part), 65536):
            block = part[at : at + 65536]
            out += struct.pack("<I", len(block) | 1 << 31) + block
        out += bytes(4)
    return out


MAKERS: dict[str, Callable[[Files], bytes]] = {
    "pax.tar": tar,
    "gnu.tar": lambda files: tar(files, tarfile.GNU_FORMAT),
    "s.tgz": lambda files: gzip.compress(tar(files)),
    "s.tar.gz": lambda files: gzip.compress(tar(files)[:1000]) + gzip.compress(tar(files)[1000:]),
    "s.tar.lz4": lambda files: lz4(tar(files)),
    "deflated.zip": zipped,
    "stored.zip": lambda files: zipped(files, zipfile.ZIP_STORED),
}


@pytest.mark.parametrize("shard", MAKERS)
def test_one_file_comes_as_it_is(wire: Wire, name: str, shard: str) -> None:
    put(wire, name, shard, MAKERS[shard](FILES))
    for path, data in FILES.items():
        for asked in (path, f"/{path}", f"{shard}/{path}"):
            answer = get(wire, name, shard, archpath=asked)
            assert (answer.status, answer.body) == (200, data), answer.body[:300]
        assert answer.header("content-length") == str(len(data))
        assert answer.header("content-type") == "application/octet-stream"
        assert not answer.header("ais-checksum-value")
    missing = get(wire, name, shard, archpath="nope")
    assert missing.status == 404
    assert f'"nope" in ais://{name}/{shard} does not exist' in missing.json()["message"]
    refused = get(wire, name, shard, archpath="a.txt", headers={"Range": "bytes=0-1"})
    assert refused.status == 400


@pytest.mark.parametrize("shard", MAKERS)
def test_many_files_come_as_a_new_tar(wire: Wire, name: str, shard: str) -> None:
    put(wire, name, shard, MAKERS[shard](FILES))
    for mode, text, wanted in [
        ("", "", list(FILES)),
        ("prefix", "d/b", ["d/b.cls", "d/b.jpg"]),
        ("wdskey", "d/b", ["d/b.cls", "d/b.jpg"]),
        ("suffix", ".txt", ["a.txt"]),
        ("substr", "ero", ["zeros"]),
        ("regexp", r"^[az].*[^x]$", ["a.txt", "zeros"]),
        ("regexp", "*", list(FILES)),
    ]:
        answer = get(wire, name, shard, archmode=mode, archregx=text)
        assert answer.status == 200, answer.body
        assert answer.header("content-type") == "application/x-tar"
        with tarfile.open(fileobj=io.BytesIO(answer.body)) as archive:
            members = archive.getmembers()
            assert [m.name for m in members] == wanted
            for member in members:
                got = archive.extractfile(member)
                assert got
                assert got.read() == FILES[member.name]
    missing = get(wire, name, shard, archmode="prefix", archregx="nope")
    assert missing.status == 404
    assert "does not exist" in missing.json()["message"]


def batch(wire: Wire, name: str, entries: list[dict[str, object]], streaming: bool) -> list[bytes]:
    """The files of a batch, in order."""
    body = json.dumps({"in": entries, "strm": streaming}).encode()
    answer = wire.follow("GET", f"/v1/ml/moss/{name}", body=body)
    assert answer.status == 200, answer.body[:300]
    archive = answer.body if streaming else multipart(answer)
    with tarfile.open(fileobj=io.BytesIO(archive)) as unpacked:
        files = [unpacked.extractfile(member) for member in unpacked.getmembers()]
        return [file.read() for file in files if file]


def multipart(answer: Answer) -> bytes:
    """The archive of a buffered batch."""
    boundary = (answer.header("content-type") or "").partition("boundary=")[2].encode()
    parts: list[bytes] = answer.body.split(b"--" + boundary)
    return parts[2].partition(b"\r\n\r\n")[2][:-2]


@pytest.mark.parametrize("streaming", [True, False])
def test_batches_of_files_of_every_kind_of_shard(wire: Wire, name: str, streaming: bool) -> None:
    entries: list[dict[str, object]] = []
    wanted = []
    for shard, make in MAKERS.items():
        put(wire, name, shard, make(FILES))
    for path, data in FILES.items():
        for shard in MAKERS:
            entries.append({"objname": shard, "archpath": path})
            wanted.append(data)
            if len(data) > 4:
                start, length = len(data) // 3, len(data) // 2
                part = {"start": start, "length": length}
                entries.append({"objname": shard, "archpath": path, **part})
                wanted.append(data[start : start + length])
                entries.append({"objname": shard, "archpath": path, "start": 2, "length": -1})
                wanted.append(data[2:])
    assert batch(wire, name, entries, streaming) == wanted


@pytest.mark.parametrize("shard", MAKERS)
def test_batches_name_files_that_are_not_in_a_shard(wire: Wire, name: str, shard: str) -> None:
    put(wire, name, shard, MAKERS[shard](FILES))

    def ask(entries: list[dict[str, object]]) -> Answer:
        body = json.dumps({"in": entries, "coer": True, "strm": True}).encode()
        return wire.follow("GET", f"/v1/ml/moss/{name}", body=body)

    found = ask([{"objname": shard, "archpath": path} for path in ("nope", "a.txt")])
    with tarfile.open(fileobj=io.BytesIO(found.body)) as archive:
        names = [member.name for member in archive.getmembers()]
    assert names == [f"__404__/{name}/{shard}/nope", f"{name}/{shard}/a.txt"]
    refused = ask([{"objname": shard, "archpath": "a.txt", "start": 2, "length": 4}])
    assert refused.status == 400
    assert "not satisfiable range" in refused.json()["message"]


def test_requests_that_contradict_themselves(wire: Wire, name: str) -> None:
    put(wire, name, "s.tar", tar(FILES))
    assert get(wire, name, "s.tar", archpath="a", archmode="prefix").status == 400
    assert get(wire, name, "s.tar", archmode="glob", archregx="x").status == 400
    assert get(wire, name, "s.tar", archmode="regexp", archregx="(").status == 400
    assert get(wire, name, "s.tar", archpath="../a").status == 400
    whole = get(wire, name, "s.tar", archregx="a", archpath="")
    assert whole.body == tar(FILES)


def test_the_format_is_told_by_request_or_magic_where_the_name_does_not(
    wire: Wire, name: str
) -> None:
    for shard, make in MAKERS.items():
        plain = shard.replace(".", "-")
        put(wire, name, plain, make(FILES))
        assert get(wire, name, plain, archpath="a.txt").body == b"alpha"
    put(wire, name, "odd.zip", tar(FILES))
    assert get(wire, name, "odd.zip", archpath="a.txt").status == 400
    assert get(wire, name, "odd.zip", archpath="a.txt", archmime="application/x-tar").status == 200
    assert get(wire, name, "odd.zip", archpath="a.txt", archmime="rar").status == 400
    put(wire, name, "text", b"no archive" * 100)
    answer = get(wire, name, "text", archpath="a")
    assert answer.status == 400
    assert "unrecognized or unsupported file format" in answer.json()["message"]


def test_a_new_version_is_never_read_through_the_old_index(wire: Wire, name: str) -> None:
    for shard in ("s.tar", "s.zip"):
        make = MAKERS["pax.tar" if shard == "s.tar" else "stored.zip"]
        for round_ in range(5):
            files = {f"pad{i}": b"x" * 600 for i in range(round_)} | {
                "x": f"round {round_}".encode()
            }
            put(wire, name, shard, make(files))
            assert get(wire, name, shard, archpath="x").body == files["x"]


@pytest.mark.parametrize("shard", MAKERS)
def test_broken_archives_are_refused_and_never_hang(wire: Wire, name: str, shard: str) -> None:
    files = {"a": b"1" * 3000, "b": random.Random(1).randbytes(5000)}
    whole = MAKERS[shard](files)
    put(wire, name, shard, whole[: len(whole) // 3])
    answer = get(wire, name, shard, archpath="b")
    assert answer.status == 400, answer.body
    assert f"ais://{name}/{shard}" in answer.json()["message"]
    dice = random.Random(shard)
    for _ in range(6):
        damaged = bytearray(whole)
        for _ in range(3):
            damaged[dice.randrange(len(damaged))] ^= dice.randrange(1, 256)
        put(wire, name, shard, bytes(damaged))
        for query in ({"archpath": "b"}, {"archmode": "prefix"}):
            # Damage that shows after the answer began ends it early.
            with contextlib.suppress(OSError, HTTPException):
                assert get(wire, name, shard, **query).status in (200, 400, 404)


def test_a_bomb_costs_time_and_no_memory(wire: Wire, name: str) -> None:
    bomb = gzip.compress(tar({"zeros": bytes(60_000_000), "last": b"end"}))
    assert len(bomb) < 200_000
    put(wire, name, "bomb.tgz", bomb)
    assert get(wire, name, "bomb.tgz", archpath="last").body == b"end"
    # Files that share their bytes make small archives enormous.
    shared = bytearray(zipped({"a": bytes(5000), "b": bytes(5000)}))
    at = shared.rfind(b"PK\x01\x02")
    struct.pack_into("<I", shared, at + 42, 0)
    put(wire, name, "bomb.zip", bytes(shared))
    answer = get(wire, name, "bomb.zip", archpath="b")
    assert answer.status == 400
    assert "overlapping" in answer.json()["message"]


def test_names_that_climb_are_read_as_names(wire: Wire, name: str) -> None:
    put(wire, name, "evil.tar", tar({"../up": b"1", "ok": b"2"}))
    assert get(wire, name, "evil.tar", archpath="../up").status == 400
    assert get(wire, name, "evil.tar", archpath="ok").body == b"2"


def listed(bucket: Bucket, prefix: str, size: int) -> list[tuple[str, int]]:
    entries = bucket.list_all_objects(
        prefix=prefix, page_size=size, props="name,size", flags=[ListObjectFlag.ARCH_DIR]
    )
    return [(entry.name, int(entry.size)) for entry in entries]


def test_listings_go_into_shards_in_pages_of_any_size(wire: Wire, bucket: Bucket) -> None:
    name = bucket.name
    for shard, make in MAKERS.items():
        put(wire, name, shard, make(FILES))
    put(wire, name, "pax.tar-old", b"x")
    put(wire, name, "broken.zip", b"PK broken")
    put(wire, name, "deflated.zi", b"y")
    wanted = {("pax.tar-old", 1), ("broken.zip", 9), ("deflated.zi", 1)}
    for shard, make in MAKERS.items():
        wanted.add((shard, len(make(FILES))))
        wanted.update((f"{shard}/{path}", len(data)) for path, data in FILES.items())
    for size in (0, 1, 3, 7):
        assert listed(bucket, "", size) == sorted(wanted)
        inner = [entry for entry in sorted(wanted) if entry[0].startswith("pax.tar/d/")]
        assert listed(bucket, "pax.tar/d/", size) == inner
    entries = {
        e.name: e for e in bucket.list_all_objects(prefix="s.tgz", flags=[ListObjectFlag.ARCH_DIR])
    }
    assert entries["s.tgz"].flags & 512
    assert entries["s.tgz/a.txt"].flags & (512 | 128) == 128
    found = [entry.name for entry in bucket.list_archive("s.tgz")]
    assert found == sorted(f"s.tgz/{path}" for path in FILES)


def add(wire: Wire, name: str, shard: str, path: str, body: bytes, flags: str = "") -> int:
    headers = {"Ais-Pine": flags} if flags else {}
    return put(wire, name, shard, body, archpath=path, headers=headers).status


def content(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        read = {m.name: archive.extractfile(m) for m in archive.getmembers() if m.isfile()}
        return {path: file.read() for path, file in read.items() if file}


@pytest.mark.parametrize("shard", MAKERS)
def test_files_are_added_to_shards(wire: Wire, name: str, shard: str) -> None:
    assert add(wire, name, shard, "x", b"1", "1") == 404
    put(wire, name, shard, MAKERS[shard](FILES))
    assert add(wire, name, shard, "/new/one", b"n" * 300_000, "1") == 200
    assert add(wire, name, shard, f"{shard}/new/two", b"2", "2") == 200
    files = FILES | {"new/one": b"n" * 300_000, "new/two": b"2"}
    for path, data in files.items():
        assert get(wire, name, shard, archpath=path).body == data
    assert content(get(wire, name, shard, archmode="").body) == files
    whole = get(wire, name, shard).body
    if shard.endswith("zip"):
        with zipfile.ZipFile(io.BytesIO(whole)) as archive:
            assert archive.testzip() is None
            assert archive.namelist() == ["d/", *files]
    elif not shard.endswith("lz4"):
        with tarfile.open(fileobj=io.BytesIO(whole)) as tared:
            assert tared.getnames() == ["d", *files]
    assert add(wire, name, shard, "only", b"3") == 200
    assert content(get(wire, name, shard, archmode="").body) == {"only": b"3"}


def test_additions_that_are_refused_leave_the_shard(wire: Wire, name: str) -> None:
    put(wire, name, "s.tar", tar(FILES))
    assert add(wire, name, "s.tar", "x", b"", "1") == 400
    assert add(wire, name, "s.tar", "x", b"1", "7") == 400
    assert add(wire, name, "s.tar", "../x", b"1", "1") == 400
    assert add(wire, name, "s", "x", b"1", "2") == 400
    assert get(wire, name, "s.tar").body == tar(FILES)
    put(wire, name, "broken.tgz", gzip.compress(tar(FILES))[:900])
    assert add(wire, name, "broken.tgz", "x", b"1", "1") == 400
    assert len(get(wire, name, "broken.tgz").body) == 900
    assert add(wire, name, "fresh.zip", "x", b"1", "2") == 200
    assert get(wire, name, "fresh.zip", archpath="x").body == b"1"


def test_additions_at_the_same_time_all_count(wire: Wire, name: str) -> None:
    names = [f"f{i}" for i in range(12)]
    with ThreadPoolExecutor(6) as pool:
        done = list(pool.map(lambda n: add(wire, name, "s.tar", n, n.encode(), "2"), names))
    assert done == [200] * 12
    assert content(get(wire, name, "s.tar").body) == {n: n.encode() for n in names}
