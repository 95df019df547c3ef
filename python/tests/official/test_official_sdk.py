"""The official SDK as a user of our cluster. It has our import name, so it runs in its own environment.

Each scenario is a script beside this file; it asserts for itself and prints `ok` when all held.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import SDK_PYTHON, make_certificate

import aistore
from aistore.sdk import Bucket

# A path that leads to our package would make it the one under test; a bundle of this machine would
# win over the authority that the SDK is given.
_FOREIGN = {"PYTHONPATH", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"}
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
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


@pytest.fixture(scope="module")
def secure(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[aistore.LocalCluster, Path]]:
    folder = tmp_path_factory.mktemp("tls")
    cert, key = make_certificate(folder, "node")
    with aistore.LocalCluster(targets=3, root=folder / "cluster", tls=(cert, key)) as running:
        yield running, cert


# The listing is of 300 objects: 25,000 PUTs by the SDK over https take longer than the listing is worth.
@pytest.mark.parametrize("script", ["scenario_batch", "scenario_listing", "scenario_objects"])
def test_scenario_over_https(secure: tuple[aistore.LocalCluster, Path], script: str) -> None:
    cluster, cert = secure
    bucket = cluster.client().bucket(script.replace("_", "-")).create()
    done = subprocess.run(
        [SDK_PYTHON, Path(__file__).parent / f"{script}.py", cluster.endpoint, bucket.name],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env={**ENVIRONMENT, "AIS_CLIENT_CA": str(cert), "OBJECTS": "300"},
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
