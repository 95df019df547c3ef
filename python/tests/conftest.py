"""Clusters of real processes for the whole suite. Every test takes a bucket of its own."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import Ais, Wire

import aistore
from aistore.sdk import Bucket, Client

_names = itertools.count()


def pytest_sessionstart() -> None:
    """Ends at once where nodes would refuse to copy: their data stands in the temporary directory."""
    used = shutil.disk_usage(tempfile.gettempdir())
    if used.free * 10 < used.used + used.free:
        pytest.exit(
            f"{tempfile.gettempdir()} has less than 10% of its disk free, and nodes refuse copies there: "
            "free some space, or name a directory on another disk in TMPDIR",
            returncode=1,
        )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what is slow, unless markers were asked for."""
    if not config.option.markexpr:
        skip = pytest.mark.skip(reason="slow: run with -m slow")
        for item in items:
            if "slow" in item.keywords:
                item.add_marker(skip)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[aistore.LocalCluster]:
    """One gateway and three targets with two mountpaths each, shared by all tests that do no harm."""
    with aistore.LocalCluster(targets=3, root=tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture
def own_cluster(tmp_path: Path) -> Iterator[aistore.LocalCluster]:
    """A cluster that the test may break."""
    with aistore.LocalCluster(targets=3, root=tmp_path / "cluster") as running:
        yield running


@pytest.fixture
def client(cluster: aistore.LocalCluster) -> Client:
    """A client of the shared cluster."""
    return cluster.client()


@pytest.fixture
def bucket(client: Client) -> Iterator[Bucket]:
    """A fresh bucket, destroyed afterwards."""
    made = client.bucket(f"b-{os.getpid()}-{next(_names)}").create()
    yield made
    made.delete(missing_ok=True)


@pytest.fixture
def wire(cluster: aistore.LocalCluster) -> Wire:
    """Raw HTTP to the shared cluster's gateway."""
    return Wire(cluster.endpoint)


@pytest.fixture
def ais(cluster: aistore.LocalCluster) -> Ais:
    """Runs `ais` against the shared cluster and checks its exit status."""

    def run(*args: str, stdin: bytes = b"", code: int = 0) -> subprocess.CompletedProcess[bytes]:
        done = subprocess.run(
            [Path(sys.executable).parent / "ais", *args],
            input=stdin, capture_output=True, timeout=60, check=False,
            env={**os.environ, "AIS_ENDPOINT": cluster.endpoint},
        )  # fmt: skip
        assert done.returncode == code, (args, done.stdout, done.stderr)
        return done

    return run
