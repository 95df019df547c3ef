"""Data sets above an in-memory native client: sharding, batching, samples."""

from __future__ import annotations

import io
import tarfile
import warnings
from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import DataLoader

from aistore.pytorch import (
    AISBatchIterDataset,
    AISIterDataset,
    AISMapDataset,
    AISMultiShardStream,
    AISParallelMapDataset,
    AISShardReader,
    DynamicBatchSampler,
    _fetch,
    _sharding,
)
from aistore.sdk import Bucket, Client, DataShard
from aistore.sdk.errors import ErrObjNotFound
from unit.fakes import FakeNative

URL = "http://fake:1"


@pytest.fixture
def bucket(native: FakeNative) -> Bucket:
    made = Client(URL).bucket("b")
    made.put_many([(f"o{i:02}", bytes([i]) * i) for i in range(20)])
    return made


def as_worker(monkeypatch: pytest.MonkeyPatch, index: int, count: int) -> None:
    monkeypatch.setattr(
        _sharding, "get_worker_info", lambda: SimpleNamespace(id=index, num_workers=count)
    )


def as_rank(monkeypatch: pytest.MonkeyPatch, rank: int, count: int) -> None:
    fake = SimpleNamespace(
        is_available=lambda: True,
        is_initialized=lambda: True,
        get_rank=lambda: rank,
        get_world_size=lambda: count,
    )
    monkeypatch.setattr(torch, "distributed", fake)


@pytest.mark.parametrize("workers", [1, 3, 25])
def test_workers_share_the_objects(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    dataset = AISIterDataset(bucket)
    everything = [name for name, _ in dataset]
    assert everything == [f"o{i:02}" for i in range(20)]
    for index in range(workers):
        as_worker(monkeypatch, index, workers)
        assert [name for name, _ in dataset] == everything[index::workers]


def test_workers_share_the_sources(
    bucket: Bucket, native: FakeNative, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Client(URL).bucket("c")
    other.put_many([("x", b"1")])
    dataset = AISIterDataset([bucket, other], partition_sources_by_worker=True)
    seen = []
    for index in range(3):
        as_worker(monkeypatch, index, 3)
        seen.append([name for name, _ in dataset])
    assert [len(s) for s in seen] == [20, 1, 0]


def test_ranks_share_only_when_asked(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, shared = AISIterDataset(bucket), AISIterDataset(bucket, shard_by_rank=True)
    seen: list[str] = []
    for rank in range(2):
        as_rank(monkeypatch, rank, 2)
        for worker in range(3):
            as_worker(monkeypatch, worker, 3)
            assert [n for n, _ in plain] == [f"o{i:02}" for i in range(worker, 20, 3)]
            own = [n for n, _ in shared]
            assert own == [f"o{i:02}" for i in range(rank + 2 * worker, 20, 6)]
            seen += own
    assert sorted(seen) == [f"o{i:02}" for i in range(20)]


def test_prefixes(bucket: Bucket) -> None:
    assert [n for n, _ in AISIterDataset(bucket, {bucket: "o1"})] == [
        f"o{i}" for i in range(10, 20)
    ]
    assert [n for n, _ in AISIterDataset(bucket, {bucket: ["o19", "o00"]})] == ["o19", "o00"]
    assert len(AISIterDataset(bucket, {bucket: None})) == 20
    with pytest.raises(ValueError, match="same bucket object"):
        AISIterDataset(bucket, {Client(URL).bucket("b"): "x"})
    with pytest.raises(ValueError, match="empty"):
        AISMapDataset([])


def test_map_dataset_reads_a_batch_with_one_request(bucket: Bucket, native: FakeNative) -> None:
    dataset = AISMapDataset(bucket)
    assert (len(dataset), dataset[3]) == (20, ("o03", b"\x03\x03\x03"))
    loader = DataLoader(dataset, batch_size=8, collate_fn=list)
    items = [item for batch in loader for item in batch]
    assert items == [(f"o{i:02}", bytes([i]) * i) for i in range(20)]
    assert [len(b["in"]) for b in native.batches] == [8, 8, 4]
    assert dataset.__getitems__([5, 1, 5]) == [dataset[5], dataset[1], dataset[5]]
    with pytest.raises(IndexError):
        _ = dataset[20]


def test_large_objects_are_read_one_by_one(
    bucket: Bucket, native: FakeNative, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_fetch, "LARGE_BYTES", 15)
    monkeypatch.setattr(_fetch, "BATCH_BYTES", 40)
    native.gets.clear()
    assert [len(content) for _, content in AISIterDataset(bucket)] == list(range(20))
    assert native.gets == ["o15", "o16", "o17", "o18", "o19"]  # o15: nothing fits beside it
    sizes = [sum(int(e["objname"][1:]) for e in b["in"]) for b in native.batches]
    assert all(size <= 40 for size in sizes)


def test_an_object_that_goes_meanwhile_is_named(bucket: Bucket, native: FakeNative) -> None:
    dataset = AISMapDataset(bucket)
    bucket.object("o07").delete()
    with pytest.raises(ErrObjNotFound, match="o07"):
        dataset.__getitems__(list(range(20)))


def test_batch_dataset(bucket: Bucket, native: FakeNative) -> None:
    client = Client(URL)
    dataset = AISBatchIterDataset(bucket, client, max_batch_size=6)
    assert [len(c) for _, c in dataset] == list(range(20))
    assert [len(b["in"]) for b in native.batches] == [6, 6, 6, 2]
    with pytest.raises(ValueError, match="max_batch_size"):
        AISBatchIterDataset(bucket, client, max_batch_size=0)


def test_parallel_map_dataset(bucket: Bucket) -> None:
    dataset = AISParallelMapDataset(bucket, num_workers=2)
    name, buffer = dataset[4]
    with buffer:
        assert (name, buffer.tobytes()) == ("o04", b"\x04" * 4)
    assert dataset.num_workers == 2


def tar(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def test_shard_reader_groups_files_by_base_name(native: FakeNative) -> None:
    bucket = Client(URL).bucket("s")
    bucket.put_many(
        [
            ("0.tar", tar({"d/a.png": b"A", "d/a.cls": b"1", "README": b"-", "d/b.png": b"B"})),
            ("1.tar", tar({"c.seg.png": b"C", "c.txt": b"3"})),
        ]
    )
    samples = list(AISShardReader(bucket))
    assert [base for base, _ in samples] == ["a", "b", "c"]
    assert samples[0][1] == {"png": b"A", "cls": b"1"}
    assert samples[1][1] == {"png": b"B", "cls": b""}
    assert samples[2][1] == {"png": b"C", "cls": b"", "txt": b"3"}
    bucket.put_many([("2.tar", b"not a tar")])
    with pytest.raises(tarfile.TarError):
        list(AISShardReader(bucket))


def test_multishard_streams_zip(native: FakeNative) -> None:
    for name, text in (("audio", b"a"), ("label", b"l")):
        bucket = Client(URL).bucket(name)
        bucket.put_many(
            [
                (
                    f"shard-{s}.tar",
                    tar({f"{i}.x": text + b"%d%d" % (s, i) for i in reversed(range(3))}),
                )
                for s in range(2)
            ]
        )
    stream = AISMultiShardStream(
        [DataShard(URL, "audio", prefix="shard-"), DataShard(URL, "label", prefix="shard-1")]
    )
    expected = [(b"a00", b"l10"), (b"a01", b"l11"), (b"a02", b"l12")]
    assert list(stream) == expected


def test_sampler_fills_batches_up_to_the_bound(bucket: Bucket) -> None:
    dataset = AISMapDataset(bucket)
    with pytest.warns(UserWarning, match="empty"):
        batches = list(DynamicBatchSampler(dataset, max_batch_size=20))
    assert batches[0] == [1, 2, 3, 4, 5]
    assert batches[1] == [6, 7]
    assert [i for b in batches for i in b] == list(range(1, 20))
    assert all(sum(b) <= 20 for b in batches)
    assert len(DynamicBatchSampler(dataset, 20)) == 20


def test_sampler_options(bucket: Bucket) -> None:
    dataset = AISMapDataset(bucket, {bucket: ["o01", "o02", "o03", "o18"]})
    assert list(DynamicBatchSampler(dataset, 5)) == [[0, 1], [2]]
    assert list(DynamicBatchSampler(dataset, 5, allow_oversized_samples=True)) == [[0, 1], [3], [2]]
    assert list(DynamicBatchSampler(dataset, 5, drop_last=True)) == [[0, 1]]
    assert list(DynamicBatchSampler(dataset, 5, drop_last=True, saturation_factor=0.5)) == [
        [0, 1],
        [2],
    ]
    torch.manual_seed(1)
    orders = {str(list(DynamicBatchSampler(dataset, 5, shuffle=True))) for _ in range(20)}
    assert len(orders) > 1
    for bad in ({"saturation_factor": 1.5, "max_batch_size": 1}, {"max_batch_size": 0}):
        with pytest.raises(ValueError):
            DynamicBatchSampler(dataset, **bad)


def test_reading_shows_no_progress_without_a_terminal(
    bucket: Bucket, capsys: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list(AISIterDataset(bucket, show_progress=True))) == 20
    assert capsys.readouterr().err == ""
