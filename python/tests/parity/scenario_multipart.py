"""Multipart uploads: parts in any order, again, aborted, and completed wrongly."""

from aistore.sdk.errors import AISError


def attempt(call):
    try:
        call()
    except (AISError, ValueError) as exc:
        return [type(exc).__name__, getattr(exc, "status_code", None)]
    return "no error"


def run(client, bucket):
    obj = bucket.object("dir/o")
    parts = {n: bytes([n]) * (100_000 + n) for n in range(1, 6)}
    upload = obj.multipart_upload()
    seen = {"before create": attempt(lambda: upload.add_part(1))}
    assert upload.create() is upload
    assert upload.upload_id
    for n in (3, 1, 5, 2, 4):
        upload.add_part(n).put_content(parts[n])
    seen["before complete"] = attempt(obj.head)[1]
    assert seen["before complete"] == 404
    upload.complete()
    whole = b"".join(parts.values())
    assert obj.get_reader().read_all() == whole
    assert obj.get_reader(byte_range="bytes=99990-200010").read_all() == whole[99990:200011]
    chunks = obj.head(props="chunked").chunks
    seen["chunks"] = [chunks.chunk_count, chunks.max_chunk_size]
    assert seen["chunks"] == [5, 100_005]
    with obj.get_reader(num_workers=2).read_all() as buffer:
        assert bytes(buffer.buf) == whole
    props = obj.props
    seen["facts"] = [props.size, props.checksum_type, props.checksum_value, props.obj_version]
    assert props.checksum_type == "crc32c"
    seen["after"] = [attempt(lambda: upload.add_part(6).put_content(b"x")), attempt(upload.abort)]
    assert [error[1] for error in seen["after"]] == [404, 404], seen["after"]

    again = bucket.object("again").multipart_upload().create()
    again.add_part(1).put_content(b"first")
    again.add_part(1).put_content(b"second")
    seen["repeated"] = attempt(again.complete)
    assert seen["repeated"][1] == 400
    again.abort()
    assert attempt(bucket.object("again").head)[1] == 404

    gap = bucket.object("gap").multipart_upload().create()
    gap.add_part(1).put_content(b"a")
    gap.add_part(3).put_content(b"c")
    seen["gap"] = attempt(gap.complete)
    assert seen["gap"][1] == 400
    gap.abort()
    nothing = bucket.object("nothing").multipart_upload().create()
    seen["nothing"] = attempt(nothing.complete)
    assert seen["nothing"][1] == 400
    seen["bad number"] = attempt(lambda: nothing.add_part(0))
    nothing.abort()
    return seen
