"""The official SDK as a user of our cluster. It has our import name, so it runs in its own environment.

Each scenario is a script beside this file; it asserts for itself and prints `ok` when all held.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from support import SDK_PYTHON

import aistore
from aistore.sdk import Bucket

SCRIPTS = sorted(path.stem for path in Path(__file__).parent.glob("scenario_*.py"))


@pytest.mark.parametrize("script", SCRIPTS)
def test_scenario(cluster: aistore.LocalCluster, bucket: Bucket, script: str) -> None:
    assert SDK_PYTHON.exists(), "run `make setup-tests` first"
    done = subprocess.run(
        [SDK_PYTHON, Path(__file__).parent / f"{script}.py", cluster.endpoint, bucket.name],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith("ok")


def test_it_is_the_official_one() -> None:
    code = "import importlib.metadata as m; print(m.version('aistore'), m.metadata('aistore')['Author'])"
    out = subprocess.run(
        [SDK_PYTHON, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert out.startswith("2.0.0 ")
    native = "import importlib.util as u; print(u.find_spec('aistore._native'))"
    found = subprocess.run([SDK_PYTHON, "-c", native], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "None"
