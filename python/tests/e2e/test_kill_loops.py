"""Targets killed at random moments under load: what was acknowledged is there afterwards, whole.

    KILL_SEED=7 KILL_ROUNDS=200 pytest python/tests/e2e/test_kill_loops.py

All kinds of work go on at once, each in a bucket and a thread of its own. What was interrupted may have
happened or not, but never by half.
"""

from __future__ import annotations

import os
import random
import threading
import time
from typing import Any

import pytest
from support import Wire

import aistore
from aistore.sdk import Bucket, Client
from aistore.sdk.errors import AISError

SEED = int(os.environ.get("KILL_SEED", random.SystemRandom().randrange(1 << 32)))
ROUNDS = int(os.environ.get("KILL_ROUNDS", "8"))
TARGETS = 3


class Work:
    """Repeats one kind of operation until told to stop, and then says whether the cluster kept its word."""

    def __init__(self, endpoint: str, seed: int) -> None:
        self.random = random.Random(seed)
        self.client = Client(endpoint, timeout=(2, 10))
        self.wire = Wire(endpoint)
        self.bucket: Bucket = self.client.bucket(f"kill-{type(self).__name__.lower()}").create()
        self.prepare()
        # What each name may hold; one entry is certainty. None: absent.
        self.may: dict[str, list[bytes | None]] = {}
        self.number = self.acknowledged = self.interrupted = 0

    def prepare(self) -> None:
        """Sets the bucket up."""

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self.number += 1
            try:
                self.once(self.number)
                self.acknowledged += 1
            except Exception:  # noqa: BLE001 - a killed node shows itself in many ways
                self.interrupted += 1
                time.sleep(0.02)

    def once(self, number: int) -> None:
        raise NotImplementedError

    def content(self) -> bytes:
        return self.random.randbytes(self.random.choice([0, 10, 5000, 70_000, 400_000]))

    def put(self, name: str, content: bytes) -> None:
        """A PUT, with what it does to the promises."""
        before = self.may.get(name, [None])
        self.may[name] = [*before, content]
        if self.random.random() < 0.5:
            self.bucket.object(name).get_writer().put_content(content)  # The client may try again.
        else:
            path = f"/v1/objects/{self.bucket.name}/{name}"
            self.answered(self.wire.follow("PUT", path, body=content), 200)
        self.may[name] = [content]

    @staticmethod
    def answered(answer: Any, *statuses: int) -> None:
        if answer.status not in statuses:
            raise OSError(f"{answer.status} {answer.body[:200]!r}")

    def verify(self) -> None:
        """Every name holds what it may hold, and is listed if and only if it is there."""
        there = set()
        for name, allowed in self.may.items():
            try:
                found: bytes | None = self.bucket.object(name).get_reader().read_all()
            except AISError as exc:
                assert exc.status_code == 404, exc  # noqa: PT017
                found = None
            sizes = [None if one is None else len(one) for one in allowed]
            assert found in allowed, (
                f"{name}: {None if found is None else len(found)}, allowed {sizes}"
            )
            if found is not None:
                there.add(name)
        self.verify_listing(there)

    def verify_listing(self, there: set[str]) -> None:
        listed = [entry.name for entry in self.bucket.list_all_objects()]
        assert listed == sorted(there)


class Puts(Work):
    """PUT, overwrite and DELETE: the index."""

    def once(self, number: int) -> None:
        name = f"{self.random.randrange(200):03}"
        if self.random.random() < 0.3 and self.may.get(name, [None]) != [None]:
            self.may[name] = [*self.may[name], None]
            try:
                self.bucket.object(name).delete()
            except AISError as exc:
                if exc.status_code != 404 or None not in self.may[name][:-1]:
                    raise
            self.may[name] = [None]
        else:
            self.put(name, self.content())


class Multiparts(Work):
    """Uploads that go on after the target is back, and end in one whole object."""

    def once(self, number: int) -> None:
        name = f"{number:05}"
        parts = [self.content() or b"x" for _ in range(3)]
        whole = b"".join(parts)
        upload = self.bucket.object(name).multipart_upload().create()
        for at in self.random.sample(range(3), 3):
            self.patiently(
                lambda at=at: self.bucket_part(name, upload.upload_id, at + 1, parts[at])
            )
        self.may[name] = [None, whole]
        message = {
            "action": "mpt-complete",
            "value": [{"part-number": n, "etag": ""} for n in (1, 2, 3)],
        }
        path = f"/v1/objects/{self.bucket.name}/{name}"
        # Completed once, a second request finds no upload: 404 says that the first one did it.
        self.patiently(
            lambda: self.answered(
                self.wire.follow("POST", path, action=message, uploadId=upload.upload_id), 200, 404
            )
        )
        self.may[name] = [whole]

    def bucket_part(self, name: str, upload: str, number: int, body: bytes) -> None:
        path = f"/v1/objects/{self.bucket.name}/{name}"
        self.answered(
            self.wire.follow("PUT", path, body=body, uploadId=upload, partNumber=str(number)), 200
        )

    @staticmethod
    def patiently(call: Any) -> None:
        """Again and again while the target is away."""
        deadline = time.monotonic() + 30
        while True:
            try:
                call()
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                return


class Appends(Work):
    """Append sessions: nothing before the flush, everything after it."""

    def once(self, number: int) -> None:
        name = f"{self.random.randrange(40):03}"
        before = self.may.get(name, [None])
        if len(before) > 1:
            return
        pieces = [self.content() for _ in range(3)]
        writer, handle = self.bucket.object(name).get_writer(), ""
        for piece in pieces:
            handle = writer.append_content(piece, handle=handle)
        whole = (before[0] or b"") + b"".join(pieces)
        self.may[name] = [*before, whole]
        writer.append_content(b"", handle=handle, flush=True)
        self.may[name] = [whole]


class Renames(Work):
    """Renames: under the new name when acknowledged, and never under neither.

    An interrupted one leaves both names only where they belong to different targets: there the object is
    delivered before it is removed.
    """

    def prepare(self) -> None:
        self.moves: list[tuple[str, str, bytes]] = []

    def once(self, number: int) -> None:
        old, new, content = f"old/{number:05}", f"new/{number:05}", self.content()
        self.put(old, content)
        self.may[old], self.may[new] = [None, content], [None, content]
        self.moves.append((old, new, content))
        path = f"/v1/objects/{self.bucket.name}/{old}"
        answer = self.wire.follow("POST", path, action={"action": "rename-obj", "name": new})
        if answer.status != 200:
            raise OSError(answer.status)
        self.may[old], self.may[new] = [None], [content]

    def verify(self) -> None:
        super().verify()
        smap = self.client.cluster().get_info()

        def owner(name: str) -> str:
            return smap.get_target_for_object(self.bucket.object(name).uname).daemon_id

        listed = {entry.name for entry in self.bucket.list_all_objects()}
        for old, new, _ in self.moves:
            there = [name for name in (old, new) if name in listed]
            assert there, f"neither {old} nor {new} is there"
            assert len(there) == 1 or owner(old) != owner(new), f"{old} and {new} are both there"


class Mirrors(Work):
    """Mirrored objects: an acknowledged one has its copy."""

    def prepare(self) -> None:
        self.bucket.make_request(
            "PATCH", action="set-bprops", value={"mirror": {"enabled": True, "copies": 2}}
        )

    def once(self, number: int) -> None:
        self.put(f"{self.random.randrange(100):03}", self.content())

    def verify(self) -> None:
        super().verify()
        for name, allowed in self.may.items():
            if len(allowed) == 1:
                assert self.bucket.object(name).props.mirror_copies == 2, name


KINDS: list[type[Work]] = [Puts, Multiparts, Appends, Renames, Mirrors]


def settle(cluster: aistore.LocalCluster) -> None:
    """Waits until every target answers again."""
    deadline = time.monotonic() + 20
    while not cluster.client().cluster().is_ready():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("rounds", [ROUNDS, pytest.param(20 * ROUNDS, marks=pytest.mark.slow)])
def test_acknowledged_work_survives(own_cluster: aistore.LocalCluster, rounds: int) -> None:
    print(f"KILL_SEED={SEED}")
    source = random.Random(SEED)
    works = [kind(own_cluster.endpoint, SEED + at) for at, kind in enumerate(KINDS)]
    for _ in range(rounds):
        stop = threading.Event()
        threads = [threading.Thread(target=work.run, args=(stop,)) for work in works]
        for thread in threads:
            thread.start()
        for _ in range(2):
            time.sleep(source.uniform(0.05, 0.6))
            victim = source.randrange(TARGETS)
            own_cluster.kill_target(victim)
            own_cluster.restart_target(victim)
        stop.set()
        for thread in threads:
            thread.join(timeout=60)
            assert not thread.is_alive()
        settle(own_cluster)
        for work in works:
            work.verify()
    # The last word: everything down at once, and up again.
    for victim in range(TARGETS):
        own_cluster.kill_target(victim)
    for victim in range(TARGETS):
        own_cluster.restart_target(victim)
    settle(own_cluster)
    for work in works:
        work.verify()
        print(
            f"{type(work).__name__}: {work.acknowledged} acknowledged, {work.interrupted} interrupted"
        )
        assert work.acknowledged > rounds
