"""Our package over https: every way that bytes go, and what is said when something does not fit."""

from __future__ import annotations

import asyncio
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path

import pytest
from support import make_certificate

import aistore
from aistore import aio
from aistore.sdk import Bucket, Client, MultipartConfig
from aistore.sdk.errors import AISError

LARGE = os.urandom((40 << 20) + 3)


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[aistore.LocalCluster]:
    root = tmp_path_factory.mktemp("secure")
    with aistore.LocalCluster(targets=2, root=root, tls=True) as running:
        yield running


@pytest.fixture(scope="module")
def filled(secure: aistore.LocalCluster) -> Bucket:
    bucket = secure.client().bucket("filled").create()
    bucket.put_many([(f"{at:03}", b"%d" % at * 999) for at in range(100)])
    return bucket


def _read_elsewhere(pickled: bytes) -> bytes:
    client: Client = pickle.loads(pickled)
    return client.bucket("filled").object("001").get_reader().read_all()


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes_keep_the_trust(
    secure: aistore.LocalCluster, filled: Bucket, method: str
) -> None:
    client = secure.client()
    assert client.bucket("filled").object("001").get_reader().read_all()
    with get_context(method).Pool(1) as pool:
        assert pool.apply(_read_elsewhere, (pickle.dumps(client),)) == b"1" * 999


def test_large_content_in_parts_and_in_parallel(secure: aistore.LocalCluster) -> None:
    obj = secure.client().bucket("large").create().object("o")
    parts = MultipartConfig(threshold=1, part_size=4 << 20, num_workers=4)
    obj.get_writer().put_content(LARGE, multipart=parts)
    assert obj.get_reader().read_all() == LARGE
    with obj.get_reader(num_workers=4).read_all() as buffer:
        assert bytes(buffer.buf) == LARGE
    with obj.get_reader().as_file() as file:
        assert file.read(1 << 20) == LARGE[: 1 << 20]
        assert file.read() == LARGE[1 << 20 :]
    upload = obj.multipart_upload().create()
    upload.add_part(1).put_content(b"by ")
    upload.add_part(2).put_content(b"hand")
    upload.complete()
    assert obj.get_reader().read_all() == b"by hand"


def test_batches_append_and_arrow(secure: aistore.LocalCluster, filled: Bucket) -> None:
    client = secure.client()
    names = [f"{at:03}" for at in range(100)]
    got = list(client.batch(names, bucket=filled).get())
    assert [(out.obj_name, content) for out, content in got] == [
        (name, b"%d" % int(name) * 999) for name in names
    ]
    arrow = pytest.importorskip("pyarrow")
    assert arrow.table(filled.list_objects_arrow()).column("name").to_pylist() == names
    log = client.bucket("logs").create().object("log")
    with log.get_writer().as_file("a") as file:
        file.write(b"one ")
        file.flush()
        file.write(b"two")
    assert log.get_reader().read_all() == b"one two"


def test_asyncio(secure: aistore.LocalCluster, filled: Bucket) -> None:
    async def work() -> list[bytes]:
        async with aio.AsyncClient(secure.endpoint, ca_cert=secure.ca_cert) as client:
            bucket = client.bucket("filled")
            await bucket.object("new").put(b"here")
            reads = [bucket.object(name).get() for name in ("001", "002", "new")]
            contents = await asyncio.gather(*reads)
            await bucket.object("new").delete()
            return contents

    assert asyncio.run(work()) == [b"1" * 999, b"2" * 999, b"here"]


def test_the_wrong_scheme_and_the_wrong_authority_are_told(
    secure: aistore.LocalCluster, cluster: aistore.LocalCluster, tmp_path: Path
) -> None:
    to_plain = cluster.endpoint.replace("http://", "https://")
    with pytest.raises(AISError, match="try http://"):
        Client(to_plain).cluster().get_info()
    to_secure = secure.endpoint.replace("https://", "http://")
    with pytest.raises(AISError, match="https://"):
        Client(to_secure).cluster().get_info()
    stranger, _ = make_certificate(tmp_path, "stranger")
    with pytest.raises(AISError, match="ca_cert"):
        Client(secure.endpoint, ca_cert=str(stranger)).cluster().get_info()
    assert secure.ca_cert is not None
    assert cluster.ca_cert is None


def test_the_certificate_is_kept_with_the_root_and_satisfies_others(tmp_path: Path) -> None:
    with aistore.LocalCluster(targets=1, root=tmp_path, tls=True) as first:
        authority = Path(first.ca_cert or "").read_bytes()
        program = (
            "import ssl, sys, urllib.request as r; "
            "c = ssl.create_default_context(cafile=sys.argv[2]); "
            "print(r.urlopen(sys.argv[1] + '/v1/health', context=c).status)"
        )
        for host in ("127.0.0.1", "localhost"):
            url = first.endpoint.replace("127.0.0.1", host)
            done = subprocess.run(
                [sys.executable, "-c", program, url, str(first.ca_cert)],
                capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
            assert done.stdout == "200\n", done.stderr
        assert (tmp_path / "tls" / "node.key").stat().st_mode & 0o077 == 0
        first.client().bucket("kept").create()
    with aistore.LocalCluster(targets=1, root=tmp_path, tls=True) as again:
        assert Path(again.ca_cert or "").read_bytes() == authority
        assert [bucket.name for bucket in again.client().cluster().list_buckets()] == ["kept"]
