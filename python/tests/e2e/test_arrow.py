"""Listings as Arrow streams, read by those who take them."""

from __future__ import annotations

import os

import duckdb
import polars as pl
import pyarrow as pa
import pytest

from aistore.sdk import Bucket, ListObjectFlag

NAMES = sorted(
    [f"d/{i:04d}" for i in range(500)] + ["ü/日本", "a b", "z" * 300, "top"], key=str.encode
)


@pytest.fixture
def filled(bucket: Bucket) -> Bucket:
    bucket.put_many((name, b"x" * (i % 7)) for i, name in enumerate(NAMES))
    return bucket


def test_pyarrow_takes_it(filled: Bucket) -> None:
    table = pa.table(filled.list_objects_arrow())
    assert table.schema.names == ["name", "size"]
    assert table.schema.field("size").type == pa.int64()
    assert table.column("name").to_pylist() == NAMES
    assert table.column("size").to_pylist() == [i % 7 for i in range(len(NAMES))]
    listing = filled.list_objects_arrow(prefix="d/", batch_size=100)
    assert pa.schema(listing) == table.schema
    reader = pa.RecordBatchReader.from_stream(listing)
    assert [batch.num_rows for batch in reader] == [100] * 5
    assert repr(listing).endswith(": name, size>")


def test_polars_takes_it(filled: Bucket) -> None:
    frame = pl.DataFrame(filled.list_objects_arrow(props="name,size,checksum,version,copies"))
    assert frame.columns == ["name", "size", "checksum", "version", "copies"]
    assert frame["name"].to_list() == NAMES
    assert frame["checksum"].null_count() == 0
    assert frame.filter(pl.col("size") == 6).height == sum(i % 7 == 6 for i in range(len(NAMES)))


def test_duckdb_takes_it(filled: Bucket) -> None:
    listing = filled.list_objects_arrow(prefix="d/", props="name,size")
    with duckdb.connect() as connection:
        connection.register("listing", listing)
        found = connection.sql("select count(*), max(name) from listing").fetchall()
        assert found == [(500, "d/0499")]
        # The listing can be read again.
        assert connection.sql("select min(name) from listing").fetchall() == [("d/0000",)]


def test_the_same_names_as_the_plain_listing(filled: Bucket) -> None:
    table = pa.table(filled.list_objects_arrow(start_after="d/0499", props="name,cached"))
    plain = filled.list_all_objects(start_after="d/0499", props="name,cached")
    assert table.column("name").to_pylist() == [entry.name for entry in plain]
    assert table.column("flags").to_pylist() == [entry.flags for entry in plain]
    flat = pa.table(filled.list_objects_arrow(flags=[ListObjectFlag.NO_RECURSION]))
    assert "d/" in flat.column("name").to_pylist()
    assert len(flat) < 10


def test_what_cannot_be(filled: Bucket) -> None:
    with pytest.raises(ValueError, match='"colour" has no column: choose from name'):
        filled.list_objects_arrow(props="name,colour")
    with pytest.raises(ValueError, match="batch_size 0"):
        filled.list_objects_arrow(batch_size=0)


def test_errors_come_through(bucket: Bucket) -> None:
    listing = bucket.list_objects_arrow()
    bucket.delete()
    with pytest.raises(Exception, match="does not exist"):
        pa.table(listing)


def test_an_empty_bucket(bucket: Bucket) -> None:
    table = pa.table(bucket.list_objects_arrow(props="name,atime"))
    assert (len(table), table.schema.names) == (0, ["name", "atime"])


def test_a_listing_does_not_cross_a_fork(filled: Bucket) -> None:
    listing = filled.list_objects_arrow()
    child = os.fork()
    if child == 0:
        try:
            pa.table(listing)
        except RuntimeError:
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert len(pa.table(listing)) == len(NAMES)
