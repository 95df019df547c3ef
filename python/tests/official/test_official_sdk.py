"""The official SDK as a user of our cluster. It has our import name, so it runs in its own environment.

Each scenario is a script beside this file; it asserts for itself and prints `ok` when all held.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from support import SDK_PYTHON

import aistore
from aistore.sdk import Bucket

# Its own packages only: ours has the same name.
ENVIRONMENT = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
SCRIPTS = sorted(path.stem for path in Path(__file__).parent.glob("scenario_*.py"))


@pytest.mark.parametrize("script", SCRIPTS)
def test_scenario(cluster: aistore.LocalCluster, bucket: Bucket, script: str) -> None:
    assert SDK_PYTHON.exists(), "run `make setup-tests` first"
    done = subprocess.run(
        [
            SDK_PYTHON,
            Path(__file__).parent / f"{script}.py",
            cluster.endpoint,
            bucket.name,
            cluster.promote_root,
        ],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith("ok")


def test_it_is_the_official_one() -> None:
    code = "import importlib.metadata as m; print(m.version('aistore'), m.metadata('aistore')['Author'])"
    native = "import importlib.util as u; print(u.find_spec('aistore._native'))"
    for script, start in ((code, "2.0.0 "), (native, "None")):
        command = [SDK_PYTHON, "-c", script]
        out = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=True)
        assert out.stdout.startswith(start)
