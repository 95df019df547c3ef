"""Custom metadata, copies, renames and promotes, as far as this SDK has them."""

import sys
from pathlib import Path

from aistore.sdk import Client
from aistore.sdk.errors import AISError, ErrObjNotFound

client = Client(sys.argv[1])
bucket = client.bucket(sys.argv[2])


def raises(error, call):
    try:
        call()
    except error as exc:
        return exc
    raise AssertionError(f"{error.__name__} expected")


obj = bucket.object("dir/ü o")
obj.get_writer().put_content(b"content")
obj.get_writer().set_custom_props({"a": "1", "b": "x=y"})
assert obj.props.custom_metadata == {"a": "1", "b": "x=y"}, obj.props.custom_metadata
obj.get_writer().set_custom_props({"c": "3"})
assert set(obj.props.custom_metadata) == {"a", "b", "c"}
obj.get_writer().set_custom_props({"z": "9"}, replace_existing=True)
assert obj.props.custom_metadata == {"z": "9"}
assert obj.get_reader().read_all() == b"content"
raises(AISError, lambda: bucket.object("absent").get_writer().set_custom_props({"a": "1"}))

other = client.bucket(bucket.name + "-copies").create(exist_ok=True)
try:
    copy = other.object("copied/ü")
    obj.copy(copy)
    assert copy.get_reader().read_all() == b"content"
    assert copy.props.custom_metadata == {"z": "9"}
    assert copy.props.obj_version == obj.props.obj_version
    raises(ErrObjNotFound, lambda: bucket.object("absent").copy(copy))
finally:
    other.delete()

folder = Path(sys.argv[3]) / (bucket.name + "-sdk")
folder.mkdir()
(folder / "f1").write_bytes(b"one")
(folder / "f2").write_bytes(b"two")
job = bucket.object("promoted/").promote(str(folder), recursive=True)
if job:
    client.job(job).wait()
names = [e.name for e in bucket.list_all_objects(prefix="promoted/")]
assert names == ["promoted/f1", "promoted/f2"], names
assert bucket.object("promoted/f2").get_reader().read_all() == b"two"
print("ok")
