"""Of many clients that put an object only if there is none, exactly one wins."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from support import Wire

from aistore.sdk import Bucket

CLIENTS, ROUNDS = 12, 20


def test_exactly_one_wins(wire: Wire, bucket: Bucket) -> None:
    with ThreadPoolExecutor(CLIENTS) as pool:
        for i in range(ROUNDS):
            barrier = threading.Barrier(CLIENTS)

            def put(who: int, i: int = i, barrier: threading.Barrier = barrier) -> int:
                barrier.wait()
                path, body = f"/v1/objects/{bucket.name}/first/{i}", b"%03d" % who * 20_000
                return wire.follow("PUT", path, body=body, headers={"If-None-Match": "*"}).status

            answers = list(pool.map(put, range(CLIENTS)))
            assert sorted(answers) == [200] + [412] * (CLIENTS - 1)
            winner = answers.index(200)
            assert bucket.object(f"first/{i}").get_reader().read_all() == b"%03d" % winner * 20_000
