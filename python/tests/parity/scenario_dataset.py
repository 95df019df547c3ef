"""A dataset of files and labels, written as shards."""

import io
import os
import tarfile
import tempfile
from pathlib import Path

from aistore.sdk.dataset.data_attribute import DataAttribute
from aistore.sdk.dataset.dataset_config import DatasetConfig
from aistore.sdk.dataset.label_attribute import LabelAttribute

IMAGES, CAPTIONS = 7, (0, 1, 2, 4, 5, 6)


def prepare(root):
    (root / "images").mkdir()
    (root / "captions").mkdir()
    for i in range(IMAGES):
        (root / "images" / f"{i}.jpg").write_bytes(b"image %d" % i)
    for i in CAPTIONS:
        (root / "captions" / f"{i}.txt").write_bytes(b"caption %d" % i)
    return DatasetConfig(
        DataAttribute(path=root / "images", name="image", file_type="jpg"),
        [
            DataAttribute(path=root / "captions", name="caption", file_type="txt"),
            LabelAttribute(name="cls", label_identifier=lambda name: int(name) + 10),
        ],
    )


def shards(bucket, prefix):
    """Names with sizes in samples, and the contents of all samples, whatever their order."""
    sizes, samples = {}, []
    for entry in bucket.list_all_objects(prefix=prefix):
        content = bucket.object(entry.name).get_reader().read_all()
        found = {}
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            for member in archive.getmembers():
                key, _, ext = member.name.partition(".")
                found.setdefault(key, {})[ext] = archive.extractfile(member).read().decode()
        # Which number a sample has depends on the order in which files were found.
        assert all(key.startswith("sample_") for key in found)
        sizes[entry.name] = len(found)
        samples.extend(sorted(sample.items()) for sample in found.values())
    return sizes, sorted(samples)


def run(client, bucket):
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        config = prepare(root)
        (root / "here").mkdir()
        os.chdir(root / "here")
        try:
            posted = []
            bucket.write_dataset(config, pattern="whole", maxcount=4, post=posted.append)
            bucket.write_dataset(config, skip_missing=False, pattern="all", maxcount=1000)
            bucket.write_dataset(config)
            left = os.listdir(".")
        finally:
            os.chdir(before)
    seen = {prefix: shards(bucket, prefix) for prefix in ("whole", "all", "dataset")}
    assert sum(seen["whole"][0].values()) == len(CAPTIONS)
    assert len(seen["all"][1]) == IMAGES
    assert left == []
    return {"seen": seen, "posted": posted, "etls": client.cluster().list_etls()}
