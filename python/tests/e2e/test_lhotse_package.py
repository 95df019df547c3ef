"""Lhotse from PyPI, unchanged, with our package under it: samples equal those of the same files read locally."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lhotse import CutSet, MonoCut, MultiCut, load_manifest, load_manifest_lazy
from lhotse.ais import AISBatchLoader
from lhotse.dataset import AudioSamples
from lhotse.serialization import get_aistore_client
from speech import CUTS, audio, cuts_of, described, recording

import aistore
from aistore import LocalCluster
from aistore.sdk import Bucket

# Lhotse reads whole recordings over URLs, and says so each time.
pytestmark = [
    pytest.mark.filterwarnings("ignore:You requested a subset:UserWarning"),
    pytest.mark.usefixtures("_endpoint"),
]

FILES = {
    "mono.wav": ("wav", "PCM_16", 1),
    "deep.flac": ("flac", "PCM_24", 2),
    "small.ogg": ("ogg", "VORBIS", 1),
    "old.mp3": ("mp3", "MPEG_LAYER_III", 2),
}


@pytest.fixture
def _endpoint(cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("AIS_ENDPOINT", cluster.endpoint)
    get_aistore_client.cache_clear()
    yield
    get_aistore_client.cache_clear()


@pytest.fixture(scope="module")
def contents() -> dict[str, bytes]:
    """Recordings of every kind."""
    return {name: audio(kind, subtype, n) for name, (kind, subtype, n) in FILES.items()}


def pairs(
    contents: dict[str, bytes], folder: Path, place: str
) -> tuple[list[MonoCut | MultiCut], list[MonoCut | MultiCut]]:
    """Cuts of recordings below `place`, and the same of local files."""
    sides: tuple[list[Any], list[Any]] = ([], [])
    for name, content in contents.items():
        (folder / name).write_bytes(content)
        far = described(name, content, f"{place}/{name}")
        near = described(name, content, str(folder / name), "file")
        for side, one in zip(sides, (far, near), strict=True):
            side.extend(cuts_of(one, *CUTS[:4]))
            if one.num_channels > 1:
                side.append(MultiCut(f"{name}-all", 1.25, 2.5, one.channel_ids, [], recording=one))
    return sides


def equal(found: Any, expected: Any) -> None:
    """Every cut has the same samples."""
    for one, other in zip(found, expected, strict=True):
        assert one.id == other.id
        assert np.array_equal(one.load_audio(), other.load_audio()), one.id


def test_recordings_by_url(bucket: Bucket, contents: dict[str, bytes], tmp_path: Path) -> None:
    """`load_audio`, one by one and by `AISBatchLoader`."""
    for name, content in contents.items():
        bucket.object(name).get_writer().put_content(content)
    cuts, expected = pairs(contents, tmp_path, f"ais://{bucket.name}")
    equal(cuts, expected)
    loaded = AISBatchLoader()(CutSet.from_cuts(cuts).to_eager())
    assert {cut.recording.sources[0].type for cut in loaded} == {"memory"}
    equal(loaded, expected)


@pytest.mark.parametrize("kind", ["tar", "tar.gz"])
def test_recordings_in_shards(
    bucket: Bucket, contents: dict[str, bytes], tmp_path: Path, kind: str
) -> None:
    """`ais://BUCKET/SHARD.tar/FILE` through `AISBatchLoader`."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz" if kind == "tar.gz" else "w") as shard:
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            shard.addfile(info, io.BytesIO(content))
    bucket.object(f"a.{kind}").get_writer().put_content(out.getvalue())
    cuts, expected = pairs(contents, tmp_path, f"ais://{bucket.name}/a.{kind}")
    equal(AISBatchLoader()(CutSet.from_cuts(cuts).to_eager()), expected)


def test_manifests_by_url(bucket: Bucket) -> None:
    """Written and read, at once and lazily, packed or not."""
    cuts = cuts_of(recording(bucket, "r.flac", audio("flac", "PCM_16")), *CUTS[:3])
    url = f"ais://{bucket.name}/cuts.jsonl"
    cuts.to_file(url)
    # Lhotse packs nothing that it writes to a URL, and unpacks what it reads by its name.
    plain = bucket.object("cuts.jsonl").get_reader().read_all()
    bucket.object("packed.jsonl.gz").get_writer().put_content(gzip.compress(plain))
    known = [cut.to_dict() for cut in cuts]
    for again in (
        load_manifest(url),
        load_manifest_lazy(url),
        CutSet.from_file(url),
        CutSet.from_file(f"ais://{bucket.name}/packed.jsonl.gz"),
    ):
        assert [cut.to_dict() for cut in again] == known
    equal(load_manifest_lazy(url), cuts)


def test_audio_samples(bucket: Bucket, contents: dict[str, bytes], tmp_path: Path) -> None:
    """What a data set of Lhotse's collates, by single reads and by batches."""
    bucket.object("mono.wav").get_writer().put_content(contents["mono.wav"])
    some = {"mono.wav": contents["mono.wav"]}
    cuts, expected = (CutSet.from_cuts(c) for c in pairs(some, tmp_path, f"ais://{bucket.name}"))
    audio_of, lengths = AudioSamples()(expected)
    for strategy in (
        AudioSamples(),
        AudioSamples(num_workers=2),
        AudioSamples(use_batch_loader=True),
    ):
        found, found_lengths = strategy(cuts.to_eager())
        assert found_lengths.tolist() == lengths.tolist()
        assert np.array_equal(found.numpy(), audio_of.numpy())


def test_what_lhotse_asks_of_the_package() -> None:
    """Its client is ours, of a version that it understands."""
    client, version = get_aistore_client()
    assert isinstance(client, aistore.Client)
    assert (version.major, version.minor) >= (2, 0)


def test_a_missing_recording_is_named(bucket: Bucket) -> None:
    """`AISBatchLoader` says which one."""
    good = recording(bucket, "good.wav", audio("wav", "PCM_16"))
    gone = described("gone", audio("wav", "PCM_16"), f"ais://{bucket.name}/gone.wav")
    cuts = CutSet.from_cuts([*cuts_of(good, CUTS[0]), *cuts_of(gone, CUTS[0])])
    with pytest.raises(Exception, match=r"gone\.wav"):
        AISBatchLoader()(cuts.to_eager())
