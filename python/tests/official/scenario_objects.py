"""Buckets, objects, ranges, properties and errors."""

import os
import sys
from pathlib import Path

from aistore.sdk import Client
from aistore.sdk.errors import AISError, ErrBckAlreadyExists, ErrBckNotFound, ErrObjNotFound

client = Client(sys.argv[1])
bucket = client.bucket(sys.argv[2])


def raises(error, call):
    try:
        call()
    except error as exc:
        return exc
    raise AssertionError(f"{error.__name__} expected")


assert client.cluster().is_ready()
assert len(client.cluster().get_info().tmap) == 3
assert client.cluster().get_uuid()
assert bucket.name in [b.name for b in client.cluster().list_buckets()]
assert set(client.cluster().get_performance()) == set(client.cluster().get_info().tmap)
assert client.cluster().list_running_jobs() == []

other = client.bucket(bucket.name + "-sdk").create()
raises(ErrBckAlreadyExists, other.create)
other.create(exist_ok=True)
assert "Ais-Bucket-Props" in other.head()
other.delete()
other.delete(missing_ok=True)
raises(ErrBckNotFound, other.delete)

for size in (0, 1, 1000, 100_000, 5_000_000):
    content = os.urandom(size)
    obj = bucket.object(f"dir/obj ü {size}")
    obj.get_writer().put_content(content)
    assert obj.get_reader().read_all() == content
    assert b"".join(obj.get_reader()) == content
    with obj.get_reader().as_file() as file:
        assert file.read() == content
    assert obj.head().size == size
    props = obj.props
    assert props.size == size
    assert props.checksum_type == "xxhash2"
    assert props.obj_version == "1"
    assert props.location.startswith("t[")
    assert props.mirror_copies == 1
    assert obj.get_reader(direct=True).read_all() == content
    if size >= 1000:
        assert obj.get_reader(byte_range="bytes=10-19").read_all() == content[10:20]
        assert obj.get_reader(byte_range="bytes=-5").read_all() == content[-5:]
        assert obj.get_reader(byte_range="bytes=990-").read_all() == content[990:]
    if size > 1_000_000:
        with obj.get_reader(num_workers=2).read_all() as buffer:
            assert bytes(buffer.buf) == content

path = sys.argv[0]
bucket.object("file").get_writer().put_file(path)
assert bucket.object("file").get_reader().read_all() == Path(path).read_bytes()

raises(ErrObjNotFound, bucket.object("absent").get_reader().read_all)
raises(ErrObjNotFound, bucket.object("absent").delete)
assert raises(AISError, bucket.object("absent").head).status_code == 404
raises(ErrBckNotFound, client.bucket("no-such-bucket").object("o").get_reader().read_all)
assert raises(AISError, lambda: client.bucket("bad..name").create()).status_code == 400
assert (
    raises(
        AISError, bucket.object("file").get_reader(byte_range="bytes=99999999-").read_all
    ).status_code
    == 416
)

bucket.object("file").delete()
assert "file" not in [e.name for e in bucket.list_all_objects()]
print("ok")
