"""What is read reaches numpy and torch without a copy, and reading on and on takes no more memory."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from aistore.data import Snapshot, SnapshotStream
from aistore.pytorch import AISIterDataset, AISMapDataset, AISParallelMapDataset
from aistore.pytorch.batch_iter_dataset import AISBatchIterDataset
from aistore.sdk import Bucket, Client

MIB = 1 << 20
CONTENT = random.Random(1).randbytes(5 * MIB)


def address(view: Any) -> int:
    return int(np.frombuffer(view, np.uint8).ctypes.data)


def test_no_copies(bucket: Bucket) -> None:
    obj = bucket.object("o")
    obj.get_writer().put_content(CONTENT)
    content = obj.get_reader().read_all()
    array = np.frombuffer(content, np.uint8)
    with pytest.warns(UserWarning, match="not writable"):
        tensor = torch.frombuffer(content, dtype=torch.uint8)
    assert tensor.data_ptr() == array.ctypes.data
    assert bytes(array) == CONTENT
    with obj.get_reader(num_workers=4).read_all() as buffer:
        tensor = torch.frombuffer(buffer.buf, dtype=torch.uint8)
        assert tensor.data_ptr() == np.asarray(buffer).ctypes.data == address(buffer.buf)
        assert torch.from_dlpack(buffer).data_ptr() == tensor.data_ptr()
        assert bytes(np.asarray(buffer)) == CONTENT
        assert np.array(buffer, np.uint16).sum() == sum(CONTENT)
        kept = np.asarray(buffer)
    # Closing does not take memory away from those who look at it.
    assert bytes(kept) == CONTENT
    own = np.empty(len(CONTENT), np.uint8)
    assert obj.get_reader().read_into(own) == len(CONTENT)
    assert bytes(own) == CONTENT
    pinned = torch.empty(len(CONTENT), dtype=torch.uint8)
    assert obj.get_reader(num_workers=2).read_all(out=pinned.numpy()) == len(CONTENT)
    assert torch.equal(pinned, torch.from_numpy(own))


def test_batches_go_into_one_tensor(client: Client, bucket: Bucket) -> None:
    bucket.put_many([(f"o{i}", bytes([i]) * 100) for i in range(10)])
    tensor = torch.empty(10, 100, dtype=torch.uint8)
    batch = client.batch([f"o{i}" for i in range(10)], bucket=bucket)
    for row, (info, part) in enumerate(batch.read_into(tensor.numpy())):
        assert info.obj_name == f"o{row}"
        assert address(part) == tensor[row].data_ptr()
    assert torch.equal(tensor, torch.arange(10, dtype=torch.uint8)[:, None].expand(10, 100))


def resident() -> float:
    """MiB of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no RssAnon")


def closing(dataset: AISParallelMapDataset) -> Iterator[bytes]:
    for i in range(len(dataset)):
        name, buffer = dataset[i]
        with buffer:
            yield name.encode()


@pytest.mark.parametrize("kind", ["map", "parallel", "iter", "batch", "stream"])
def test_epochs_take_no_more_memory(client: Client, bucket: Bucket, kind: str) -> None:
    count, epochs = 12, 5
    bucket.put_many([(f"o{i:02}", CONTENT[:MIB]) for i in range(count)])
    if kind == "stream":
        Snapshot.create(bucket, "all", "o")
    make: dict[str, Callable[[], Any]] = {
        "map": lambda: AISMapDataset([bucket], {bucket: "o"}),
        "parallel": lambda: closing(AISParallelMapDataset([bucket], {bucket: "o"}, num_workers=2)),
        "iter": lambda: AISIterDataset([bucket], {bucket: "o"}),
        "batch": lambda: AISBatchIterDataset([bucket], client, {bucket: "o"}, max_batch_size=4),
        "stream": lambda: SnapshotStream(Snapshot(bucket, "all"), 4),
    }
    after = []
    for _ in range(epochs):
        dataset = make[kind]()
        seen = (dataset[i] for i in range(len(dataset))) if kind == "map" else iter(dataset)
        assert sum(1 for _ in seen) == (count // 4 if kind == "stream" else count)
        del dataset, seen
        gc.collect()
        after.append(resident())
    # An epoch that kept what it read would add its 12 MiB each time.
    assert after[-1] - after[1] < count * 2, after
