"""Listing: every name once, in order, however the pages fall."""

from __future__ import annotations

import pytest

from aistore.sdk import Bucket, Client, ListObjectFlag
from aistore.sdk.errors import ErrBckNotFound

COUNT = 2_500


@pytest.fixture
def filled(bucket: Bucket) -> Bucket:
    bucket.put_many([(f"d{i % 5}/o{i:05}", b"x" * (i % 7)) for i in range(COUNT)])
    return bucket


def expected(prefix: str = "") -> list[str]:
    return sorted(n for n in (f"d{i % 5}/o{i:05}" for i in range(COUNT)) if n.startswith(prefix))


def test_all_names_sorted_with_sizes(filled: Bucket) -> None:
    entries = filled.list_all_objects(props="name,size")
    assert [e.name for e in entries] == expected()
    assert all(e.size == int(e.name[-5:]) % 7 for e in entries)
    assert all(e.is_cached() and e.is_ok() for e in entries)


@pytest.mark.parametrize("page_size", [1, 499, 500, 1000])
def test_pages_join_without_gap_or_repeat(filled: Bucket, page_size: int) -> None:
    names: list[str] = []
    token, uuid, sizes = "", "", []
    while True:
        page = filled.list_objects(
            prefix="d3/", page_size=page_size, continuation_token=token, uuid=uuid
        )
        assert page.uuid
        assert not uuid or page.uuid == uuid
        names += [e.name for e in page.entries]
        sizes.append(len(page.entries))
        token, uuid = page.continuation_token, page.uuid
        if not token:
            break
    assert names == expected("d3/")
    assert all(size == page_size for size in sizes[:-1])


def test_iterator_and_start_after(filled: Bucket) -> None:
    assert [e.name for e in filled.list_objects_iter(prefix="d1/", page_size=64)] == expected("d1/")
    after = expected()[1234]
    assert [e.name for e in filled.list_all_objects(start_after=after)] == expected()[1235:]
    assert [o.name for o in filled.list_all_objects_iter(prefix="d2/")] == expected("d2/")


def test_virtual_directories(filled: Bucket) -> None:
    top = filled.list_all_objects(flags=[ListObjectFlag.NO_RECURSION])
    assert [e.name for e in top] == [f"d{i}/" for i in range(5)]
    assert all(e.flags & 256 for e in top)
    inside = filled.list_all_objects(prefix="d4/", flags=[ListObjectFlag.NO_RECURSION])
    assert [e.name for e in inside] == expected("d4/")


def test_properties_on_request(bucket: Bucket) -> None:
    bucket.object("o").get_writer().put_content(b"abc")
    (entry,) = bucket.list_all_objects(props="name,size,checksum,atime,version,location,copies")
    assert (entry.checksum, entry.version, entry.size, entry.copies) == (
        "44bc2cf5ad770999",
        "1",
        3,
        1,
    )
    assert entry.location.startswith("t[")
    assert entry.atime
    (bare,) = bucket.list_all_objects(props="name")
    assert (bare.name, bare.size) == ("o", 0)


def test_entries_lead_to_objects(filled: Bucket) -> None:
    entry = filled.list_objects(page_size=1).entries[0]
    assert entry.object.name == entry.name
    assert entry.object.get_reader().read_all() == b"x" * entry.size


def test_empty_and_missing(client: Client, bucket: Bucket) -> None:
    assert bucket.list_all_objects() == []
    assert bucket.list_all_objects(prefix="none") == []
    with pytest.raises(ErrBckNotFound):
        client.bucket("no-such-bucket").list_all_objects()


def test_buckets_are_listed(client: Client, bucket: Bucket) -> None:
    assert bucket.name in [b.name for b in client.cluster().list_buckets()]
    bucket.delete()
    assert bucket.name not in [b.name for b in client.cluster().list_buckets()]
    bucket.delete(missing_ok=True)


def test_a_recreated_bucket_is_empty(bucket: Bucket) -> None:
    bucket.object("old").get_writer().put_content(b"1")
    bucket.delete()
    bucket.create()
    assert bucket.list_all_objects() == []
    bucket.object("new").get_writer().put_content(b"2")
    assert [e.name for e in bucket.list_all_objects()] == ["new"]
