"""What others wrote for files reads and writes `ais://` by URL; nothing of ours is imported for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import duckdb
import fsspec
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet
import pytest

import aistore
from aistore.sdk import Bucket

ROWS = 1000


@pytest.fixture
def options(cluster: aistore.LocalCluster) -> dict[str, str]:
    return {"endpoint": cluster.endpoint}


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame({"n": range(ROWS), "text": [f"row {i}" for i in range(ROWS)]})


def test_the_protocol_is_found_without_an_import(bucket: Bucket, options: dict[str, str]) -> None:
    bucket.object("o").get_writer().put_content(b"hello")
    code = (
        "import fsspec, sys; assert 'ais' in fsspec.available_protocols();"
        f"print(fsspec.open('ais://{bucket.name}/o', endpoint={options['endpoint']!r}).open().read())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "b'hello'\n", done.stderr


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.parquet", "t.jsonl"])
def test_pandas(bucket: Bucket, options: dict[str, str], frame: pd.DataFrame, name: str) -> None:
    url = f"ais://{bucket.name}/{name}"
    if ".csv" in name:
        frame.to_csv(url, index=False, storage_options=options)
        got = pd.read_csv(url, storage_options=options)
    elif name.endswith(".parquet"):
        frame.to_parquet(url, storage_options=options)
        got = pd.read_parquet(url, storage_options=options)
    else:
        frame.to_json(url, orient="records", lines=True, storage_options=options)
        got = pd.read_json(url, lines=True, storage_options=options)
    assert got.equals(frame)


def test_pyarrow_data_sets(bucket: Bucket, options: dict[str, str]) -> None:
    fs = fsspec.filesystem("ais", **options)
    table = pa.table({"key": [i % 3 for i in range(99)], "value": list(range(99))})
    pa.dataset.write_dataset(
        table, f"{bucket.name}/ds", filesystem=fs, format="parquet", partitioning=["key"]
    )
    assert len(fs.find(f"{bucket.name}/ds")) == 3
    found = pa.dataset.dataset(
        f"{bucket.name}/ds", filesystem=fs, format="parquet", partitioning=["key"]
    )
    chosen = found.to_table(
        filter=(pa.dataset.field("key") == 1) & (pa.dataset.field("value") > 90)
    )
    assert sorted(chosen["value"].to_pylist()) == [91, 94, 97]
    lazy = pl.scan_pyarrow_dataset(found).filter(pl.col("value") < 5).collect()
    assert sorted(lazy["value"]) == list(range(5))
    pa.parquet.write_table(table, f"{bucket.name}/one.parquet", filesystem=fs, row_group_size=10)
    one = pa.parquet.read_table(f"{bucket.name}/one.parquet", filesystem=fs, columns=["value"])
    assert one["value"].to_pylist() == list(range(99))


def test_polars(
    cluster: aistore.LocalCluster, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIS_ENDPOINT", cluster.endpoint)
    frame = pl.DataFrame({"n": list(range(ROWS))})
    for kind in ("csv", "parquet", "ndjson", "ipc"):
        url = f"ais://{bucket.name}/t.{kind}"
        with fsspec.open(url, "wb") as file:
            getattr(frame, f"write_{kind}")(file)
        with fsspec.open(url) as file:
            assert getattr(pl, f"read_{kind}")(file).equals(frame)
    url = f"ais://{bucket.name}/t.parquet"
    assert pl.read_parquet(url, use_pyarrow=True).equals(frame)


# Their own: torch is imported on the way, temporary folders are left to the garbage collector.
@pytest.mark.filterwarnings("ignore")
def test_hf_datasets(
    bucket: Bucket, options: dict[str, str], frame: pd.DataFrame, tmp_path: Path
) -> None:
    import datasets

    datasets.disable_progress_bars()
    base = f"ais://{bucket.name}"
    frame.to_parquet(f"{base}/d/a.parquet", storage_options=options)
    frame.to_parquet(f"{base}/d/b.parquet", storage_options=options)
    frame.to_json(f"{base}/t.jsonl", orient="records", lines=True, storage_options=options)
    given = {"storage_options": options, "split": "train", "cache_dir": str(tmp_path)}
    loaded = datasets.load_dataset("parquet", data_files=f"{base}/d/*.parquet", **given)
    assert len(loaded) == 2 * ROWS
    assert loaded[ROWS + 7] == {"n": 7, "text": "row 7"}
    lines = datasets.load_dataset("json", data_files={"train": f"{base}/t.jsonl"}, **given)
    assert lines[5] == {"n": 5, "text": "row 5"}
    streamed = datasets.load_dataset(
        "parquet", data_files=f"{base}/d/*.parquet", streaming=True, **given
    )
    assert [row["n"] for row in streamed.take(3)] == [0, 1, 2]
    loaded.save_to_disk(f"{base}/saved", num_shards=2, storage_options=options)
    again = datasets.load_from_disk(f"{base}/saved", storage_options=options)
    assert again.to_pandas().equals(loaded.to_pandas())
    loaded.to_parquet(f"{base}/written.parquet", storage_options=options)
    written = pd.read_parquet(f"{base}/written.parquet", storage_options=options)
    assert written["n"].tolist() == loaded["n"][:]


def test_duckdb(bucket: Bucket, options: dict[str, str], frame: pd.DataFrame) -> None:
    frame.to_parquet(f"ais://{bucket.name}/a.parquet", storage_options=options)
    frame.to_parquet(f"ais://{bucket.name}/b.parquet", storage_options=options)
    fs = fsspec.filesystem("ais", **options)
    with duckdb.connect() as connection:
        connection.register_filesystem(fs)
        found = connection.sql(f"SELECT sum(n) FROM read_parquet('ais://{bucket.name}/*.parquet')")
        assert found.fetchall() == [(ROWS * (ROWS - 1),)]
        connection.sql(f"COPY (SELECT 7 AS x) TO 'ais://{bucket.name}/out.csv'")
    assert fs.cat(f"{bucket.name}/out.csv") == b"x\n7\n"


# torch takes seconds to import what this needs.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_checkpoints_of_torch(
    cluster: aistore.LocalCluster, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint._fsspec_filesystem import FsspecReader, FsspecWriter

    monkeypatch.setenv("AIS_ENDPOINT", cluster.endpoint)
    url = f"ais://{bucket.name}/step-1"
    for value in (1.0, 2.0):
        dcp.save({"w": torch.full((1000,), value)}, storage_writer=FsspecWriter(url))
        back = {"w": torch.zeros(1000)}
        dcp.load(back, storage_reader=FsspecReader(url))
        assert back["w"].tolist() == [value] * 1000
    with fsspec.open(f"ais://{bucket.name}/model.pt", "wb") as file:
        torch.save(back, file)
    with fsspec.open(f"ais://{bucket.name}/model.pt") as file:
        assert torch.load(file)["w"].tolist() == [2.0] * 1000
