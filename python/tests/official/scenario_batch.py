"""Batch, streaming and multipart, over objects and files in shards."""

import io
import os
import random
import sys
import tarfile

from aistore.sdk import Client
from aistore.sdk.enums import Colocation
from aistore.sdk.errors import AISError

client = Client(sys.argv[1])
bucket = client.bucket(sys.argv[2])

contents = {(f"o{i:03}", None): os.urandom(i * 137) for i in range(1, 120)}
for s in range(4):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for f in range(30):
            content = os.urandom(f * 50 + 1)
            contents[f"s{s}.tar", f"d/{f}.bin"] = content
            info = tarfile.TarInfo(f"d/{f}.bin")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    bucket.object(f"s{s}.tar").get_writer().put_content(out.getvalue())
for (name, member), content in contents.items():
    if member is None:
        bucket.object(name).get_writer().put_content(content)

wanted = list(contents)
random.Random(3).shuffle(wanted)
for streaming in (True, False):
    for colocation in (Colocation.NONE, Colocation.TARGET_AWARE):
        batch = client.batch(bucket=bucket, streaming_get=streaming, colocation=colocation)
        for name, member in wanted:
            batch.add(name, archpath=member)
        got = list(batch.get())
        assert [(o.obj_name, o.archpath or None) for o, _ in got] == wanted
        assert [c for _, c in got] == [contents[key] for key in wanted]

    for output_format in (".tar", ".tgz", ".tar.gz", ".zip", ".ZIP"):
        batch = client.batch(bucket=bucket, streaming_get=streaming, output_format=output_format)
        for name, member in wanted[:60]:
            batch.add(name, archpath=member, opaque=name.encode())
        batch.add("gone").add("s0.tar", archpath="gone").add("o100", start=10, length=20)
        got = list(batch.get())
        content = [contents[key] for key in wanted[:60]]
        assert [c for _, c in got] == [*content, b"", b"", contents["o100", None][10:30]]
        assert [bool(o.err_msg) for o, _ in got] == [False] * 60 + [True, True, False]
        if not streaming:
            assert [o.opaque for o, _ in got[:60]] == [name.encode() for name, _ in wanted[:60]]

    batch = client.batch(["o001", "gone", "o002"], bucket=bucket, streaming_get=streaming)
    got = list(batch.get())
    assert [bool(o.err_msg) for o, _ in got] == [False, True, False]
    assert [c for _, c in got] == [contents["o001", None], b"", contents["o002", None]]

batch = client.batch(["o001", "gone"], bucket=bucket, cont_on_err=False, streaming_get=False)
try:
    list(batch.get())
except AISError as exc:
    assert exc.status_code == 404
else:
    raise AssertionError("a missing entry must fail a strict batch")

batch = client.batch(bucket=bucket)
batch.add("o100", start=10, length=20)
assert [c for _, c in batch.get()] == [contents["o100", None][10:30]]
print("ok")
