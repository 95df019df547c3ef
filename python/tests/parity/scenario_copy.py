"""Copy of one object within and across buckets."""

from aistore.sdk.errors import AISError


def attempt(call):
    try:
        call()
    except AISError as exc:
        return [type(exc).__name__, exc.status_code]
    return "no error"


def run(client, bucket):
    there = client.bucket(bucket.name + "-dst").create()
    try:
        source = bucket.object("dir/ü o")
        source.get_writer().put_content(b"0" * 100_000)
        source.get_writer().put_content(b"1" * 100_000)
        source.get_writer().set_custom_props({"k": "v"})
        for target in (bucket.object("copy"), there.object("x/y z")):
            source.copy(target)
            assert target.get_reader().read_all() == b"1" * 100_000
        copied = there.object("x/y z").props
        seen = {
            "facts": [
                copied.size,
                copied.checksum_value,
                copied.obj_version,
                copied.custom_metadata,
            ]
        }
        assert copied.custom_metadata == {"k": "v"}
        assert copied.obj_version == "2"
        there.object("x/y z").get_writer().put_content(b"old")
        source.copy(there.object("x/y z"), latest=False, sync=False)
        assert there.object("x/y z").get_reader().read_all() == b"1" * 100_000
        source.copy(source)
        assert source.get_reader().read_all() == b"1" * 100_000
        nowhere = client.bucket(bucket.name + "-none")
        seen["missing"] = [
            attempt(lambda: bucket.object("none").copy(there.object("x"))),
            attempt(lambda: source.copy(nowhere.object("x"))),
        ]
        assert [error[1] for error in seen["missing"]] == [404, 404]
        return seen
    finally:
        there.delete(missing_ok=True)
