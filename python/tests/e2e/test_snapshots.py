"""Snapshots and what reads them: every sample once, in one order, whatever stops and starts."""

from __future__ import annotations

import hashlib
import io
import json
import multiprocessing
import os
import pickle
import random
import tarfile
import threading
import wave
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch.utils.data
from support import wait_until

from aistore.data import (
    DataLoader,
    Entry,
    Snapshot,
    SnapshotDataset,
    SnapshotExistsError,
    SnapshotSampler,
    SnapshotStream,
    Windowed,
    position_of,
)
from aistore.sdk import Bucket
from aistore.sdk.errors import ErrObjNotFound

COUNT = 203
BATCH = 8
SEED = 11


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIS_SNAPSHOT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def snapshot(bucket: Bucket) -> Snapshot:
    bucket.put_many([(f"s/{i:04}", f"content-{i}".encode()) for i in range(COUNT)])
    return Snapshot.create(bucket, "all", "s/")


def keep(batch: list[Any]) -> list[Any]:
    return batch


def keys(batches: Iterable[list[dict[str, Any]]]) -> list[str]:
    return [sample["__key__"] for batch in batches for sample in batch]


def load(snapshot: Snapshot, batch_size: int = BATCH, **options: Any) -> DataLoader:
    dataset = SnapshotDataset(snapshot)
    return DataLoader(dataset, batch_size, seed=SEED, collate_fn=keep, **options)


def digest(names: list[str]) -> str:
    return f"{len(names)} {hashlib.sha256(' '.join(names).encode()).hexdigest()}"


def unbroken(snapshot: Snapshot, epochs: int = 1) -> list[str]:
    loader = load(snapshot)
    return [key for _ in range(epochs) for key in keys(loader)]


def test_entries_of_a_prefix(bucket: Bucket, snapshot: Snapshot) -> None:
    assert len(snapshot) == COUNT
    assert snapshot[3] == Entry("s/0003", "s/0003", None, None, None, len("content-3"))
    assert snapshot[-1].object == f"s/{COUNT - 1:04}"
    with pytest.raises(IndexError, match=f"has {COUNT} samples"):
        snapshot[COUNT]
    dataset = SnapshotDataset(snapshot)
    assert dataset[7] == {"__key__": "s/0007", "content": b"content-7"}
    got = dataset.__getitems__([5, 2, 5])
    assert [sample["content"] for sample in got] == [b"content-5", b"content-2", b"content-5"]
    assert pickle.loads(pickle.dumps(dataset))[7] == dataset[7]
    assert Snapshot(bucket, "all").id == snapshot.id
    # Snapshots themselves are no samples.
    assert len(Snapshot.create(bucket, "everything")) == COUNT


def test_a_snapshot_does_not_change(bucket: Bucket, snapshot: Snapshot) -> None:
    bucket.object("s/new").get_writer().put_content(b"1")
    assert len(Snapshot(bucket, "all")) == COUNT
    with pytest.raises(SnapshotExistsError, match="something else"):
        Snapshot.create(bucket, "all", "s/", exist_ok=True)
    assert Snapshot.create(bucket, "all", "s/0", exist_ok=True).id == snapshot.id
    with pytest.raises(ErrObjNotFound):
        Snapshot(bucket, "absent")
    for sizes in ({"min_size": -1}, {"min_size": 2, "max_size": 1}):
        with pytest.raises(ValueError, match="expected"):
            Snapshot.create(bucket, "other", **sizes)
    with pytest.raises(ValueError, match="snapshot name"):
        Snapshot(bucket, "../x")


@pytest.mark.parametrize(
    "chosen",
    [
        {"prefix": "s/"},
        {"prefix": "s/01", "range_bytes": 3, "min_size": 2},
        {"template": "s/{0005..0100..5}", "suffixes": ["0"]},
        {"prefix": "t/", "shards": True},
        {"prefix": "nothing"},
    ],
    ids="-".join,
)
def test_a_target_and_this_host_make_the_same(
    bucket: Bucket, snapshot: Snapshot, chosen: dict[str, Any]
) -> None:
    for shard in range(3):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            for at in range(4):
                for ext in ("txt", "cls"):
                    tar.addfile(tarfile.TarInfo(f"{at}.{ext}"))
        bucket.object(f"t/{shard}.tar").get_writer().put_content(out.getvalue())
    if "template" in chosen:
        with pytest.raises(ErrObjNotFound, match="s/0005"):
            Snapshot.create(bucket, "target", **chosen)
        chosen = {**chosen, "template": "s/{0010..0100..10}"}
    listed: list[int] = []
    made = Snapshot.create(bucket, "target", on_progress=listed.append, **chosen)
    here = Snapshot.create(bucket, "here", where=lambda *_: True, **chosen)
    assert listed
    assert listed == sorted(listed)
    assert (made.id, len(made)) == (here.id, len(here))
    assert list(made) == list(here)
    with pytest.raises(SnapshotExistsError, match="lists the same: pass exist_ok"):
        Snapshot.create(bucket, "target", **chosen)
    assert Snapshot.create(bucket, "here", exist_ok=True, **chosen).id == made.id
    bucket.object(".snapshots/junk.arrow").get_writer().put_content(b"no snapshot at all")
    with pytest.raises(SnapshotExistsError, match="something else"):
        Snapshot.create(bucket, "junk", exist_ok=True, **chosen)


def test_queries_templates_ranges_and_lists(bucket: Bucket, snapshot: Snapshot) -> None:
    some = Snapshot.create(bucket, "some", "s/", where=lambda name, _: name.endswith("7"))
    assert [entry.object for entry in some][:2] == ["s/0007", "s/0017"]
    assert len(Snapshot.create(bucket, "short", "s/", max_size=9)) == 10
    assert len(Snapshot.create(bucket, "ends", "s/", suffixes=["11", "22"])) == 4
    named = Snapshot.create(bucket, "named", template="s/{0010..0019}")
    assert [entry.object for entry in named] == [f"s/{i:04}" for i in range(10, 20)]
    with pytest.raises(ErrObjNotFound, match="s/0203"):
        Snapshot.create(bucket, "missing", template="s/{0200..0300}")
    ranges = Snapshot.create(bucket, "ranges", "s/0123", range_bytes=4)
    contents = [sample["content"] for sample in SnapshotDataset(ranges).__getitems__([2, 1, 0])]
    assert contents == [b"123", b"ent-", b"cont"]
    given = [Entry("s/0001", "a", start=2, length=3), Entry("s/0002")]
    dataset = SnapshotDataset(Snapshot.create(bucket, "given", entries=given))
    assert dataset[0] == {"__key__": "a", "content": b"nte"}
    assert dataset[1]["content"] == b"content-2"


def test_files_in_shards_by_key(bucket: Bucket) -> None:
    for shard in range(3):
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for i in range(5):
                for ext in ("seg.png", "cls"):
                    info = tarfile.TarInfo(f"d/{i:03}.{ext}")
                    info.size = 5
                    archive.addfile(info, io.BytesIO(f"{shard}-{i}{ext[0]}".encode().ljust(5)))
        bucket.object(f"sh-{shard}.tar").get_writer().put_content(packed.getvalue())
    snapshot = Snapshot.create(bucket, "shards", template="sh-{0..2}.tar", shards=True)
    assert len(snapshot) == 15
    assert snapshot[0].key == "sh-0.tar/d/000"
    assert sorted(snapshot[0].members or ()) == ["d/000.cls", "d/000.seg.png"]
    assert SnapshotDataset(snapshot)[7] == {
        "__key__": "sh-1.tar/d/002",
        "seg.png": b"1-2s ",
        "cls": b"1-2c ",
    }


def test_each_epoch_has_every_sample_once(snapshot: Snapshot) -> None:
    first, second = unbroken(snapshot), unbroken(snapshot, 2)[COUNT:]
    assert sorted(first) == sorted(second) == [f"s/{i:04}" for i in range(COUNT)]
    assert first != second
    assert keys(load(snapshot, shuffle=False)) == sorted(first)
    assert sorted(keys(load(snapshot, shuffle=Windowed(10, 50)))) == sorted(first)
    assert len(keys(load(snapshot, drop_last=True))) == COUNT // BATCH * BATCH


def steps(
    snapshot: Snapshot, state: Any, ranks: int, workers: int, count: int, method: str = "fork"
) -> tuple[list[str], dict[str, Any]]:
    """Samples of some global steps in the global order, and the state after them."""
    passes = []
    options = {"multiprocessing_context": method} if workers else {}
    for rank in range(ranks):
        loader = load(snapshot, rank=rank, world_size=ranks, num_workers=workers, **options)
        if state:
            loader.load_state_dict(state)
        passes.append((loader, iter(loader)))
    got: list[str] = []
    for _ in range(count):
        batches = [keys([batch]) for _, it in passes if (batch := next(it, None)) is not None]
        longest = max(map(len, batches), default=0)
        got += [batch[i] for i in range(longest) for batch in batches if i < len(batch)]
    saved = [loader.state_dict() for loader, _ in passes]
    assert all(s == saved[0] for s in saved)
    return got, saved[0]


def resume(
    snapshot: Snapshot, seed: int, topologies: list[tuple[int, int]], method: str = "fork"
) -> None:
    chance, state, got = random.Random(seed), None, []
    for ranks, workers in topologies:
        count = chance.randint(1, max(10 // ranks, 1))
        part, state = steps(snapshot, state, ranks, workers, count, method)
        # A state is kept as what it says, not as the object it was.
        state = json.loads(json.dumps(state))
        got += part
    assert digest(got) == digest(unbroken(snapshot, 2)[: len(got)])
    assert state["epoch"] * COUNT + state["position"] == len(got)


def test_three_resumes_with_changed_topologies(snapshot: Snapshot) -> None:
    resume(snapshot, 1, [(2, 2), (1, 0), (4, 0), (1, 3)])
    resume(snapshot, 2, [(1, 3), (3, 0), (1, 1), (2, 0)])


def test_resumes_on_fewer_ranks_and_more(snapshot: Snapshot) -> None:
    resume(snapshot, 3, [(8, 0), (2, 0), (8, 0), (3, 0)])


@pytest.mark.slow
def test_eight_ranks_of_eight_workers_go_on_as_two_without(snapshot: Snapshot) -> None:
    resume(snapshot, 4, [(8, 8), (2, 0), (8, 8), (1, 8)])


@pytest.mark.slow
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_resumes_in_workers_that_are_not_forked(snapshot: Snapshot, method: str) -> None:
    resume(snapshot, 5, [(2, 2), (1, 0), (1, 3), (3, 1)], method)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(int(os.environ.get("RESUME_ROUNDS", "20"))))
def test_many_resumes_with_changed_topologies(snapshot: Snapshot, seed: int) -> None:
    chance = random.Random(seed)
    cells = [(r, w) for r in (1, 2, 4, 8) for w in (0, 1, 2, 3, 5, 8) if r * w <= 16]
    resume(snapshot, seed, [chance.choice(cells) for _ in range(4)])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(int(os.environ.get("RESUME_ROUNDS", "20"))))
def test_many_resumes_of_streams(snapshot: Snapshot, seed: int) -> None:
    chance, state, got = random.Random(seed), None, []
    whole = unbroken(snapshot)
    for _ in range(4):
        # One process reads, and stops in the middle; batches and workers differ each time.
        stream = SnapshotStream(snapshot, chance.choice([1, 5, BATCH]), seed=SEED)
        if state:
            stream.load_state_dict(state)
        workers = chance.choice([0, 0, 1, 2, 8])
        if not workers:
            it = iter(stream)
            got += keys([next(it) for _ in range(chance.randint(1, 5))])
            state = json.loads(json.dumps(stream.state_dict()))
            it.close()
            continue
        loader = torch.utils.data.DataLoader(
            stream, batch_size=None, num_workers=workers, collate_fn=keep
        )
        assert digest(got + keys(loader)) == digest(whole)
    assert digest(got) == digest(whole[: len(got)])


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_start_methods_after_use(snapshot: Snapshot, method: str) -> None:
    whole = unbroken(snapshot)
    threads, children = threading.active_count(), multiprocessing.active_children()
    loader = load(snapshot, num_workers=1, multiprocessing_context=method)
    assert keys(loader) == whole
    del loader
    # The loader's own threads and children end soon after it, not with it.
    wait_until(lambda: threading.active_count() <= threads, "the loader's threads end")
    wait_until(lambda: multiprocessing.active_children() == children, "its workers end")


def test_a_break_goes_on_with_the_next_sample(snapshot: Snapshot) -> None:
    loader = load(snapshot, num_workers=2)
    got: list[str] = []
    for batch in loader:
        got += keys([batch])
        if len(got) == 3 * BATCH:
            break
    got += keys(loader)
    assert got == unbroken(snapshot)


def test_streams_give_the_same_with_any_workers(snapshot: Snapshot) -> None:
    whole = unbroken(snapshot)
    for workers in (0, 3):
        stream = SnapshotStream(snapshot, BATCH, seed=SEED)
        loader = torch.utils.data.DataLoader(
            stream, batch_size=None, num_workers=workers, collate_fn=keep
        )
        assert keys(loader) == whole
        stream.set_epoch(1)
        assert keys(loader) == unbroken(snapshot, 2)[COUNT:]
    stream = SnapshotStream(snapshot, BATCH, seed=SEED)
    it = iter(stream)
    got = keys([next(it) for _ in range(4)])
    other = SnapshotStream(snapshot, 5, seed=SEED)
    other.load_state_dict(stream.state_dict())
    assert got + keys(other) == whole


def test_a_plain_data_loader(snapshot: Snapshot) -> None:
    sampler = SnapshotSampler(snapshot, BATCH, seed=SEED)
    loader = torch.utils.data.DataLoader(
        SnapshotDataset(snapshot), batch_sampler=sampler, num_workers=2, collate_fn=keep
    )
    it = iter(loader)
    got = keys([next(it) for _ in range(3)])
    state = sampler.state_dict(batches=3)
    resumed = SnapshotSampler(snapshot, BATCH, seed=SEED)
    resumed.load_state_dict(state)
    loader = torch.utils.data.DataLoader(
        SnapshotDataset(snapshot), batch_sampler=resumed, collate_fn=keep
    )
    assert got + keys(loader) == unbroken(snapshot)


# torchdata calls what torch has deprecated.
@pytest.mark.filterwarnings("ignore:.*set_vital.*:UserWarning")
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kind", ["map", "stream"])
def test_torchdata(snapshot: Snapshot, kind: str, workers: int) -> None:
    torchdata = pytest.importorskip("torchdata.stateful_dataloader")

    def make(count: int) -> Any:
        if kind == "stream":
            stream = SnapshotStream(snapshot, BATCH, seed=SEED)
            return torchdata.StatefulDataLoader(
                stream, batch_size=None, num_workers=count, collate_fn=keep
            )
        sampler = SnapshotSampler(snapshot, BATCH, seed=SEED)
        return torchdata.StatefulDataLoader(
            SnapshotDataset(snapshot), batch_sampler=sampler, num_workers=count, collate_fn=keep
        )

    whole = unbroken(snapshot, 2)
    loader = make(workers)
    it = iter(loader)
    got = keys([next(it) for _ in range(5)])
    state = loader.state_dict()
    same = make(workers)
    same.load_state_dict(state)
    got_again = got + keys(same)
    assert got_again == whole[:COUNT]
    if kind == "map":
        assert got_again + keys(same) == whole
    # The place alone goes to any other number of workers.
    elsewhere = load(snapshot, 3, num_workers=1)
    elsewhere.load_state_dict(position_of(state))
    assert got + keys(elsewhere) == whole[:COUNT]


def test_samples_are_seconds_of_recordings(bucket: Bucket) -> None:
    rate, length = 8000, 80_000
    frames = np.random.default_rng(1).integers(-9999, 9999, length).astype("<i2")
    bucket.object("hour.wav").get_writer().put_content(wav(frames.tobytes(), rate))
    cuts = [("one", 0.5, 1.25), ("two", 9.0, None), ("three", 0.0, 0.001)]
    entries = [Entry("hour.wav", key, at_second=at, seconds=n) for key, at, n in cuts]
    snapshot = Snapshot.create(bucket, "cuts", entries=entries)
    assert list(snapshot) == entries
    for sample, (key, at, seconds) in zip(
        SnapshotDataset(snapshot).__getitems__([0, 1, 2]), cuts, strict=True
    ):
        first = int(at * rate)
        last = length if seconds is None else first + int(seconds * rate)
        with wave.open(io.BytesIO(sample["content"])) as got:
            assert (sample["__key__"], got.getframerate()) == (key, rate)
            assert got.readframes(length) == frames[first:last].tobytes()
    shorter = [entries[0]._replace(seconds=1.0), *entries[1:]]
    assert Snapshot.create(bucket, "others", entries=shorter).id != snapshot.id
    for wrong in (
        {"seconds": 1.0},
        {"at_second": -1.0},
        {"at_second": 1.0, "start": 0, "length": 1},
    ):
        with pytest.raises(ValueError, match=r"sample of hour\.wav"):
            Snapshot.create(bucket, "wrong", entries=[Entry("hour.wav", **wrong)])


def wav(frames: bytes, rate: int) -> bytes:
    made = io.BytesIO()
    with wave.open(made, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(frames)
    return made.getvalue()
