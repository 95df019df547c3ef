"""The asyncio client against a real cluster."""

from __future__ import annotations

import asyncio
import os
import pickle
import threading
import time
from pathlib import Path
from socket import socket

import pytest

import aistore
from aistore.aio import AsyncBucket, AsyncClient
from aistore.sdk import ArchiveConfig, Bucket
from aistore.sdk.errors import AISError, ErrBckAlreadyExists, ErrObjNotFound


@pytest.fixture
def aio(cluster: aistore.LocalCluster) -> AsyncClient:
    return AsyncClient(cluster.endpoint)


@pytest.fixture
def images(aio: AsyncClient, bucket: Bucket) -> AsyncBucket:
    return aio.bucket(bucket.name)


def test_objects(images: AsyncBucket, tmp_path: Path) -> None:
    async def story() -> None:
        obj = images.object("d/ü 1")
        await obj.put(b"0123456789")
        assert await obj.get() == b"0123456789"
        assert await obj.get("bytes=2-4") == b"234"
        props = await obj.head()
        assert (props.size, props.name, props.present) == (10, "d/ü 1", True)
        (tmp_path / "f").write_bytes(b"from a file")
        await images.object("f").put_file(tmp_path / "f")
        assert await images.object("f").get() == b"from a file"
        with pytest.raises(ValueError, match="does not exist"):
            await images.object("g").put_file(tmp_path / "g")
        await obj.delete()
        with pytest.raises(ErrObjNotFound) as caught:
            await obj.get()
        assert caught.value.status_code == 404

    asyncio.run(story())


def test_buckets(aio: AsyncClient) -> None:
    async def story() -> None:
        name = f"aio-{os.getpid()}"
        made = await aio.bucket(name).create()
        assert name in [model.name for model in await aio.list_buckets()]
        with pytest.raises(ErrBckAlreadyExists):
            await made.create()
        await made.create(exist_ok=True)
        assert "provider" in (await made.head())["ais-bucket-props"]
        await made.delete()
        await made.delete(missing_ok=True)

    asyncio.run(story())


def test_streams(images: AsyncBucket) -> None:
    content = os.urandom(3_000_001)

    async def story() -> None:
        obj = images.object("large")
        await obj.put(content)
        async with await obj.stream(chunk_size=1_000_000) as stream:
            chunks = [chunk async for chunk in stream]
            assert stream.attributes.size == len(content)
        assert [len(chunk) for chunk in chunks] == [1_000_000] * 3 + [1]
        assert b"".join(chunks) == content
        async with await obj.stream() as stream:
            assert await stream.read(10) == content[:10]
            assert await stream.read() != b""
        with pytest.raises(ValueError, match="closed"):
            await stream.read()

    asyncio.run(story())


def test_listing(images: AsyncBucket, bucket: Bucket) -> None:
    names = sorted(f"n{i:05d}" for i in range(2_000))
    bucket.put_many((name, b"x") for name in names)

    async def story() -> None:
        assert [entry.name async for entry in images.list_objects()] == names
        few = await images.list_all_objects(prefix="n0001", start_after="n00015")
        assert [entry.name for entry in few] == names[16:20]
        listing = images.list_objects()
        assert (await anext(listing)).size == 1
        await listing.aclose()

    asyncio.run(story())


def test_batches(aio: AsyncClient, images: AsyncBucket, bucket: Bucket) -> None:
    names = [f"o{i}" for i in range(300)]
    bucket.put_many((name, name.encode()) for name in names)

    async def story() -> None:
        got = [content async for _, content in aio.get_batch(names, bucket=images)]
        assert got == [name.encode() for name in names]
        objects = [images.object("o1"), images.object("gone")]
        found = [info async for info, _ in aio.get_batch(objects)]
        assert found[0].err_msg is None
        assert "does not exist" in (found[1].err_msg or "")
        with pytest.raises(AISError):
            _ = [info async for info, _ in aio.get_batch(objects, cont_on_err=False)]
        with pytest.raises(ValueError, match="empty"):
            aio.get_batch([])

    asyncio.run(story())


def test_archives(images: AsyncBucket) -> None:
    async def story() -> None:
        await images.object("s.tar").put(b"\0" * 10_240)
        with pytest.raises(AISError):
            await images.object("s.tar").get(archive_config=ArchiveConfig(archpath="a.txt"))

    asyncio.run(story())


def test_a_thousand_gets_at_once_take_no_threads(images: AsyncBucket) -> None:
    async def story() -> None:
        await images.object("o").put(b"content")
        await asyncio.gather(*(images.object("o").get() for _ in range(10)))
        before = threading.active_count(), len(os.listdir("/proc/self/task"))
        got = await asyncio.gather(*(images.object("o").get() for _ in range(1_000)))
        assert got == [b"content"] * 1_000
        assert threading.active_count() == before[0]
        assert len(os.listdir("/proc/self/task")) <= before[1]

    asyncio.run(story())


def silent_server() -> tuple[socket, str]:
    """A server that accepts connections and says nothing."""
    server = socket()
    server.bind(("127.0.0.1", 0))
    server.listen(64)
    return server, f"http://127.0.0.1:{server.getsockname()[1]}"


def test_cancellation_reaches_the_connection() -> None:
    server, url = silent_server()

    async def story() -> None:
        client = AsyncClient(url)
        waiting = asyncio.create_task(client.bucket("b").object("o").get())
        connection, _ = await asyncio.get_running_loop().run_in_executor(None, server.accept)
        connection.settimeout(5)
        assert connection.recv(65_536)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        # The native call is dropped, and its connection with it.
        assert connection.recv(65_536) == b""
        connection.close()

    asyncio.run(story())
    server.close()


def test_waiting_calls_are_bounded_and_do_not_block_the_loop() -> None:
    server, url = silent_server()
    server.settimeout(0.5)

    async def story() -> int:
        client = AsyncClient(url, max_concurrency=3)
        calls = [asyncio.create_task(client.bucket(f"b{i}").head()) for i in range(10)]
        started = time.monotonic()
        await asyncio.sleep(0.3)
        assert time.monotonic() - started < 1
        seen = 0
        kept = []
        while True:
            try:
                kept.append(server.accept())
                seen += 1
            except TimeoutError:
                break
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        for connection, _ in kept:
            connection.close()
        return seen

    assert asyncio.run(story()) == 3
    server.close()


def test_pickle_and_fork(aio: AsyncClient, images: AsyncBucket) -> None:
    again = pickle.loads(pickle.dumps(aio))

    async def read(client: AsyncClient) -> bytes:
        return await client.bucket(images.name).object("o").get()

    async def write() -> None:
        await images.object("o").put(b"content")

    asyncio.run(write())
    assert asyncio.run(read(again)) == b"content"
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if asyncio.run(read(aio)) == b"content" else 1)
        finally:
            os._exit(2)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert asyncio.run(read(aio)) == b"content"


def test_a_closed_loop_loses_the_result_and_nothing_else() -> None:
    server, url = silent_server()
    loop = asyncio.new_event_loop()
    client = AsyncClient(url, timeout=0.5)
    task = loop.create_task(client.bucket("b").head())
    loop.run_until_complete(asyncio.sleep(0.1))
    task.cancel()
    loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
    loop.close()
    time.sleep(0.7)
    server.close()
