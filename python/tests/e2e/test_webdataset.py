"""WebDataset reads our shards over plain HTTP, through a pipe, and through `ais get`."""

from __future__ import annotations

import io
import os
import sys
import tarfile
from pathlib import Path

import pytest
import webdataset as wds

import aistore
from aistore.sdk import Bucket

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
