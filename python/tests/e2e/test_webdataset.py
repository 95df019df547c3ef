"""WebDataset reads our shards over plain HTTP, through a pipe, through `ais get`, and through our client."""

from __future__ import annotations

import io
import json
import os
import sys
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import webdataset as wds

import aistore
import aistore.webdataset
from aistore.sdk import Bucket
from aistore.sdk.errors import ErrObjNotFound

SHARDS, SAMPLES = 3, 20


@pytest.fixture
def shards(bucket: Bucket) -> list[str]:
    for s in range(SHARDS):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as archive:
            for i in range(SAMPLES):
                for ext, content in (("txt", b"text %d-%d" % (s, i)), ("cls", b"%d" % (i % 10))):
                    info = tarfile.TarInfo(f"{s}{i:03}.{ext}")
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))
        bucket.object(f"train-{s:03}.tar").get_writer().put_content(out.getvalue())
    return [f"train-{s:03}.tar" for s in range(SHARDS)]


@pytest.mark.parametrize("how", ["http", "pipe", "ais"])
def test_shards_are_read(
    cluster: aistore.LocalCluster,
    bucket: Bucket,
    shards: list[str],
    how: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIS_ENDPOINT", cluster.endpoint)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    fetch = "import sys,urllib.request as u,shutil; shutil.copyfileobj(u.urlopen(sys.argv[1]), sys.stdout.buffer)"
    urls = []
    for shard in shards:
        url = bucket.object(shard).get_url()
        if how == "pipe":
            url = f"pipe:{sys.executable} -c '{fetch}' '{url}'"
        elif how == "ais":
            url = f"ais://{bucket.name}/{shard}"
        urls.append(url)
    dataset = wds.WebDataset(urls, shardshuffle=False, empty_check=False).decode()
    samples = list(dataset)
    assert len(samples) == SHARDS * SAMPLES
    assert [s["txt"] for s in samples] == [
        f"text {s}-{i}" for s in range(SHARDS) for i in range(SAMPLES)
    ]
    assert [s["cls"] for s in samples] == [i % 10 for _ in range(SHARDS) for i in range(SAMPLES)]


@pytest.fixture
def registered(cluster: aistore.LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our scheme, in a place without any `ais` to run."""
    before = dict(wds.gopen_schemes)
    monkeypatch.setenv("AIS_ENDPOINT", cluster.endpoint)
    monkeypatch.setenv("PATH", "")
    aistore.webdataset.register()
    yield
    wds.gopen_schemes.update(before)


def texts(samples: Iterable[dict[str, Any]]) -> list[str]:
    return sorted(sample["txt"] for sample in samples)


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("method", [None, "fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_our_scheme_needs_no_process(bucket: Bucket, shards: list[str], method: str | None) -> None:
    url = f"ais://{bucket.name}/train-{{000..{SHARDS - 1:03}}}.tar"
    dataset = wds.WebDataset(url, shardshuffle=False, empty_check=False).decode()
    loader = wds.WebLoader(
        dataset,
        batch_size=None,
        num_workers=2 if method else 0,
        multiprocessing_context=method,
        worker_init_fn=aistore.webdataset.register,
    )
    assert texts(loader) == sorted(f"text {s}-{i}" for s in range(SHARDS) for i in range(SAMPLES))


@pytest.mark.usefixtures("registered")
def test_shards_are_written(bucket: Bucket) -> None:
    with wds.ShardWriter(f"ais://{bucket.name}/new-%03d.tar", maxcount=4, verbose=0) as writer:
        for i in range(10):
            writer.write({"__key__": f"{i:03}", "txt": f"text {i}", "cls": i})
    assert [entry.name for entry in bucket.list_all_objects(prefix="new-")] == [
        f"new-{i:03}.tar" for i in range(3)
    ]
    url = f"ais://{bucket.name}/new-{{000..002}}.tar"
    read = wds.WebDataset(url, shardshuffle=False, empty_check=False).decode()
    assert texts(read) == sorted(f"text {i}" for i in range(10))
    missing = wds.WebDataset(f"ais://{bucket.name}/no.tar", shardshuffle=False, empty_check=False)
    with pytest.raises(ErrObjNotFound):
        list(missing)


@pytest.mark.usefixtures("registered")
def test_wids_by_index(bucket: Bucket, shards: list[str], tmp_path: Path) -> None:
    wids = pytest.importorskip("wids")
    index = {
        "wids_version": 1,
        "name": "train",
        "shardlist": [
            {"url": f"ais://{bucket.name}/{shard}", "nsamples": SAMPLES} for shard in shards
        ],
    }
    bucket.object("index.json").get_writer().put_content(json.dumps(index).encode())
    dataset = wids.ShardListDataset(
        f"ais://{bucket.name}/index.json",
        cache_dir=str(tmp_path),
        keep=True,
        transformations=[dict],
    )
    assert len(dataset) == SHARDS * SAMPLES
    sample = dataset[SAMPLES + 3]
    assert sample[".txt"].read() == b"text 1-3"
    assert sample[".cls"].read() == b"3"
