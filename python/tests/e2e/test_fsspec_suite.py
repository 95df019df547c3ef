"""fsspec's own tests of what every file system must do."""

from __future__ import annotations

import itertools
import posixpath
from collections.abc import Iterator
from typing import Any

import pytest

import aistore
from aistore.fsspec import AISFileSystem

abstract = pytest.importorskip("fsspec.tests.abstract")


_folders = itertools.count()


@pytest.fixture(scope="module")
def shared(cluster: aistore.LocalCluster) -> Iterator[str]:
    """One bucket: every test has a folder of its own."""
    bucket = cluster.client().bucket("fsspec-suite").create()
    yield bucket.name
    bucket.delete()


class Fixtures(abstract.AbstractFixtures):
    """Ours."""

    @pytest.fixture
    def fs(self, cluster: aistore.LocalCluster) -> AISFileSystem:
        return AISFileSystem(cluster.endpoint)

    @pytest.fixture
    def fs_path(self, shared: str) -> str:
        return f"{shared}/{next(_folders)}"

    @pytest.fixture
    def fs_join(self) -> Any:
        return posixpath.join

    @pytest.fixture
    def supports_empty_directories(self) -> bool:
        return False


class TestCopy(abstract.AbstractCopyTests, Fixtures):
    pass


class TestGet(abstract.AbstractGetTests, Fixtures):
    # The same patterns as of copies.
    test_get_glob_edge_cases = pytest.mark.slow(abstract.AbstractGetTests.test_get_glob_edge_cases)


class TestPut(abstract.AbstractPutTests, Fixtures):
    # Patterns of local files: none of ours.
    test_put_glob_edge_cases = pytest.mark.slow(abstract.AbstractPutTests.test_put_glob_edge_cases)


class TestPipe(abstract.AbstractPipeTests, Fixtures):
    pass


class TestOpen(abstract.AbstractOpenTests, Fixtures):
    pass
