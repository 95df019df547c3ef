"""Objects: whole reads and writes, names, attributes, iteration, files, deletion."""

import hashlib
import tempfile
from pathlib import Path

from aistore.sdk.errors import AISError

NAMES = [
    "plain",
    "a/b/c",
    "sp ace",
    "per%cent",
    "q?u#e&s=t+",
    "ü/日本/🙂",
    "n" * 3000,
    "a//b",
    "x'y\"z",
]


def attempt(call, *args):
    try:
        call(*args)
    except (AISError, ValueError) as exc:
        return [type(exc).__name__, getattr(exc, "status_code", None)]
    return "no error"


def content(size):
    return (
        bytes(i * 7 % 251 for i in range(size))
        if size < 70_000
        else bytes(range(256)) * (size // 256)
    )


def attributes(attrs):
    return {
        "size": attrs.size,
        "type": attrs.checksum_type,
        "value": attrs.checksum_value,
        "version": attrs.obj_version,
        "custom": attrs.custom_metadata,
    }


def run(client, bucket):
    seen = {"sizes": {}, "names": {}}
    for size in (0, 1, 32_768, 65_537, 1 << 20, 5 << 20):
        obj, body = bucket.object(f"size/{size}"), content(size)
        obj.get_writer().put_content(body)
        reader = obj.get_reader()
        assert reader.read_all() == body
        assert b"".join(reader) == body
        assert b"".join(obj.get_reader(chunk_size=10_000)) == body
        with obj.get_reader().as_file() as file:
            first = file.read(10)
            assert first + file.read() == body
        assert obj.get_reader(direct=True).read_all() == body
        assert obj.head().size == size
        head = reader.head()
        assert int(head.access_time) > 0
        assert head.present
        seen["sizes"][size] = attributes(head) | {"md5": hashlib.md5(body).hexdigest()}
        props = obj.props
        assert (props.name, props.bucket_name, props.bucket_provider) == (
            obj.name,
            bucket.name,
            "ais",
        )
        assert props.location.startswith("t[")
        assert props.mirror_copies == 1
    for name in NAMES:
        obj = bucket.object(name)
        obj.get_writer().put_content(name.encode())
        assert obj.get_reader().read_all() == name.encode()
        seen["names"][name] = [obj.uname, obj.get_semantic_url(), obj.head().size]
    assert sorted(
        e.name for e in bucket.list_all_objects() if not e.name.startswith("size/")
    ) == sorted(NAMES)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "f"
        path.write_bytes(b"from a file")
        bucket.object("file").get_writer().put_file(str(path))
        seen["no file"] = attempt(lambda: bucket.object("file").get_writer().put_file(folder))
    assert bucket.object("file").get_reader().read_all() == b"from a file"
    seen["versions"] = []
    for i in range(3):
        bucket.object("v").get_writer().put_content(b"%d" % i)
        seen["versions"].append(bucket.object("v").props.obj_version)
    assert seen["versions"] == ["1", "2", "3"]
    bucket.object("v").delete()
    seen["absent"] = [
        attempt(bucket.object("v").delete),
        attempt(bucket.object("v").head)[1],
        attempt(lambda: bucket.object("v").get_reader().read_all()),
        attempt(lambda: bucket.object("v").props)[1],
        attempt(lambda: b"".join(bucket.object("v").get_reader())),
    ]
    # The official SDK leaves it to the server to refuse these, ours refuses them itself.
    for name in ("a/", "~/x"):
        assert attempt(bucket.object(name).get_writer().put_content, b"") != "no error", name
    return seen
