"""Cuts of recordings: Lhotse from PyPI as it is, and our loader against it, sample for sample."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from lhotse import CutSet, MonoCut, MultiCut, Recording
from lhotse.audio import AudioSource
from lhotse.serialization import get_aistore_client
from speech import CUTS, RATE, SECONDS, audio, cuts_of, recording
from support import Ais, Wire

from aistore import LocalCluster
from aistore.lhotse import CutError, CutLoader
from aistore.sdk import Bucket, Client

# Lhotse reads whole recordings over URLs, and says so each time.
pytestmark = pytest.mark.filterwarnings("ignore:You requested a subset:UserWarning")

EXACT = [("wav", "PCM_16"), ("wav", "PCM_24"), ("wav", "PCM_U8"), ("wav", "FLOAT"),
         ("flac", "PCM_16"), ("flac", "PCM_24")]  # fmt: skip
LOSSY = [("ogg", "VORBIS"), ("mp3", "MPEG_LAYER_III")]


@pytest.fixture
def lhotse_client(cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lhotse with our cluster."""
    monkeypatch.setenv("AIS_ENDPOINT", cluster.endpoint)
    get_aistore_client.cache_clear() if hasattr(get_aistore_client, "cache_clear") else None


@pytest.mark.parametrize(("kind", "subtype"), EXACT)
def test_cuts_equal_lhotse_bit_for_bit(
    lhotse_client: None, client: Client, bucket: Bucket, kind: str, subtype: str
) -> None:
    """Samples with integers, or floats as they are."""
    cuts = cuts_of(recording(bucket, f"r.{kind}", audio(kind, subtype)), *CUTS)
    for cut, array in zip(cuts, CutLoader(client).load(cuts), strict=True):
        expected = cut.load_audio()
        assert isinstance(array, np.ndarray)
        assert array.dtype == np.float32
        assert array.shape == expected.shape, cut.id
        assert np.array_equal(array, expected), (cut.id, np.abs(array - expected).max())


@pytest.mark.parametrize(("kind", "subtype"), LOSSY)
def test_cuts_of_lossy_recordings_equal_within_the_codec(
    client: Client, bucket: Bucket, kind: str, subtype: str
) -> None:
    """Frames are the same; decoders differ in the last bits."""
    content = audio(kind, subtype)
    one = recording(bucket, f"r.{kind}", content)
    whole, _ = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    for cut, array in zip(
        cuts := cuts_of(one, *CUTS[:4]), CutLoader(client).load(cuts), strict=True
    ):
        first = round(cut.start * RATE)
        expected = whole[first : first + cut.num_samples].T
        assert isinstance(array, np.ndarray)
        assert array.shape == expected.shape
        assert np.abs(array - expected).max() < 2e-3, cut.id


def test_channels_of_one_file_and_of_several(
    lhotse_client: None, client: Client, bucket: Bucket
) -> None:
    """Channels are taken out of a file, and put together from files."""
    four = recording(bucket, "four.flac", audio("flac", "PCM_16", 4))
    mono = [recording(bucket, f"{n}.wav", audio("wav", "PCM_16")) for n in "ab"]
    pair = Recording("pair", [AudioSource("url", [n], one.sources[0].source) for n, one in
                              enumerate(mono)], RATE, SECONDS * RATE, SECONDS)  # fmt: skip
    cuts = CutSet.from_cuts([
        MultiCut("m", 1.5, 2.0, [1, 3], recording=four),
        MonoCut("one", 1.5, 2.0, 2, recording=four),
        MultiCut("two", 0.5, 2.0, [0, 1], recording=pair),
    ])  # fmt: skip
    for cut, array in zip(cuts, CutLoader(client).load(cuts), strict=True):
        assert np.array_equal(array, cut.load_audio()), cut.id


def test_faults_stay_with_their_cuts(client: Client, bucket: Bucket) -> None:
    """More faults than a batch may have otherwise, each with its name and reason."""
    good = recording(bucket, "good.wav", audio("wav", "PCM_16"))
    broken = recording(bucket, "cut.flac", audio("flac", "PCM_16"))
    content = bucket.object("cut.flac").get_reader().read_all()
    bucket.object("cut.flac").get_writer().put_content(content[: len(content) // 2])
    bucket.object("text.wav").get_writer().put_content(b"no audio at all, just words" * 99)
    line = cuts_of(good, (1.0, 1.0))[0].to_dict()

    def changed(name: str, **values: Any) -> dict[str, Any]:
        return json.loads(json.dumps({**line, "id": name, **values}))

    def elsewhere(name: str, place: str) -> dict[str, Any]:
        cut = changed(name)
        cut["recording"]["sources"][0]["source"] = f"ais://{bucket.name}/{place}"
        return cut

    wrong = changed("rate")
    wrong["recording"]["sampling_rate"] = 8000
    cuts = [line, changed("late", start=8.0), changed("long", duration=60.0), wrong,
            elsewhere("gone", "none.wav"), elsewhere("text", "text.wav"),
            {**cuts_of(broken, (5.0, 1.0))[0].to_dict(), "id": "broken"}, {"id": "empty"},
            *(elsewhere(f"gone-{n}", "none.wav") for n in range(12)), line]  # fmt: skip
    loaded = CutLoader(client, on_fault="keep").load(cuts)
    said = {fault.cut_id: str(fault) for fault in loaded if isinstance(fault, CutError)}
    assert len(said) == len(cuts) - 2, said
    for name, text in [("late", "begins at 8"), ("long", "ends at"), ("rate", "16000 Hz"),
                       ("gone", "none.wav"), ("text", "no recording"), ("broken", "damaged")]:  # fmt: skip
        assert text in said[name], said
    assert np.array_equal(loaded[0], loaded[-1])  # type: ignore[arg-type]
    with pytest.raises(CutError, match="none.wav") as caught:
        CutLoader(client).load([line, cuts[4]])
    assert caught.value.cut_id == "gone"


def lz4(content: bytes) -> bytes:
    """An LZ4 frame that holds blocks as they are."""
    out = bytes.fromhex("04224d18604082")
    for at in range(0, len(content), 1 << 16):
        block = content[at : at + (1 << 16)]
        out += (len(block) | 1 << 31).to_bytes(4, "little") + block
    return out + bytes(4)


PACK = {"jsonl": bytes, "jsonl.gz": gzip.compress, "jsonl.lz4": lz4}


@pytest.mark.parametrize("packing", PACK)
def test_manifests_come_in_batches(
    client: Client, bucket: Bucket, tmp_path: Path, packing: str
) -> None:
    """Order kept, last batch shorter."""
    cuts = list(cuts_of(recording(bucket, "r.wav", audio("wav", "PCM_16")), *CUTS))
    text = "".join(json.dumps(cut.to_dict()) + "\n" for cut in cuts).encode()
    path = tmp_path / f"cuts.{packing}"
    path.write_bytes(PACK[packing](text))
    batches = list(CutLoader(client).batches(path, 2))
    assert [names for names, _ in batches] == [
        [cut.id for cut in cuts[at : at + 2]] for at in range(0, len(cuts), 2)
    ]
    lengths = [array.shape[1] for _, arrays in batches for array in arrays]  # type: ignore[union-attr]
    assert lengths == [cut.num_samples for cut in cuts]


def test_workers_of_a_data_loader(client: Client, bucket: Bucket) -> None:
    """The loader crosses into workers, used before or not."""
    torch = pytest.importorskip("torch.utils.data")
    one = recording(bucket, "r.flac", audio("flac", "PCM_16"))
    lines = [cut.to_dict() for cut in cuts_of(one, *CUTS)]
    loader = CutLoader(client)
    expected = loader.load(lines)
    batches = torch.DataLoader(lines, batch_size=2, num_workers=2, collate_fn=loader)
    found = [array for batch in batches for array in batch]
    assert len(found) == len(expected)
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg", "mp3"])
def test_five_seconds_of_a_long_recording_move_five_seconds(
    client: Client, bucket: Bucket, wire: Wire, kind: str
) -> None:
    """What comes is the cut, and from the right place."""
    subtype = {"wav": "PCM_16", "flac": "PCM_16", "ogg": "VORBIS", "mp3": "MPEG_LAYER_III"}[kind]
    # Five minutes are enough to tell: an hour takes the encoder too long for every run.
    content = audio(kind, subtype, seconds=300)
    recording(bucket, f"long.{kind}", content)
    entry = {"objname": f"long.{kind}", "cut": {"start": 211.1, "duration": 5}}
    body = json.dumps({"in": [entry], "strm": True}).encode()
    answer = wire.follow("GET", f"/v1/ml/moss/{bucket.name}", body=body)
    assert answer.status == 200, answer.body
    with tarfile.open(fileobj=io.BytesIO(answer.body)) as tar:
        cut = tar.extractfile(tar.next() or pytest.fail("empty"))
        assert cut is not None
        found, rate = soundfile.read(io.BytesIO(cut.read()), dtype="float32")
    assert rate == RATE
    whole, _ = soundfile.read(io.BytesIO(content), dtype="float32")
    first = round(211.1 * RATE)
    expected = whole[first : first + 5 * RATE]
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < (2e-3 if kind in {"ogg", "mp3"} else 1e-9)
    assert len(answer.body) < 5 * RATE * 4 + 12_000


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "tar.lz4", "zip"])
def test_command_line_writes_archives(
    client: Client, bucket: Bucket, ais: Ais, tmp_path: Path, kind: str
) -> None:
    """One archive, or a batch in each of several."""
    cuts = list(cuts_of(recording(bucket, "r.flac", audio("flac", "PCM_16")), *CUTS))
    manifest = tmp_path / "cuts.jsonl"
    manifest.write_text("".join(json.dumps(cut.to_dict()) + "\n" for cut in cuts))
    word = ["ml", "lhotse-get-batch", "--cuts", str(manifest)]
    done = ais(*word, str(tmp_path / f"all.{kind}"))
    assert b"with 5 objects and/or archived files" in done.stdout, done.stdout
    assert b"Generated 1 batches from 5 cuts" in done.stdout
    template = str(tmp_path / ("b-{01..03}." + kind))
    ais(*word, "--batch-size", "2", "--sample-rate", str(RATE), "--output-template", template)
    names = [cut.id + ".wav" for cut in cuts]
    loader = CutLoader(client)
    for source in (manifest, CutSet.from_cuts(cuts)):
        one = loader.save(source, tmp_path / f"same.{kind}")
        many = loader.save(source, str(tmp_path / ("d-{01..09}." + kind)), 2)
        assert [path.name for path in many] == [f"d-{n:02}.{kind}" for n in (1, 2, 3)]
        assert [path.read_bytes() for path in one] == [(tmp_path / f"all.{kind}").read_bytes()]
        for ours, theirs in zip(many, sorted(tmp_path.glob(f"b-*.{kind}")), strict=True):
            assert ours.read_bytes() == theirs.read_bytes()
    if kind == "tar.lz4":
        # Python cannot read it; test_lhotse_recordings lets the cluster do so.
        return
    files = [found for path in sorted(tmp_path.glob(f"b-*.{kind}")) for found in unpacked(path)]
    assert [name for name, _ in files] == names
    assert files == unpacked(tmp_path / f"all.{kind}")
    for cut, (_, content) in zip(cuts, files, strict=True):
        assert soundfile.info(io.BytesIO(content)).frames == min(
            cut.num_samples, 7 * RATE - round(cut.start * RATE)
        )
    template = str(tmp_path / ("c-{01..02}." + kind))
    failed = ais(*word, "--batch-size", "2", "--output-template", template, code=1)
    assert b"fewer names than there are batches" in failed.stderr
    failed = ais(*word, "--sample-rate", "8000", str(tmp_path / f"none.{kind}"), code=1)
    assert b"16000 Hz" in failed.stderr
    assert not (tmp_path / f"none.{kind}").exists()


def test_archives_have_their_names_when_they_are_complete(
    client: Client, bucket: Bucket, tmp_path: Path
) -> None:
    """Faults leave nothing behind, or leave out what is faulty."""
    [good] = cuts_of(recording(bucket, "r.wav", audio("wav", "PCM_16")), (1.0, 1.0))
    gone = {"id": "gone", "audio_source": f"ais://{bucket.name}/none.wav"}
    lines = [good.to_dict(), gone, {"id": "empty"}, {**good.to_dict(), "id": "../x"}]
    for faulty in (lines[:2], lines[2:]):
        with pytest.raises(CutError):
            CutLoader(client).save(faulty, tmp_path / "a.tar")
    with pytest.raises(ValueError, match=r"\.tar\.lz4"):
        CutLoader(client).save(lines, tmp_path / "a.rar")
    with pytest.raises(ValueError, match="fewer names"):
        CutLoader(client, on_fault="keep").save(lines, tmp_path / "b-{1..1}.tar", 2)
    assert [path.name for path in tmp_path.iterdir()] == ["b-1.tar"]
    [path] = CutLoader(client, on_fault="keep").save(lines, tmp_path / "a.tar")
    assert [name for name, _ in unpacked(path)] == [f"{good.id}.wav", "cut-4.wav"]


def unpacked(path: Path) -> list[tuple[str, bytes]]:
    """Files of an archive, in order."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            return [(name, archive.read(name)) for name in archive.namelist()]
    with tarfile.open(path) as tar:
        return [(one.name, tar.extractfile(one).read()) for one in tar]  # type: ignore[union-attr]
