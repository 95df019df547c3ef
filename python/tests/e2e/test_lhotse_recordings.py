"""Recordings as they come: very long ones, broken ones, inside shards, of unknown length, of many channels."""

from __future__ import annotations

import io
import json
import struct
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from speech import CUTS, RATE, audio, cuts_of, decoded, encode, recording
from support import Ais, Wire

from aistore import LocalCluster
from aistore.lhotse import CutError, CutLoader
from aistore.sdk import Bucket, Client

HOUR_S = 3600
HOUR_RATE = 8_000


def ask(wire: Wire, bucket: Bucket, name: str, **cut: Any) -> Any:
    """The answer to a batch of one cut."""
    body = json.dumps({"in": [{"objname": name, "cut": cut}], "strm": True}).encode()
    return wire.follow("GET", f"/v1/ml/moss/{bucket.name}", body=body)


def got(content: bytes) -> bytes:
    """The only file of a TAR."""
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        file = tar.extractfile(tar.next() or pytest.fail("empty"))
        assert file is not None
        return file.read()


def counters(pid: int, name: str, *keys: str) -> int:
    """Sum of lines of a file of /proc."""
    lines = dict(line.split(":") for line in Path(f"/proc/{pid}/{name}").read_text().splitlines())
    return sum(int(lines[key].split()[0]) for key in keys)


@pytest.fixture(scope="module")
def hour() -> Any:
    """An hour of noise in 16 bits."""
    minute = np.random.default_rng(1).normal(0, 0.02, (60 * HOUR_RATE, 1))
    # Another minute each time, or any place would do.
    scale = np.repeat(np.linspace(0.5, 1, HOUR_S // 60), 60 * HOUR_RATE)[:, None]
    return (np.tile(minute, (HOUR_S // 60, 1)) * scale * 32_768).astype(np.int16)


@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_five_seconds_of_an_hour(
    cluster: LocalCluster, bucket: Bucket, wire: Wire, hour: Any, kind: str
) -> None:
    """They move themselves, and cost the node neither the file's bytes nor its memory."""
    out = io.BytesIO()
    soundfile.write(out, hour, HOUR_RATE, subtype="PCM_16", format=kind)
    size = len(out.getbuffer())
    bucket.object("hour").get_writer().put_content(out.getvalue())
    del out
    ask(wire, bucket, "hour", start=1, duration=1)
    pids = [target.pid for target in cluster.targets]
    for pid in pids:
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    read = sum(counters(pid, "io", "rchar") for pid in pids)
    before = {pid: counters(pid, "status", "VmRSS") for pid in pids}
    answer = ask(wire, bucket, "hour", start=2711.1, duration=5)
    read = sum(counters(pid, "io", "rchar") for pid in pids) - read
    grown = max(counters(pid, "status", "VmHWM") - before[pid] for pid in pids)
    assert answer.status == 200, answer.body
    found, rate = soundfile.read(io.BytesIO(got(answer.body)), dtype="int16")
    first = round(2711.1 * HOUR_RATE)
    assert rate == HOUR_RATE
    assert np.array_equal(found, hour[first : first + 5 * HOUR_RATE, 0])
    assert len(answer.body) < 5 * HOUR_RATE * 2 + 12_000
    assert read < size * 0.03, (read, size)
    assert grown < 12 << 10, f"{grown} KiB, of a recording of {size >> 10}"


@pytest.mark.parametrize("channels", [2, 6, 8])
def test_large_packets(client: Client, bucket: Bucket, channels: int) -> None:
    """The last one of a FLAC may be larger than what a search halves down to."""
    noise = np.random.default_rng(2).uniform(-0.9, 0.9, (3 * RATE, channels))
    content = encode(noise, "flac", "PCM_24")
    whole = decoded(content)
    bucket.object("r.flac").get_writer().put_content(content)
    loader = CutLoader(client, bucket)
    for start in (0.1, 1.0, 2.5, 2.8, 2.9, 2.99):
        [found] = loader.load([{"id": "c", "audio_source": "r.flac", "start": start}])
        assert np.array_equal(found, whole[:, round(start * RATE) :]), start  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "subtype", "channels"),
    [("mp3", "MPEG_LAYER_III", 2), *(("ogg", "VORBIS", n) for n in (2, 3, 5, 6, 7, 8))],
)
def test_channels_of_lossy_recordings(
    client: Client, bucket: Bucket, kind: str, subtype: str, channels: int
) -> None:
    """They come in the order in which libsndfile has them."""
    content = audio(kind, subtype, channels)
    whole = decoded(content)
    bucket.object("r").get_writer().put_content(content)
    [found] = CutLoader(client, bucket).load([{"id": "c", "audio_source": "r", "start": 2.5}])
    expected = whole[:, round(2.5 * RATE) :]
    assert isinstance(found, np.ndarray)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 2e-3


def test_recordings_that_do_not_tell_their_length(
    client: Client, bucket: Bucket, wire: Wire
) -> None:
    """Cut all the same; the end shows when it comes, and never as a cut that is silently shorter."""

    def untold(content: bytes) -> bytes:
        at = content.index(b"fLaC") + 4 + 4 + 13
        return content[:at] + bytes([content[at] & 0xF0, 0, 0, 0, 0]) + content[at + 5 :]

    content = audio("flac", "PCM_16")
    bucket.object("r").get_writer().put_content(untold(content))
    whole = decoded(content)
    loader = CutLoader(client, bucket, on_fault="keep")
    line = {"id": "c", "audio_source": "r"}
    middle, rest, behind, long = loader.load([
        {**line, "start": 2, "duration": 1.5}, {**line, "start": 6.5},
        {**line, "start": 60, "duration": 1}, {**line, "start": 6, "duration": 5},
    ])  # fmt: skip
    assert np.array_equal(middle, whole[:, 2 * RATE : 2 * RATE + 24_000])  # type: ignore[arg-type]
    assert np.array_equal(rest, whole[:, 6 * RATE + 8000 :])  # type: ignore[arg-type]
    assert "behind the end" in str(behind)
    assert "ends at 11.0" in str(long)
    # All channels count for how much that may be.
    silence = encode(np.zeros((140 * RATE, 8)), "flac", "PCM_16")
    bucket.object("silence").get_writer().put_content(untold(silence))
    [large] = loader.load([{"id": "c", "audio_source": "silence"}])
    assert "bytes or more" in str(large), large
    assert ask(wire, bucket, "silence", start=1, duration=1).status == 200


def test_an_mp3_without_a_header(client: Client, bucket: Bucket) -> None:
    """Nobody knows where it ends: neither is it cut off where it might, nor are its frames others."""
    content = audio("mp3", "MPEG_LAYER_III", seconds=30)
    # The first packet, of 32 kbit/s at 16 kHz, says how many follow.
    assert content[288:290] == content[:2]
    bucket.object("r").get_writer().put_content(content[288:])
    whole = decoded(content)
    line = {"id": "c", "audio_source": "r"}
    loader = CutLoader(client, bucket, on_fault="keep")
    everything, late, behind = loader.load(
        [line, {**line, "start": 27.5, "duration": 2}, {**line, "start": 40, "duration": 1}]
    )
    # What the encoder needs to begin with is not known either, and stays.
    delay = 576 + 529
    assert isinstance(everything, np.ndarray), everything
    assert np.abs(everything[:, delay : delay + whole.shape[1]] - whole).max() < 2e-3
    assert isinstance(late, np.ndarray), late
    first = int(27.5 * RATE)
    assert np.abs(late - everything[:, first : first + 2 * RATE]).max() < 2e-3
    assert "behind the end" in str(behind)


def chunk(name: bytes, content: bytes) -> bytes:
    """A part of a WAV file."""
    return name + struct.pack("<I", len(content)) + content


def test_wav_headers_that_lie(client: Client, bucket: Bucket) -> None:
    """Each is refused with what is wrong, and nothing else suffers."""
    good = audio("wav", "PCM_16", seconds=1)
    data = chunk(b"data", bytes(3200))

    def form(tag: int = 1, channels: int = 1, rate: int = RATE, align: int = 2) -> bytes:
        return chunk(b"fmt ", struct.pack("<HHIIHH", tag, channels, rate, rate * 2, align, 16))

    def file(*chunks: bytes) -> bytes:
        return b"RIFF\xff\xff\xff\x7fWAVE" + b"".join(chunks)

    broken = {
        "no channels": file(form(channels=0, align=0), data),
        "no rate": file(form(rate=0), data),
        "align": file(form(align=7), data),
        "channels": file(form(channels=30_000, align=60_000), data),
        "codec": file(form(tag=7), data),
        "no format": file(data),
        "no data": file(form()),
        "too much": file(form(), b"data" + struct.pack("<I", 1 << 30) + bytes(3200)),
        "short format": file(chunk(b"fmt ", b"\1\0"), data),
        "huge chunk": file(b"LIST\xf0\xff\xff\xff", form(), data),
        "empty": b"",
        "head": good[:12],
        "half a header": good[:30],
    }
    bucket.put_many([("good", good), *broken.items()])
    names = ["good", *broken, "good"]
    loader = CutLoader(client, bucket, on_fault="keep")
    first, *faults, last = loader.load([{"id": n, "audio_source": n} for n in names])
    assert np.array_equal(first, decoded(good))  # type: ignore[arg-type]
    assert np.array_equal(last, decoded(good))  # type: ignore[arg-type]
    for fault, name in zip(faults, broken, strict=True):
        assert isinstance(fault, CutError), name
        assert fault.cut_id == name
        assert any(word in str(fault) for word in ("damaged", "no recording")), (name, fault)
    # Recorders that are killed leave the length open.
    for length in (0, 0xFFFF_FFFF):
        opened = file(form(), b"data" + struct.pack("<I", length) + bytes(3200))
        bucket.object("open").get_writer().put_content(opened)
        [array] = loader.load([{"id": "c", "audio_source": "open"}])
        assert getattr(array, "shape", array) == (1, 1600)


@pytest.mark.parametrize(
    ("cut", "status"),
    [
        ({"start": -1}, 400),
        ({"start": float("nan")}, 400),
        ({"start": float("inf")}, 400),
        ({"duration": 0}, 400),
        ({"duration": -3}, 400),
        ({"channels": [0] * 65}, 400),
        ({"channels": [70_000]}, 400),
        ({"format": "mp3"}, 400),
        ({"begin": 3}, 400),
        ({"start": 1e300}, 416),
        ({"duration": 1e300}, 416),
        ({"start": 1e15, "duration": 1e15}, 416),
        ({"duration": 1e-9}, 422),
        ({"channels": [1]}, 422),
        ({"rate": 8000}, 422),
        ({"rate": 0}, 422),
    ],
)
def test_cuts_that_nobody_can_make(
    bucket: Bucket, wire: Wire, cut: dict[str, Any], status: int
) -> None:
    """Refused before anything is sent, and named."""
    for kind in ("wav", "flac"):
        bucket.object(f"r.{kind}").get_writer().put_content(audio(kind, "PCM_16", seconds=1))
        answer = ask(wire, bucket, f"r.{kind}", **cut)
        assert answer.status == status, (cut, answer.body)
    body = {"in": [{"objname": "r.wav", "cut": {"start": 0}, "start": 1, "length": 2}]}
    both = wire.follow("GET", f"/v1/ml/moss/{bucket.name}", body=json.dumps(body).encode())
    assert both.status == 400
    assert b"exclude each other" in both.body


def packed(kind: str, files: dict[str, bytes]) -> bytes:
    """A shard made by Python."""
    out = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return out.getvalue()
    with tarfile.open(fileobj=out, mode="w:gz" if kind == "tar.gz" else "w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "tar.lz4", "zip"])
def test_recordings_in_shards(
    client: Client, bucket: Bucket, ais: Ais, tmp_path: Path, kind: str
) -> None:
    """Compressed or not, the cuts are those of the file itself."""
    files = {"in/a.flac": audio("flac", "PCM_16", 2), "in/b.wav": audio("wav", "PCM_24")}
    for name, content in files.items():
        bucket.object(name).get_writer().put_content(content)
    names = {name: name for name in files}
    if kind == "tar.lz4":
        # Made by the command line, as WAV.
        names = {name: name.partition(".")[0] + ".wav" for name in files}
        whole = [{"id": n.partition(".")[0], "audio_source": n} for n in files]
        (tmp_path / "all.jsonl").write_text("".join(json.dumps(line) + "\n" for line in whole))
        ais("ml", "lhotse-get-batch", "--cuts", str(tmp_path / "all.jsonl"),
            f"ais://{bucket.name}", str(tmp_path / "s.tar.lz4"))  # fmt: skip
        shard = (tmp_path / "s.tar.lz4").read_bytes()
    else:
        shard = packed(kind, files)
    bucket.object(f"s.{kind}").get_writer().put_content(shard)

    def lines(place: str, first: str, *more: str) -> list[dict[str, Any]]:
        whole = [{"id": n, "audio_source": f"{place}{n}", "start": s, "duration": d}
                 for s, d in CUTS[:4] for n in (first, *more)]  # fmt: skip
        return [*whole, {"id": "one", "audio_source": f"{place}{first}", "channel": 1}]

    loader = CutLoader(client, bucket, on_fault="keep")
    place = f"ais://{bucket.name}/s.{kind}/"
    inside = loader.load(lines(place, *names.values()))
    for found, expected in zip(inside, loader.load(lines("", *files)), strict=True):
        assert isinstance(found, np.ndarray), found
        assert np.array_equal(found, expected)  # type: ignore[arg-type]
    gone, late = loader.load([
        {"id": "gone", "audio_source": f"{place}in/none.wav"},
        {"id": "late", "audio_source": f"{place}in/b.wav", "start": 60, "duration": 1},
    ])  # fmt: skip
    assert "in/none.wav" in str(gone)
    assert "begins at 60" in str(late)


def test_one_byte_wrong_in_a_flac(client: Client, bucket: Bucket) -> None:
    """What is damaged is not handed out; the rest of the recording is."""
    content = bytearray(audio("flac", "PCM_16"))
    content[len(content) // 2] ^= 0xFF
    one = recording(bucket, "r.flac", audio("flac", "PCM_16"))
    bucket.object("r.flac").get_writer().put_content(bytes(content))
    whole = decoded(audio("flac", "PCM_16"))
    start, middle, end = CutLoader(client, on_fault="keep").load(
        cuts_of(one, (0, 2), (3, 1), (5, 2))
    )
    assert np.array_equal(start, whole[:, : 2 * RATE])  # type: ignore[arg-type]
    assert isinstance(middle, CutError)
    assert "damaged" in str(middle)
    assert np.array_equal(end, whole[:, 5 * RATE :])  # type: ignore[arg-type]


def test_cuts_in_little_memory(tmp_path: Path) -> None:
    """Many large cuts for several clients wait for each other; one that never fits is refused by name."""
    rate, seconds = 48_000, 60
    content = encode(np.random.default_rng(3).normal(0, 0.1, (rate * seconds, 1)), "wav", "PCM_16",
                     rate)  # fmt: skip
    with LocalCluster(targets=1, root=tmp_path / "c", memory="384MiB") as cluster:
        bucket = cluster.client().bucket("b").create()
        bucket.object("r").get_writer().put_content(content)
        whole = decoded(content)

        def load(seed: int) -> bool:
            starts = np.random.default_rng(seed).uniform(0, 30, 6).round(2)
            lines = [{"id": "c", "audio_source": "r", "start": float(s), "duration": 20}
                     for s in starts]  # fmt: skip
            found = CutLoader(cluster.client(), bucket).load(lines)
            places = [round(float(s) * rate) for s in starts]
            return all(
                np.array_equal(array, whole[:, first : first + 20 * rate])  # type: ignore[arg-type]
                for array, first in zip(found, places, strict=True)
            )

        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(load, range(4)))
        bucket.object("long").get_writer().put_content(
            encode(np.zeros((rate * 300, 1)), "flac", "PCM_16", rate)
        )
        [fault] = CutLoader(cluster.client(), bucket, on_fault="keep").load(
            [{"id": "all", "audio_source": "long"}]
        )
        assert "--memory" in str(fault), fault
