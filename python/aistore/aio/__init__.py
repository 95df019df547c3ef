"""The client for asyncio: no threads per call, on the same native connections.

async with AsyncClient("http://localhost:8080") as client:
    data = await client.bucket("images").object("cat.jpg").get()
"""

from aistore.aio.batch import AsyncBatch
from aistore.aio.bucket import AsyncBucket
from aistore.aio.client import AsyncClient
from aistore.aio.object import AsyncObject
from aistore.aio.stream import AsyncObjectStream

__all__ = ["AsyncBatch", "AsyncBucket", "AsyncClient", "AsyncObject", "AsyncObjectStream"]
