"""Ranges: every form that the SDK passes on, parallel reads, resumed file reads."""

from aistore.sdk.errors import AISError

BODY = bytes(range(256)) * 4096
FORMS = [
    "bytes=0-0", "bytes=0-9", "bytes=10-", "bytes=-5", "bytes=-99999999", "bytes=1048570-99999999",
    "bytes=1048576-", "bytes=5-2",
]  # fmt: skip


def attempt(call):
    try:
        return call()
    except (AISError, ValueError) as exc:
        return [type(exc).__name__, getattr(exc, "status_code", None)]


def run(client, bucket):
    obj = bucket.object("o")
    obj.get_writer().put_content(BODY)
    seen = {}
    for form in FORMS:
        got = attempt(lambda form=form: obj.get_reader(byte_range=form).read_all())
        seen[form] = [len(got), got[:8].hex(), got[-8:].hex()] if isinstance(got, bytes) else got
    assert seen["bytes=0-9"][0] == 10
    assert seen["bytes=1048576-"][1] == 416
    for workers in (2, 4):
        with obj.get_reader(num_workers=workers, chunk_size=100_000).read_all() as buffer:
            assert bytes(buffer.buf) == BODY
        assert b"".join(obj.get_reader(num_workers=workers, chunk_size=100_000)) == BODY
    seen["workers"] = [
        attempt(lambda: obj.get_reader(num_workers=1)),
        attempt(lambda: obj.get_reader(num_workers=2, byte_range="bytes=0-1")),
    ]
    bucket.object("empty").get_writer().put_content(b"")
    seen["empty"] = attempt(
        lambda: bucket.object("empty").get_reader(byte_range="bytes=0-").read_all()
    )
    assert seen["empty"][1] == 416
    with obj.get_reader().as_file() as file:
        pieces = [file.read(7), file.read(100_000), file.read(0), file.read(-1), file.read(5)]
    assert b"".join(pieces) == BODY
    seen["pieces"] = [len(piece) for piece in pieces]
    return seen
