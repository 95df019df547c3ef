"""The interface: stubs agree with the native module, and types say what users get."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import aistore


def test_versions_agree() -> None:
    assert aistore.__version__ == version("aistore")
    assert re.fullmatch(r"\d+\.\d+\.\d+", aistore.__version__)


def test_stubs_agree_with_the_native_module(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy.stubtest",
            "aistore._native",
            "--concise",
            "--ignore-disjoint-bases",
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.stdout.splitlines() == []
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "module", ["aistore", "aistore.sdk", "aistore.sdk.multiobj", "aistore.pytorch"]
)
def test_every_advertised_name_can_be_imported(module: str) -> None:
    found = importlib.import_module(module)
    for name in found.__all__:
        assert getattr(found, name) is not None
        assert name in dir(found)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = found.no_such_name


RIGHT = """
from typing_extensions import assert_type
from aistore import Client, LocalCluster
from pathlib import Path
from aistore.aio import AsyncClient
from aistore.sdk import WaitResult
from aistore.sdk.dataset import DataAttribute, DatasetConfig, LabelAttribute
from aistore.sdk.obj.content_iterator import ParallelBuffer
from aistore.sdk.obj.object_attributes import ObjectAttributes
from aistore.sdk.request_executor import RequestExecutor
from aistore.sdk.response import Response
from aistore.sdk.retry_manager import RetryManager
from aistore.sdk.session_manager import SessionManager

def use(client: Client, cluster: LocalCluster) -> None:
    obj = client.bucket("b").object("o")
    assert_type(obj.get_reader().read_all(), bytes)
    assert_type(obj.get_reader(num_workers=4).read_all(), ParallelBuffer)
    assert_type(cluster.client(), Client)
    for out, content in client.batch(["o"], bucket=client.bucket("b")).get():
        assert_type(out.obj_name, str)
        assert_type(content, bytes)
    for entry in client.bucket("b").list_all_objects():
        assert_type(entry.size, int)

def jobs(client: Client) -> None:
    bucket = client.bucket("b").create(exist_ok=True)
    job = client.job(bucket.copy(client.bucket("c")), job_kind="copy-bck")
    result = job.wait(timeout=5, verbose=False)
    assert_type(result, WaitResult)
    assert_type(job.status().end_time, int)
    for snapshot in job.get_details().list_snapshots():
        assert_type(snapshot.aborted, bool)
    assert_type(client.cluster().list_etls()[0].stage, str)
    assert_type(client.cluster().get_uuid(), str)
    assert_type(bucket.objects(obj_names=["a"]).copy(client.bucket("c")), list[str])

def data(client: Client, path: Path) -> None:
    obj = client.bucket("b").object("o")
    assert_type(obj.head(), ObjectAttributes)
    assert_type(obj.get_writer().put_file(path, progress=True), Response)
    assert_type(obj.get_reader().to_file(path), int)
    assert_type(obj.get_reader().as_file().read(), bytes)
    upload = obj.multipart_upload().create()
    upload.add_part(1).put_content(b"a")
    assert_type(upload.complete(), Response)
    labels = LabelAttribute("cls", lambda name: name)
    config = DatasetConfig(DataAttribute(path, "image", "jpg"), [labels])
    client.bucket("b").write_dataset(config, maxcount=10)
    executor = RequestExecutor(client.endpoint + "/v1", SessionManager())
    assert_type(RetryManager(executor).with_retry(executor.request, "GET", "health"), Response)

async def later(client: AsyncClient) -> None:
    content = await client.bucket("b").object("o").get()
    assert_type(content, bytes)
"""
WRONG = """
from aistore import Client

def use(client: Client) -> None:
    client.bucket(5)
    client.bucket("b").object("o").get_reader(byte_range=(0, 5))
"""


def check(tmp_path: Path, code: str) -> list[str]:
    file = tmp_path / "user.py"
    file.write_text(code)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--config-file=", str(file)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    return [line for line in done.stdout.splitlines() if "error:" in line]


def test_type_checkers_see_the_types(tmp_path: Path) -> None:
    assert check(tmp_path, RIGHT) == []


def test_type_checkers_catch_wrong_calls(tmp_path: Path) -> None:
    errors = check(tmp_path, WRONG)
    assert [line.split(":")[1] for line in errors] == ["5", "6"]
