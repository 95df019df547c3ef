"""DataLoader workers, fork, spawn and pickling: the client must survive them all."""

from __future__ import annotations

import io
import multiprocessing
import os
import tarfile
import threading
from collections.abc import Iterable
from typing import Any

import pytest
from torch.utils.data import DataLoader

from aistore.pytorch import (
    AISIterDataset,
    AISMapDataset,
    AISMultiShardStream,
    AISParallelMapDataset,
    AISShardReader,
    DynamicBatchSampler,
    multishard_dataset,
)
from aistore.pytorch._sharding import Share
from aistore.pytorch.batch_iter_dataset import AISBatchIterDataset
from aistore.sdk import Bucket, Client, DataShard

COUNT = 60
METHODS = ["fork", "spawn", "forkserver"]


@pytest.fixture
def filled(bucket: Bucket) -> Bucket:
    bucket.put_many([(f"s{i:03}", f"content-{i}".encode() * (i + 1)) for i in range(COUNT)])
    return bucket


def expected() -> dict[str, bytes]:
    return {f"s{i:03}": f"content-{i}".encode() * (i + 1) for i in range(COUNT)}


def keep(batch: list[Any]) -> list[Any]:
    """A collate function that spawn can pickle."""
    return batch


def collect(loader: Iterable[list[Any]]) -> list[Any]:
    return [item for batch in loader for item in batch]


# A spawned worker imports torch, which takes seconds: one such case per method is enough.
@pytest.mark.parametrize(
    ("method", "workers", "used_before"),
    [
        ("fork", 1, True),
        ("fork", 3, False),
        ("fork", 3, True),
        ("spawn", 2, True),
        ("forkserver", 2, True),
    ],
)
def test_map_dataset_in_workers(
    filled: Bucket, method: str, workers: int, used_before: bool
) -> None:
    dataset = AISMapDataset(ais_source_list=[filled])
    if used_before:
        assert dataset[0] == ("s000", b"content-0")
    loader = DataLoader(
        dataset,
        batch_size=8,
        num_workers=workers,
        collate_fn=keep,
        multiprocessing_context=method,
        persistent_workers=True,
    )
    for _ in range(2):
        items = collect(loader)
        assert [name for name, _ in items] == sorted(expected())
        assert dict(items) == expected()
    assert dataset[1] == ("s001", expected()["s001"])


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_iterable_datasets_share_the_work(client: Client, filled: Bucket, method: str) -> None:
    datasets = [
        AISIterDataset(ais_source_list=[filled]),
        AISBatchIterDataset(ais_source_list=[filled], client=client, max_batch_size=7),
    ]
    for dataset in datasets:
        loader = DataLoader(
            dataset, batch_size=4, num_workers=2, collate_fn=keep, multiprocessing_context=method
        )
        items = collect(loader)
        assert len(items) == COUNT
        assert dict(items) == expected()


def test_sources_can_be_split_by_worker(client: Client, filled: Bucket) -> None:
    other = client.bucket(f"{filled.name}-2").create()
    try:
        other.put_many([(f"x{i}", b"x") for i in range(5)])
        dataset = AISIterDataset(ais_source_list=[filled, other], partition_sources_by_worker=True)
        items = collect(DataLoader(dataset, batch_size=4, num_workers=4, collate_fn=keep))
        assert sorted(name for name, _ in items) == sorted(
            [*expected(), *(f"x{i}" for i in range(5))]
        )
    finally:
        other.delete()


def test_parallel_map_dataset_works_inside_workers(filled: Bucket) -> None:
    dataset = AISParallelMapDataset(ais_source_list=[filled], num_workers=4)
    loader = DataLoader(dataset, batch_size=8, num_workers=2, collate_fn=to_bytes)
    assert dict(collect(loader)) == expected()


def to_bytes(batch: list[Any]) -> list[tuple[str, bytes]]:
    out = []
    for name, buffer in batch:
        out.append((name, buffer.tobytes()))
        buffer.close()
    return out


def test_shard_reader_groups_samples(bucket: Bucket) -> None:
    for shard in range(3):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as archive:
            for i in range(4):
                for ext in ("png", "cls"):
                    info = tarfile.TarInfo(f"sample-{shard}{i}.{ext}")
                    content = f"{ext}-{shard}{i}".encode()
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))
        bucket.object(f"shard-{shard}.tar").get_writer().put_content(out.getvalue())
    reader = AISShardReader(bucket_list=[bucket])
    samples = collect(DataLoader(reader, batch_size=2, num_workers=2, collate_fn=keep))
    assert len(samples) == 12
    for base, files in samples:
        key = base.removeprefix("sample-")
        assert dict(files) == {"png": f"png-{key}".encode(), "cls": f"cls-{key}".encode()}


def put_shard(bucket: Bucket, name: str, files: dict[str, bytes]) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for file, content in files.items():
            info = tarfile.TarInfo(file)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    bucket.object(name).get_writer().put_content(out.getvalue())


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_streams_of_shards_are_shared_by_ranks_and_workers(
    client: Client, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    for shard in range(3):
        for kind in ("audio", "text"):
            # Out of order in the shard: files come by name.
            files = {f"{i:03}.x": f"{kind}-{shard}-{i}".encode() for i in reversed(range(70))}
            put_shard(bucket, f"{kind}-{shard}.tar", files)
    sources = [DataShard(client.endpoint, bucket.name, prefix=kind) for kind in ("audio", "text")]
    expected = [
        tuple(f"{kind}-{shard}-{i}".encode() for kind in ("audio", "text"))
        for shard in range(3)
        for i in range(70)
    ]
    seen = []
    for rank in range(2):
        monkeypatch.setattr(multishard_dataset, "rank_share", lambda rank=rank: Share(rank, 2))
        stream = AISMultiShardStream(sources, shard_by_rank=True)
        loader = DataLoader(stream, batch_size=None, num_workers=workers, collate_fn=keep)
        got = list(loader)
        assert sorted(got) == sorted(expected[rank::2])
        seen += got
    assert sorted(seen) == sorted(expected)
    plain = AISMultiShardStream(sources)
    loader = DataLoader(plain, batch_size=None, num_workers=workers, collate_fn=keep)
    assert sorted(loader) == sorted(expected)


def test_dynamic_batches_stay_below_the_bound(filled: Bucket) -> None:
    dataset = AISMapDataset(ais_source_list=[filled])
    sampler = DynamicBatchSampler(dataset, max_batch_size=3000)
    batches = list(sampler)
    sizes = {i: len(content) for i, content in enumerate(expected()[k] for k in sorted(expected()))}
    assert sorted(i for batch in batches for i in batch) == list(range(COUNT))
    assert all(sum(sizes[i] for i in batch) <= 3000 for batch in batches)


def read_in_child(bucket: Bucket, queue: Any) -> None:
    queue.put({name: bucket.object(name).get_reader().read_all() for name in expected()})


@pytest.mark.parametrize("method", METHODS)
def test_a_used_client_crosses_into_a_child_process(filled: Bucket, method: str) -> None:
    assert filled.object("s001").get_reader().read_all() == expected()["s001"]
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    child = context.Process(target=read_in_child, args=(filled, queue))
    child.start()
    assert queue.get(timeout=60) == expected()
    child.join(timeout=30)
    assert child.exitcode == 0
    assert filled.object("s002").get_reader().read_all() == expected()["s002"]


def test_fork_while_other_threads_transfer(filled: Bucket) -> None:
    """A fork in the middle of transfers neither hangs the child nor disturbs the parent."""
    stop, failed = threading.Event(), []

    def transfer() -> None:
        while not stop.is_set():
            if filled.object("s059").get_reader().read_all() != expected()["s059"]:
                failed.append("wrong bytes")

    threads = [threading.Thread(target=transfer) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            pid = os.fork()
            if pid == 0:
                good = filled.object("s010").get_reader().read_all() == expected()["s010"]
                os._exit(0 if good else 1)
            _, status = os.waitpid(pid, 0)
            assert os.waitstatus_to_exitcode(status) == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failed == []
