"""Random sequences of all object and bucket verbs, against the server and against a plain model in memory.

    MODEL_SEED=7 MODEL_STEPS=100000 MODEL_SECONDS=3600 pytest python/tests/e2e/test_model.py

The seed is printed; the last steps before a difference are part of the failure's message.
"""

from __future__ import annotations

import collections
import os
import random
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from support import Wire

import aistore
from aistore.sdk import Bucket, Client, ListObjectFlag
from aistore.sdk.errors import AISError

SEED = int(os.environ.get("MODEL_SEED", random.SystemRandom().randrange(1 << 32)))
STEPS = int(os.environ.get("MODEL_STEPS", "20000"))
WITHOUT = os.environ.get("MODEL_WITHOUT", "").split(",")
SECONDS = float(os.environ.get("MODEL_SECONDS", "40"))
BUCKETS = ["m-a", "m-b", "m-c"]
NAMES = [
    "a", "a/b", "a/b/c", "a//b", "b", "b/1", "b/2", "c/x/1", "c/x/2", "c/y", "sp ace", "per%cent", "ü/日本", "q?u#e&s=t+",
    "n" * 300, "z",
]  # fmt: skip


@dataclass
class Entry:
    """One object of the model; None for what the protocol leaves open."""

    content: bytes
    version: int | None = 1
    custom: dict[str, str] | None = field(default_factory=dict)


def dirs_and_names(names: list[str], prefix: str) -> list[str]:
    """A listing without recursion, for prefixes that are empty or end in a slash."""
    found = set()
    for name in names:
        if name.startswith(prefix):
            head, slash, _ = name[len(prefix) :].partition("/")
            found.add(prefix + head + slash)
    return sorted(found, key=str.encode)


class Model:
    """The server and what it should hold."""

    def __init__(self, client: Client, endpoint: str, seed: int, tag: str) -> None:
        self.random = random.Random(seed)
        self.client = client
        self.wire = Wire(endpoint)
        self.tag = tag
        self.held: dict[str, dict[str, Entry]] = {}
        self.log: collections.deque[str] = collections.deque(maxlen=30)
        self.verbs: list[tuple[int, Callable[[], None]]] = [
            (20, self.put), (3, self.put_if_absent), (20, self.get), (8, self.get_range), (8, self.head), (10, self.delete),
            (6, self.list_all), (4, self.list_pages), (4, self.list_directories), (3, self.list_after),
            (1, self.create_bucket), (1, self.destroy_bucket), (2, self.bad_requests),
            (6, self.set_custom), (5, self.rename), (5, self.copy), (5, self.append), (5, self.multipart),
        ]  # fmt: skip
        self.verbs = [(weight, verb) for weight, verb in self.verbs if verb.__name__ not in WITHOUT]

    # -- choosing

    def bucket(self) -> tuple[str, Bucket]:
        name = self.random.choice(BUCKETS)
        return name, self.client.bucket(f"{name}-{self.tag}")

    def content(self) -> bytes:
        size = self.random.choice([0, 1, 100, 4096, 65_536, 65_537, 300_000])
        return self.random.randbytes(size)

    def held_name(self, bucket: str) -> str:
        """A name, more often than not one that is there."""
        there = sorted(self.held.get(bucket, {}))
        return self.random.choice(there if there and self.random.random() < 0.75 else NAMES)

    def note(self, *words: object) -> None:
        self.log.append(
            " ".join(str(word) if len(str(word)) < 60 else f"{str(word)[:57]}..." for word in words)
        )

    def expect(self, status: int, call: Callable[[], object]) -> None:
        try:
            call()
        except AISError as exc:
            assert exc.status_code == status, exc
        else:
            raise AssertionError(f"{status} expected, but the call succeeded")

    # -- verbs

    def step(self) -> None:
        weights = [weight for weight, _ in self.verbs]
        self.random.choices([verb for _, verb in self.verbs], weights)[0]()

    def create_bucket(self) -> None:
        name, bucket = self.bucket()
        self.note("create", name)
        if name in self.held:
            self.expect(409, bucket.create)
        else:
            bucket.create()
            self.held[name] = {}

    def destroy_bucket(self) -> None:
        name, bucket = self.bucket()
        if len(self.held) < 2:
            return
        self.note("destroy", name)
        if self.held.pop(name, None) is None:
            self.expect(404, bucket.delete)
        else:
            bucket.delete()

    def put(self) -> None:
        (name, bucket), content = self.bucket(), self.content()
        obj = self.random.choice(NAMES)
        self.note("put", name, obj, len(content))
        write = bucket.object(obj).get_writer().put_content
        if name not in self.held:
            self.expect(404, lambda: write(content))
            return
        write(content)
        self.replaced(name, obj, content)

    def replaced(self, bucket: str, obj: str, content: bytes) -> None:
        before = self.held[bucket].get(obj)
        version = 1 if before is None else None if before.version is None else before.version + 1
        self.held[bucket][obj] = Entry(content, version)

    def put_if_absent(self) -> None:
        (name, bucket), content = self.bucket(), self.content()
        obj = self.held_name(name)
        if name not in self.held:
            return
        self.note("put if absent", name, obj, len(content))
        path = bucket.object(obj).get_url().partition("?")[0].partition("/v1/")[2]
        answer = self.wire.follow(
            "PUT", f"/v1/{path}", body=content, headers={"If-None-Match": "*"}
        )
        if obj in self.held[name]:
            assert answer.status == 412, answer
        else:
            assert answer.status == 200, answer
            self.replaced(name, obj, content)

    def get(self) -> None:
        name, bucket = self.bucket()
        obj = self.held_name(name)
        self.note("get", name, obj)
        entry = self.held.get(name, {}).get(obj)
        read = bucket.object(obj).get_reader(direct=self.random.random() < 0.2).read_all
        if entry is None:
            self.expect(404, read)
        else:
            got = read()
            assert got == entry.content, f"{len(got)} bytes, crc {zlib.crc32(got):08x} of {obj}"

    def get_range(self) -> None:
        name, bucket = self.bucket()
        obj = self.held_name(name)
        entry = self.held.get(name, {}).get(obj)
        if entry is None or not entry.content:
            return
        first = self.random.randrange(len(entry.content))
        last = first + self.random.choice([0, 1, 1000, 100_000])
        self.note("range", name, obj, first, last)
        got = bucket.object(obj).get_reader(byte_range=f"bytes={first}-{last}").read_all()
        assert got == entry.content[first : last + 1]

    def head(self) -> None:
        name, bucket = self.bucket()
        obj = self.held_name(name)
        self.note("head", name, obj)
        entry = self.held.get(name, {}).get(obj)
        if entry is None:
            self.expect(404, lambda: bucket.object(obj).props)
            return
        self.check(bucket, obj, entry)

    def check(self, bucket: Bucket, obj: str, entry: Entry) -> None:
        props = bucket.object(obj).props
        assert props.size == len(entry.content)
        assert entry.version is None or props.obj_version == str(entry.version)
        assert entry.custom is None or props.custom_metadata == entry.custom

    def delete(self) -> None:
        name, bucket = self.bucket()
        obj = self.held_name(name)
        self.note("delete", name, obj)
        if self.held.get(name, {}).pop(obj, None) is None:
            self.expect(404, bucket.object(obj).delete)
        else:
            bucket.object(obj).delete()

    def set_custom(self) -> None:
        name, bucket = self.bucket()
        obj = self.held_name(name)
        entry = self.held.get(name, {}).get(obj)
        replace = self.random.random() < 0.5
        change = {self.random.choice("klm"): str(self.random.randrange(1000)) for _ in range(2)}
        self.note("custom", name, obj, change, replace)
        write = bucket.object(obj).get_writer().set_custom_props
        if entry is None:
            self.expect(404, lambda: write(change, replace_existing=replace))
            return
        write(change, replace_existing=replace)
        if replace:
            entry.custom = change
        elif entry.custom is not None:
            entry.custom = entry.custom | change

    def rename(self) -> None:
        name, bucket = self.bucket()
        old, new = self.held_name(name), self.random.choice(NAMES)
        self.note("rename", name, old, new)
        path = bucket.object(old).get_url().partition("?")[0].partition("/v1/")[2]
        answer = self.wire.follow(
            "POST", f"/v1/{path}", action={"action": "rename-obj", "name": new}
        )
        entry = self.held.get(name, {}).get(old)
        if old == new:
            assert answer.status == (404 if name not in self.held else 400), answer
        elif entry is None:
            assert answer.status == 404, answer
        else:
            assert answer.status == 200, answer
            del self.held[name][old]
            self.held[name][new] = Entry(entry.content, None, entry.custom)

    def copy(self) -> None:
        (source, from_bucket), (dest, to_bucket) = self.bucket(), self.bucket()
        old, new = self.held_name(source), self.random.choice(NAMES)
        self.note("copy", source, old, dest, new)
        entry = self.held.get(source, {}).get(old)
        run = lambda: from_bucket.object(old).copy(to_bucket.object(new))  # noqa: E731
        if entry is None or dest not in self.held:
            self.expect(404, run)
            return
        run()
        if (source, old) != (dest, new):
            custom = None if entry.custom is None else dict(entry.custom)
            self.held[dest][new] = Entry(entry.content, entry.version, custom)

    def append(self) -> None:
        name, bucket = self.bucket()
        if name not in self.held:
            return
        obj = self.held_name(name)
        pieces = [self.content() for _ in range(self.random.randrange(1, 4))]
        self.note("append", name, obj, [len(piece) for piece in pieces])
        writer, handle = bucket.object(obj).get_writer(), ""
        for piece in pieces:
            handle = writer.append_content(piece, handle=handle)
        if self.random.random() < 0.1:
            return  # Never flushed: nothing may change.
        writer.append_content(b"", handle=handle, flush=True)
        before = self.held[name].get(obj)
        old = before.content if before else b""
        self.held[name][obj] = Entry(old + b"".join(pieces), None, None)

    def multipart(self) -> None:
        name, bucket = self.bucket()
        if name not in self.held:
            return
        obj = self.random.choice(NAMES)
        parts = [self.content() or b"x" for _ in range(self.random.randrange(1, 5))]
        order = self.random.sample(range(len(parts)), len(parts))
        end = self.random.choice(["complete", "complete", "complete", "abort"])
        self.note("multipart", name, obj, [len(part) for part in parts], order, end)
        upload = bucket.object(obj).multipart_upload().create()
        for at in order:
            if self.random.random() < 0.1:
                self.send_part(bucket, obj, upload.upload_id, at + 1, b"replaced later")
            upload.add_part(at + 1).put_content(parts[at])
        if end == "abort":
            upload.abort()
            return
        upload.complete()
        self.replaced(name, obj, b"".join(parts))

    def send_part(self, bucket: Bucket, obj: str, upload: str, number: int, body: bytes) -> None:
        path = bucket.object(obj).get_url().partition("?")[0].partition("/v1/")[2]
        answer = self.wire.follow(
            "PUT", f"/v1/{path}", body=body, uploadId=upload, partNumber=str(number)
        )
        assert answer.status == 200, answer

    # -- listings

    def listed(self) -> tuple[Bucket, dict[str, Entry]] | None:
        name, bucket = self.bucket()
        if name not in self.held:
            self.expect(404, bucket.list_objects)
            return None
        return bucket, self.held[name]

    def list_all(self) -> None:
        if found := self.listed():
            bucket, held = found
            prefix = self.random.choice(["", "a", "a/", "b", "c/x", "ü", "none"])
            self.note("list", bucket.name, prefix)
            entries = bucket.list_all_objects(prefix=prefix, props="name,size,version,checksum")
            wanted = sorted((n for n in held if n.startswith(prefix)), key=str.encode)
            assert [entry.name for entry in entries] == wanted
            for entry in entries:
                assert entry.size == len(held[entry.name].content)
                version = held[entry.name].version
                assert version is None or entry.version == str(version)

    def list_pages(self) -> None:
        if found := self.listed():
            bucket, held = found
            size = self.random.randrange(1, 8)
            self.note("pages", bucket.name, size)
            names = [entry.name for entry in bucket.list_objects_iter(page_size=size)]
            assert names == sorted(held, key=str.encode)

    def list_directories(self) -> None:
        if found := self.listed():
            bucket, held = found
            prefix = self.random.choice(["", "a/", "c/", "c/x/"])
            self.note("directories", bucket.name, prefix)
            entries = bucket.list_all_objects(prefix=prefix, flags=[ListObjectFlag.NO_RECURSION])
            assert [entry.name for entry in entries] == dirs_and_names(list(held), prefix)

    def list_after(self) -> None:
        if found := self.listed():
            bucket, held = found
            after = self.random.choice(NAMES)
            self.note("after", bucket.name, after)
            names = [entry.name for entry in bucket.list_all_objects(start_after=after)]
            assert names == sorted((n for n in held if n.encode() > after.encode()), key=str.encode)

    def bad_requests(self) -> None:
        name, bucket = self.bucket()
        if name not in self.held:
            return
        self.note("bad", name)
        self.expect(400, lambda: bucket.list_objects(prefix="a/../b"))
        answer = self.wire.follow("PUT", f"/v1/objects/{bucket.name}/bad/", body=b"x")
        assert answer.status == 400, answer
        entry = self.held[name].get("a")
        if entry:
            beyond = f"bytes={len(entry.content)}-"
            self.expect(416, bucket.object("a").get_reader(byte_range=beyond).read_all)

    def check_everything(self) -> None:
        """The server holds what the model holds, byte for byte."""
        found = {bucket.name for bucket in self.client.cluster().list_buckets()}
        for name in BUCKETS:
            bucket = self.client.bucket(f"{name}-{self.tag}")
            assert (bucket.name in found) == (name in self.held)
            held = self.held.get(name, {})
            for obj, entry in held.items():
                assert bucket.object(obj).get_reader().read_all() == entry.content, obj
                self.check(bucket, obj, entry)
            if name in self.held:
                assert [e.name for e in bucket.list_all_objects()] == sorted(held, key=str.encode)

    def clean(self) -> None:
        for name in BUCKETS:
            self.client.bucket(f"{name}-{self.tag}").delete(missing_ok=True)


def test_the_server_is_the_model(cluster: aistore.LocalCluster, client: Client) -> None:
    print(f"MODEL_SEED={SEED}")
    model = Model(client, cluster.endpoint, SEED, f"{SEED:x}")
    deadline, step = time.monotonic() + SECONDS, 0
    try:
        model.create_bucket()
        while step < STEPS and time.monotonic() < deadline:
            model.step()
            step += 1
        model.note("everything")
        model.check_everything()
    except (AssertionError, AISError) as exc:
        steps = "\n  ".join(model.log)
        pytest.fail(f"MODEL_SEED={SEED}, step {step}: {exc!r}\nlast steps:\n  {steps}")
    finally:
        model.clean()
    print(f"{step} steps")
