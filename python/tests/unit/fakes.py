"""A native client that lives in memory, for tests of what is above it."""

from __future__ import annotations

import ctypes
import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from aistore.sdk import request_client
from aistore.sdk.errors import from_native


@dataclass
class FakeResponse:
    status: int = 200
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    url: str = "http://fake"


@dataclass
class Sent:
    """A request as it reached the native client."""

    method: str
    path: str
    params: dict[str, str]
    headers: dict[str, str]
    body: bytes | None

    @property
    def json(self) -> Any:
        return json.loads(self.body or b"null")


def reply(
    body: Any = b"", status: int = 200, headers: dict[str, str] | None = None
) -> FakeResponse:
    """An answer; what is not bytes or text travels as JSON."""
    if isinstance(body, str):
        body = body.encode()
    elif not isinstance(body, bytes):
        body = json.dumps(body).encode()
    return FakeResponse(status, list((headers or {}).items()), body)


class FakeStream:
    def __init__(
        self, status: int, headers: list[tuple[str, str]], content: bytes, cut: int | None
    ) -> None:
        self.status, self.headers = status, headers
        self._content, self._cut, self._at = content, cut, 0

    def read(self, size: int = -1) -> bytes:
        end = len(self._content) if size < 0 else min(len(self._content), self._at + size)
        if self._cut is not None and end > self._cut:
            if self._at >= self._cut:
                raise from_native("truncated", None, "connection broke", "http://fake", "GET")
            end = self._cut
        part, self._at = self._content[self._at : end], end
        return part

    def next_chunk(self, max_bytes: int) -> bytes:
        return self.read(max_bytes)

    def close(self) -> None:
        pass


class FakeBatch:
    def __init__(self, items: list[tuple[int, bytes | None, str | None]]) -> None:
        self._items = items

    def next_many(self, max_entries: int) -> list[tuple[int, bytes | None, str | None]]:
        part, self._items = self._items[:max_entries], self._items[max_entries:]
        return part

    def close(self) -> None:
        pass


@dataclass
class FakeEntry:
    name: str
    size: int
    checksum: str = ""
    atime: str = ""
    version: str = ""
    location: str = ""
    copies: int = 0
    flags: int = 64
    object: Any = None


class FakeEntries(list[FakeEntry]):
    def bind(self, factory: Any) -> None:
        for entry in self:
            entry.object = factory(entry.name, entry.size)


class FakeNative:
    """Objects of all buckets by uname; `cuts` says after how many bytes the next streams break."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.versions: dict[str, int] = {}
        self.cuts: list[int | None] = []
        self.opened: list[str] = []
        self.batches: list[dict[str, Any]] = []
        self.gets: list[str] = []
        self.requests: list[Sent] = []
        self.answers: list[FakeResponse] = []
        self.sessions: dict[str, bytes] = {}
        self.uploads: list[tuple[str, int, int, dict[str, str]]] = []

    def request(
        self,
        method: str,
        path: str,
        params: Any = (),
        headers: Any = (),
        body: bytes | None = None,
        *,
        base_url: str | None = None,
        timeout: float | None = None,
    ) -> FakeResponse:
        """Keeps the request; gives the next of `answers`, else an empty one. Appends for real."""
        self.requests.append(Sent(method, path, dict(params), dict(headers), body))
        if "append_type" in dict(params):
            return self._append(path, dict(params), body or b"")
        return self.answers.pop(0) if self.answers else FakeResponse()

    def _append(self, path: str, params: dict[str, str], body: bytes) -> FakeResponse:
        bucket, _, name = path.removeprefix("/v1/objects/").partition("/")
        uname = f"ais/@#/{bucket}/{name}"
        if params["append_type"] == "flush":
            self.objects[uname] = self.sessions.pop(params["append_handle"])
            return FakeResponse()
        before = self.sessions.pop(params["append_handle"], self.objects.get(uname, b""))
        handle = f"h{len(self.requests)}"
        self.sessions[handle] = before + body
        return FakeResponse(headers=[("ais-append-handle", handle)])

    def put_multipart(
        self,
        bucket: str,
        name: str,
        content: str | bytes,
        part_size: int,
        concurrency: int,
        params: Any = (),
        progress: Any = None,
    ) -> FakeResponse:
        self.uploads.append((name, part_size, concurrency, dict(params)))
        if isinstance(content, str):
            return self.put_file(bucket, name, content, progress)
        return self.put(bucket, name, content)

    def put(
        self, bucket: str, name: str, body: bytes, params: Any = (), headers: Any = ()
    ) -> FakeResponse:
        number = dict(params).get("partNumber")
        self.objects[bucket + name + (f"#{number}" if number else "")] = body
        self.versions[bucket + name] = self.versions.get(bucket + name, 0) + 1
        return FakeResponse()

    def put_file(
        self, bucket: str, name: str, path: str, progress: Any = None, params: Any = ()
    ) -> FakeResponse:
        with open(path, "rb") as file:
            return self.put(bucket, name, file.read(), params)

    def put_many(self, bucket: str, items: Any, concurrency: int = 8, progress: Any = None) -> None:
        for name, content in items:
            if isinstance(content, bytes):
                self.put(bucket, name, content)
            else:
                self.put_file(bucket, name, content)

    def _find(self, bucket: str, name: str, method: str) -> bytes:
        content = self.objects.get(bucket + name)
        if content is None:
            text = f"t[x]: ais://{bucket.split('/')[2]}/{name} does not exist"
            raise from_native(
                "api", 404, text, "http://fake", method, "" if method == "HEAD" else text
            )
        return content

    def _headers(self, bucket: str, name: str, content: bytes) -> list[tuple[str, str]]:
        version = str(self.versions[bucket + name])
        return [
            ("Content-Length", str(len(content))),
            ("Ais-Version", version),
            ("ETag", f'"v{version}"'),
            ("Ais-Custom-Md", "a=1"),
            ("ais-custom-md", "b=2"),
        ]

    def head(self, bucket: str, name: str, params: Any = ()) -> FakeResponse:
        return FakeResponse(headers=self._headers(bucket, name, self._find(bucket, name, "HEAD")))

    def _ranged(self, content: bytes, headers: Any) -> tuple[int, bytes]:
        given = dict(headers).get("Range")
        if given is None:
            return 200, content
        first, _, last = given.removeprefix("bytes=").partition("-")
        if not first:
            return 206, content[-int(last) :]
        return 206, content[int(first) : int(last) + 1 if last else None]

    def get(self, bucket: str, name: str, params: Any = (), headers: Any = ()) -> Any:
        self.gets.append(name)
        status, part = self._ranged(self._find(bucket, name, "GET"), headers)
        return status, self._headers(bucket, name, part), part

    def get_into(
        self, bucket: str, name: str, address: int, length: int, offset: int = 0, parallel: int = 0
    ) -> int:
        part = self._find(bucket, name, "GET")[offset : offset + length]
        ctypes.memmove(address, part, len(part))
        return len(part)

    def open(self, bucket: str, name: str, params: Any = (), headers: Any = ()) -> FakeStream:
        self.opened.append(dict(headers).get("Range", ""))
        wanted = dict(headers).get("If-Match")
        if wanted not in {None, f'"v{self.versions[bucket + name]}"'}:
            raise from_native("api", 412, "etag mismatch", "http://fake", "GET", "")
        status, part = self._ranged(self._find(bucket, name, "GET"), headers)
        cut = self.cuts.pop(0) if self.cuts else None
        return FakeStream(status, self._headers(bucket, name, part), part, cut)

    def delete(self, bucket: str, name: str, params: Any = ()) -> FakeResponse:
        self._find(bucket, name, "DELETE")
        del self.objects[bucket + name]
        return FakeResponse()

    def list_all(
        self,
        bucket: str,
        prefix: str = "",
        props: str = "",
        flags: int = 0,
        start_after: str = "",
        page_size: int = 0,
    ) -> FakeEntries:
        names = sorted(
            u.removeprefix(bucket) for u in self.objects if u.startswith(bucket + prefix)
        )
        return FakeEntries(
            FakeEntry(n, len(self.objects[bucket + n])) for n in names if n > start_after
        )

    def list_page(
        self, bucket: str, message: str, headers: Any = ()
    ) -> tuple[str, str, int, FakeEntries]:
        asked = json.loads(message)
        every = self.list_all(
            bucket,
            asked["prefix"],
            start_after=asked["continuation_token"] or asked.get("start_after", ""),
        )
        size = asked["pagesize"] or 1000
        page = FakeEntries(every[:size])
        return "listing-1", page[-1].name if len(every) > size else "", 0, page

    def batch(self, default_bucket: str | None, request: str) -> FakeBatch:
        asked = json.loads(request)
        self.batches.append(asked)
        items: list[tuple[int, bytes | None, str | None]] = []
        for index, entry in enumerate(asked["in"]):
            path = (
                f"{entry['provider']}/@#/{entry['bucket']}/"
                if "bucket" in entry
                else default_bucket
            )
            content = self.objects.get(f"{path}{entry['objname']}")
            if content is None and not asked["coer"]:
                text = f"ais://{(path or '').split('/')[2]}/{entry['objname']} does not exist"
                raise from_native("api", 404, text, "http://fake", "GET", text)
            start = entry.get("start", 0)
            length = entry.get("length", 0)
            if content is not None and length > 0:
                content = content[start : start + length]
            items.append((index, content, None if content is not None else "does not exist"))
        return FakeBatch(items)

    def close(self) -> None:
        pass


@pytest.fixture
def native(monkeypatch: pytest.MonkeyPatch) -> FakeNative:
    """All clients of the test talk to this one."""
    fake = FakeNative()
    monkeypatch.setattr(request_client, "open_handle", lambda _settings: fake)
    return fake
