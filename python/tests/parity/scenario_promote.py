"""Promote: a file and a directory of the target's machine become objects."""

import os
import tempfile
from pathlib import Path

from aistore.sdk.errors import AISError

ROOT = Path(os.environ["PROMOTE_ROOT"])


def attempt(call):
    try:
        call()
    except AISError as exc:
        return [type(exc).__name__, exc.status_code]
    return "no error"


def finish(client, job_id):
    if job_id:
        client.job(job_id).wait(timeout=60, verbose=False)


def run(client, bucket):
    ROOT.mkdir(parents=True, exist_ok=True)
    seen = {}
    with tempfile.TemporaryDirectory(dir=ROOT) as text:
        folder = Path(text)
        (folder / "sub").mkdir()
        for name in ("x", "y", "sub/z"):
            (folder / name).write_text(name)
        finish(client, bucket.object("one").promote(str(folder / "x")))
        assert bucket.object("one").get_reader().read_all() == b"x"
        finish(client, bucket.object("flat/").promote(str(folder)))
        finish(client, bucket.object("deep/").promote(str(folder), recursive=True))
        seen["names"] = [entry.name for entry in bucket.list_all_objects()]
        assert seen["names"] == ["deep/sub/z", "deep/x", "deep/y", "flat/x", "flat/y", "one"]
        (folder / "x").write_text("newer")
        finish(client, bucket.object("one").promote(str(folder / "x")))
        assert bucket.object("one").get_reader().read_all() == b"x"
        finish(
            client,
            bucket.object("one").promote(
                str(folder / "x"), overwrite_dest=True, delete_source=True
            ),
        )
        assert bucket.object("one").get_reader().read_all() == b"newer"
        assert not (folder / "x").exists()
    seen["bad"] = [
        attempt(lambda: bucket.object("o").promote("/etc/hostname")),
        attempt(lambda: bucket.object("o").promote(f"{ROOT}/../promote/x")),
    ]
    assert [error[1] for error in seen["bad"]] == [400, 400], seen["bad"]
    return seen
