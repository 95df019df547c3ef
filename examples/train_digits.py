"""Train a small CNN on handwritten digits, reading every byte from an embedded cluster.

The steps are those of a real project: start a cluster, pack a data set into tar shards and plain
PNG objects, upload it, train from a DataLoader whose workers fetch with GetBatch, look at the result.

    python examples/train_digits.py --out demo-out
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import tarfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

import aistore
from aistore.sdk.batch.types import MossIn

if TYPE_CHECKING:
    from aistore.sdk import Batch, Bucket, Client

SHARD_SAMPLES = 200
TEST_EVERY = 5  # every fifth image is held out: deterministic, and balanced over the classes
BATCH = 64
WORKERS = 2


@dataclass(frozen=True)
class Sample:
    """Where one image lives: a plain object, or a file inside a shard."""

    object: str
    archpath: str
    label: int


@dataclass
class Epoch:
    """What one pass over the training set cost and gained."""

    loss: float
    seconds: float
    samples: int
    bytes: int


@dataclass
class Run:
    """Everything that the plot and the summary need."""

    epochs: list[Epoch] = field(default_factory=list)
    accuracy: float = 0.0


def encode_png(pixels: np.ndarray) -> bytes:
    """Encodes one 8x8 image with 17 grey levels as PNG."""
    out = io.BytesIO()
    Image.fromarray((pixels * 15).astype(np.uint8)).save(out, format="PNG")
    return out.getvalue()


def pack(bucket: Bucket) -> tuple[list[Sample], list[Sample]]:
    """Uploads training images in tar shards and test images as plain objects."""
    digits = load_digits()
    train: list[Sample] = []
    test: list[Sample] = []
    shards: dict[str, list[tuple[str, bytes]]] = {}
    uploads: list[tuple[str, bytes]] = []
    for i, (pixels, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        png = encode_png(pixels)
        if i % TEST_EVERY == 0:
            name = f"test/{i:04}.png"
            uploads.append((name, png))
            test.append(Sample(name, "", int(label)))
        else:
            shard = f"train/digits-{len(train) // SHARD_SAMPLES:03}.tar"
            member = f"{i:04}.png"
            shards.setdefault(shard, []).append((member, png))
            train.append(Sample(shard, member, int(label)))
    uploads += [(name, make_tar(files)) for name, files in shards.items()]

    total = sum(len(content) for _, content in uploads)
    with tqdm(total=total, unit="B", unit_scale=True, desc="upload") as bar:
        bucket.put_many(uploads, progress=lambda _objects, sent: bar.update(sent - bar.n))
    return train, test


def make_tar(files: list[tuple[str, bytes]]) -> bytes:
    """Packs named contents into one tar."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


class Digits(Dataset[tuple[torch.Tensor, int, int]]):
    """A map dataset that fetches a whole batch of indices with one GetBatch."""

    def __init__(self, client: Client, bucket: Bucket, samples: list[Sample]) -> None:
        self.client, self.bucket, self.samples = client, bucket, samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int, int]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: list[int]) -> list[tuple[torch.Tensor, int, int]]:
        batch: Batch = self.client.batch(bucket=self.bucket, cont_on_err=False)
        wanted = [self.samples[i] for i in indices]
        for sample in wanted:
            batch.requests_list.append(
                MossIn(obj_name=sample.object, archpath=sample.archpath or None)
            )
        contents = (content for _, content in batch.get())
        return [
            (decode_png(content), sample.label, len(content))
            for sample, content in zip(wanted, contents, strict=True)
        ]


def decode_png(content: bytes) -> torch.Tensor:
    """Decodes one image to a 1x8x8 float tensor in [0, 1]."""
    pixels = np.asarray(Image.open(io.BytesIO(content)), dtype=np.float32) / 255
    return torch.from_numpy(pixels.copy()).unsqueeze(0)


def make_model() -> nn.Module:
    """Two convolutions and a linear layer: enough for 8x8 digits."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.25),
        nn.Linear(64 * 4 * 4, 10),
    )


def make_loader(dataset: Digits, *, shuffle: bool) -> DataLoader[tuple[torch.Tensor, int, int]]:
    """A loader whose workers live as long as it does."""
    return DataLoader(
        dataset,
        batch_size=BATCH,
        shuffle=shuffle,
        num_workers=WORKERS,
        persistent_workers=True,
        prefetch_factor=4,
    )


def train_epoch(
    model: nn.Module,
    loader: DataLoader[tuple[torch.Tensor, int, int]],
    optimizer: torch.optim.Optimizer,
) -> Epoch:
    """One pass over the training set."""
    model.train()
    started, total_loss, samples, received = time.perf_counter(), 0.0, 0, 0
    for images, labels, sizes in loader:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        total_loss += loss.item() * len(labels)
        samples += len(labels)
        received += int(sizes.sum())
    return Epoch(total_loss / samples, time.perf_counter() - started, samples, received)


def evaluate(model: nn.Module, loader: DataLoader[tuple[torch.Tensor, int, int]]) -> float:
    """Share of held-out images that the model names right."""
    model.eval()
    right = seen = 0
    with torch.no_grad():
        for images, labels, _ in loader:
            right += int((model(images).argmax(1) == labels).sum())
            seen += len(labels)
    return right / seen


def plot(run: Run, path: Path) -> None:
    """Loss and throughput over epochs, as PNG."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415 - the backend must be chosen first

    epochs = range(1, len(run.epochs) + 1)
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    left.plot(epochs, [e.loss for e in run.epochs], marker="o", color="tab:blue")
    left.set(title="Training loss", xlabel="epoch", ylabel="cross-entropy", yscale="log")
    right.plot(epochs, [e.samples / e.seconds for e in run.epochs], marker="o", color="tab:green")
    right.set(title="Throughput", xlabel="epoch", ylabel="samples/s", ylim=(0, None))
    for axis in (left, right):
        axis.grid(visible=True, alpha=0.3)
    figure.suptitle(f"Digits from the cluster: test accuracy {run.accuracy:.1%}")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def train(client: Client, bucket: Bucket, epochs: int) -> Run:
    """Uploads, trains and evaluates."""
    train_samples, test_samples = pack(bucket)
    train_loader = make_loader(Digits(client, bucket, train_samples), shuffle=True)
    test_loader = make_loader(Digits(client, bucket, test_samples), shuffle=False)
    model = make_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    run = Run()
    for number in range(1, epochs + 1):
        epoch = train_epoch(model, train_loader, optimizer)
        schedule.step()
        run.epochs.append(epoch)
        print(
            f"epoch {number:2}  loss {epoch.loss:.4f}  {epoch.seconds:5.2f} s"
            f"  {epoch.samples / epoch.seconds:7.0f} samples/s"
            f"  {epoch.bytes / epoch.seconds / 1024:7.0f} KiB/s",
        )
    run.accuracy = evaluate(model, test_loader)
    return run


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("demo-out"), help="folder for the plot")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--require", type=float, default=0.97, help="accuracy to reach, 0 to 1")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    torch.set_num_threads(1)  # two loader workers and four nodes share the machine

    began = time.perf_counter()
    with aistore.LocalCluster(targets=3) as cluster:
        pids = cluster.pids
        print(f"{cluster!r} up in {time.perf_counter() - began:.2f} s")
        client = cluster.client()
        bucket = client.bucket("digits").create()
        run = train(client, bucket, args.epochs)

    picture = args.out / "training.png"
    plot(run, picture)
    seconds = sum(e.seconds for e in run.epochs)
    samples, received = sum(e.samples for e in run.epochs), sum(e.bytes for e in run.epochs)
    print(f"test accuracy  {run.accuracy:.2%}")
    print(f"epoch time     {seconds / len(run.epochs):.2f} s")
    print(f"throughput     {samples / seconds:.0f} samples/s, {received / seconds:.0f} bytes/s")
    print(f"plot           {picture}")
    print(f"total          {time.perf_counter() - began:.1f} s")

    left = [pid for pid in pids if alive(pid)]
    if left:
        print(f"processes left behind: {left}", file=sys.stderr)
        return 1
    print("no process left behind")
    if run.accuracy < args.require:
        print(f"accuracy below {args.require:.0%}", file=sys.stderr)
        return 1
    return 0


def alive(pid: int) -> bool:
    """Whether a process with this id exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
