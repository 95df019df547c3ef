"""One suite, two implementations: each scenario through our package and through the official SDK 2.0.0.

A scenario is a script `scenario_NAME.py` beside this file. It imports from `aistore.sdk` only, so that the
import decides which implementation runs; it asserts what the specification promises, and returns what it
saw. What both saw must be the same.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
from pathlib import Path

import pytest
from support import SDK_PYTHON

import aistore
from aistore.sdk import Client

HERE = Path(__file__).parent
NAMES = sorted(path.stem.removeprefix("scenario_") for path in HERE.glob("scenario_*.py"))

_spec = importlib.util.spec_from_file_location("parity_driver", HERE / "driver.py")
assert _spec
assert _spec.loader
driver = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(driver)


def official(name: str, endpoint: str, bucket: str) -> object:
    root = os.environ["PROMOTE_ROOT"]
    assert SDK_PYTHON.exists(), "run `make setup-tests` first"
    done = subprocess.run(
        [SDK_PYTHON, HERE / "driver.py", name, endpoint, bucket],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env={"PATH": "/usr/bin:/bin", "PROMOTE_ROOT": root},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", NAMES)
def test_both_see_the_same(
    cluster: aistore.LocalCluster, client: Client, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMOTE_ROOT", str(cluster.root / "promote"))
    seen = []
    for play, suffix in ((driver.play, "ours"), (official, "theirs")):
        bucket = client.bucket(f"parity-{name}-{suffix}").create()
        try:
            seen.append(play(name, cluster.endpoint, bucket.name))
        finally:
            bucket.delete(missing_ok=True)
    assert seen[0] == seen[1]
