"""Append: sessions by hand, through the file writer, to new and to existing objects."""

from aistore.sdk.errors import AISError


def attempt(call):
    try:
        call()
    except (AISError, ValueError) as exc:
        return [type(exc).__name__, getattr(exc, "status_code", None)]
    return "no error"


def run(client, bucket):
    writer = bucket.object("o").get_writer()
    handle = ""
    for piece in (b"one ", b"two ", b"three"):
        handle = writer.append_content(piece, handle=handle)
        assert handle
    seen = {"before flush": attempt(bucket.object("o").head)[1]}
    assert seen["before flush"] == 404
    seen["flushed"] = writer.append_content(b"", handle=handle, flush=True)
    assert bucket.object("o").get_reader().read_all() == b"one two three"
    handle = writer.append_content(b" four")
    writer.append_content(b"", handle=handle, flush=True)
    assert bucket.object("o").get_reader().read_all() == b"one two three four"
    seen["checksum"] = [
        bucket.object("o").props.checksum_type,
        bucket.object("o").props.checksum_value,
    ]
    with bucket.object("f").get_writer().as_file(mode="w") as file:
        seen["written"] = [file.write(b"x" * 1000), file.write(b"y" * 70_000)]
        file.flush()
        file.write(b"z")
    assert bucket.object("f").get_reader().read_all() == b"x" * 1000 + b"y" * 70_000 + b"z"
    with bucket.object("f").get_writer().as_file(mode="a") as file:
        file.write(b"end")
    assert bucket.object("f").get_reader().read_all()[-4:] == b"zend"
    with bucket.object("e").get_writer().as_file(mode="w"):
        pass
    assert bucket.object("e").get_reader().read_all() == b""
    seen["bad"] = [
        attempt(lambda: bucket.object("o").get_writer().as_file(mode="r")),
        attempt(lambda: writer.append_content(b"x", handle="nonsense")),
    ]
    assert seen["bad"][1] == ["AISError", 400]
    return seen
