"""Reads of small objects that are in memory take a short way past the HTTP library: nobody may notice."""

from __future__ import annotations

import random
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from support import Wire

import aistore
from aistore.sdk import Bucket

LENGTH = re.compile(rb"^content-length: (\d+)\r$", re.IGNORECASE | re.MULTILINE)
DATE = re.compile(rb"^date: .*\r\n", re.MULTILINE)


class Connection:
    """One connection to a target, read an answer at a time."""

    def __init__(self, address: tuple[str, int], window: int = 0) -> None:
        self.socket = socket.socket()
        if window:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        self.socket.settimeout(30)
        self.socket.connect(address)
        self.arrived = b""

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.socket.sendall(piece)

    def _more(self, step: int) -> None:
        piece = self.socket.recv(step)
        assert piece, f"closed after {self.arrived[:200]!r}"
        self.arrived += piece

    def answer(self, method: str = "GET", step: int = 1 << 16) -> tuple[int, bytes, bytes]:
        """Status, head without its date, and body."""
        while b"\r\n\r\n" not in self.arrived:
            self._more(step)
        head, _, self.arrived = self.arrived.partition(b"\r\n\r\n")
        head += b"\r\n"
        length = LENGTH.search(head)
        size = int(length[1]) if length and method != "HEAD" else 0
        while len(self.arrived) < size:
            self._more(step)
        body, self.arrived = self.arrived[:size], self.arrived[size:]
        assert DATE.search(head), head
        return int(head.split()[1]), DATE.sub(b"", head), body

    def ask(self, request: bytes, method: str = "GET") -> tuple[int, bytes, bytes]:
        self.send(request)
        answer = self.answer(method)
        assert self.arrived == b""
        return answer


def request(path: str, *headers: str, method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *headers, "", ""]).encode()


class Target:
    """The target that has the bucket's objects."""

    def __init__(self, cluster: aistore.LocalCluster, bucket: Bucket) -> None:
        self.wire = Wire(cluster.endpoint)
        self.folder = f"/v1/objects/{bucket.name}/"
        location = self.wire.send("GET", f"{self.folder}x").header("location")
        assert location is not None
        url = urlsplit(location)
        assert url.hostname and url.port
        self.address = (url.hostname, url.port)

    @contextmanager
    def connection(self, window: int = 0) -> Iterator[Connection]:
        connection = Connection(self.address, window)
        with connection.socket:
            yield connection

    def put(self, name: str, body: bytes, *headers: str) -> bytes:
        """The request that puts an object, as a gateway's redirect has it."""
        location = self.wire.send("PUT", self.folder + name).header("location")
        assert location is not None
        url = urlsplit(location)
        return request(f"{url.path}?{url.query}", *headers, method="PUT") + body

    def quick(self) -> int:
        with urlopen("http://{}:{}/metrics".format(*self.address)) as answer:
            text = answer.read().decode()
        return int(text.split("\nais_quick_answers_total ")[1].split()[0])


@pytest.fixture(scope="module")
def cluster() -> Iterator[aistore.LocalCluster]:
    with aistore.LocalCluster(targets=1) as cluster:
        yield cluster


@pytest.fixture
def bucket(cluster: aistore.LocalCluster) -> Bucket:
    return aistore.sdk.Client(cluster.endpoint).bucket("b").create(exist_ok=True)


@pytest.fixture
def target(cluster: aistore.LocalCluster, bucket: Bucket) -> Target:
    return Target(cluster, bucket)


def test_the_short_way_and_the_long_one_say_the_same(target: Target, bucket: Bucket) -> None:
    plain, custom = bucket.object("plain"), bucket.object("dir//custom.txt")
    plain.get_writer().put_content(b"p" * 10_240)
    custom.get_writer().put_content(b"c")
    custom.get_writer().set_custom_props({"k": "ü"})
    for name in ("plain", "dir//custom.txt"):
        path = target.folder + name
        for query, method in [
            ("", "GET"),
            ("?provider=ais", "GET"),
            ("", "HEAD"),
            ("?props=checksum,atime,version,custom,location,copies,etag,chunked", "HEAD"),
            ("?provider=ais&props=name,size&presence=0", "HEAD"),
        ]:
            with target.connection() as connection:
                # Opens the object; any header that is not known by name goes the long way.
                known = request(path + query, method=method)
                other = request(path + query, "X-Other: 1", method=method)
                connection.ask(other, method)
                before = target.quick()
                long = connection.ask(other, method)
                assert target.quick() == before
                short = connection.ask(known, method)
                assert target.quick() == before + 1
                assert short[0] == long[0] == 200
                assert short[2] == long[2]
                assert sorted(short[1].splitlines()) == sorted(long[1].splitlines())


def test_requests_of_all_kinds_on_one_connection(target: Target, bucket: Bucket) -> None:
    rng = random.Random(11)
    contents: dict[str, bytes] = {}
    for n in range(8):
        contents[f"o{n}"] = rng.randbytes(rng.choice([1, 100, 10_240, 32_768, 40_000]))
        bucket.object(f"o{n}").get_writer().put_content(contents[f"o{n}"])
    before = target.quick()
    for _ in range(6):
        with target.connection() as connection:
            for _ in range(60):
                name = f"o{rng.randrange(8)}"
                path = target.folder + name
                kind = rng.randrange(9)
                if kind == 0:
                    body = rng.randbytes(rng.choice([1, 5000, 20_000, 70_000]))
                    put = target.put(name, body, f"Content-Length: {len(body)}")
                    cut = rng.randrange(len(put))
                    connection.send(put[:cut], put[cut:])
                    assert connection.answer()[0] == 200
                    contents[name] = body
                elif kind == 1:
                    assert connection.ask(request(path + "-absent"))[0] == 404
                elif kind == 2:
                    status, _, body = connection.ask(request(path, "Range: bytes=0-4"))
                    assert (status, body) == (206, contents[name][:5])
                elif kind == 3:
                    status, head, _ = connection.ask(request(path, method="HEAD"), "HEAD")
                    length = LENGTH.search(head)
                    assert status == 200 and length
                    assert int(length[1]) == len(contents[name])
                else:
                    status, _, body = connection.ask(request(path))
                    assert status == 200 and body == contents[name]
    # Half and more are plain reads.
    assert target.quick() - before > 120


@pytest.mark.parametrize("size", [10_240, 900_000], ids=["copied", "from the file"])
def test_a_connection_changes_hands_again_and_again(
    target: Target, bucket: Bucket, size: int
) -> None:
    rng = random.Random(size)
    data = rng.randbytes(size)
    bucket.object("o").get_writer().put_content(data)
    get = request(target.folder + "o")
    for window in (0, 2048):
        with target.connection(window) as connection:
            # The HTTP library is left after some reads that did not need it, and called back by what does.
            for reads in (1, 15, 16, 17, 40, 16, 3):
                body = rng.randbytes(rng.choice([1, 70_000]))
                connection.send(target.put("p", body, f"Content-Length: {len(body)}"))
                assert connection.answer()[0] == 200
                for _ in range(reads):
                    assert connection.ask(get)[2] == data
                assert connection.ask(request(target.folder + "p"))[2] == body
                # Several at once are the library's again, wherever it is at that moment.
                count = rng.randrange(2, 5)
                connection.send(get * count + get[:10], get[10:])
                for _ in range(count + 1):
                    assert connection.answer()[2] == data
                assert connection.arrived == b""


def test_what_cannot_be_told_apart_goes_the_long_way(target: Target, bucket: Bucket) -> None:
    data = b"d" * 3000
    bucket.object("o").get_writer().put_content(data)
    get = request(target.folder + "o")
    chunked = target.put("new", b"3\r\nabc\r\n0\r\n\r\n", "Transfer-Encoding: chunked")
    for pieces, answers in [
        # Several at once, a head in two pieces, and a body whose end only the HTTP library finds.
        ([get * 5], 5),
        ([get[:20], get[20:]], 1),
        ([get + get[:20], get[20:]], 2),
        ([chunked + get], 2),
    ]:
        with target.connection() as connection:
            assert connection.ask(get)[2] == data
            for piece in pieces:
                connection.send(piece)
            got = [connection.answer() for _ in range(answers)]
            assert [status for status, _, _ in got] == [200] * answers
            assert got[-1][2] == data
            assert connection.ask(get)[2] == data


@pytest.mark.parametrize("size", [30_000, 900_000], ids=["copied", "from the file"])
def test_slow_readers_get_every_byte_of_many_answers(
    target: Target, bucket: Bucket, size: int
) -> None:
    data = random.Random(3).randbytes(size)
    bucket.object("slow").get_writer().put_content(data)
    get = request(target.folder + "slow")
    with target.connection(window=2048) as connection:
        before = target.quick()
        for _ in range(20):
            connection.send(get)
            assert connection.answer(step=size // 40)[2] == data
        assert target.quick() > before + 10
    # A client that sends the next before it has read the last.
    with target.connection(window=2048) as connection:
        for _ in range(20):
            connection.send(get)
        for _ in range(20):
            assert connection.answer(step=5000)[2] == data


def test_a_change_is_seen_by_the_next_read(target: Target, bucket: Bucket) -> None:
    obj = bucket.object("changing")
    get = request(target.folder + "changing")
    with target.connection() as connection:
        for version in range(20):
            obj.get_writer().put_content(b"%d" % version)
            for _ in range(2):
                assert connection.ask(get)[2] == b"%d" % version
        obj.delete()
        assert connection.ask(get)[0] == 404


def test_a_bucket_that_verifies_reads_is_read_the_long_way(target: Target) -> None:
    client = aistore.sdk.Client(target.wire.endpoint)
    bucket = client.bucket("verified").create(exist_ok=True)
    target.wire.send(
        "PATCH",
        "/v1/buckets/verified",
        action={"action": "set-bprops", "value": {"checksum": {"validate_warm_get": True}}},
    )
    bucket.object("o").get_writer().put_content(b"x")
    before = target.quick()
    with target.connection() as connection:
        for _ in range(3):
            assert connection.ask(request("/v1/objects/verified/o"))[2] == b"x"
    assert target.quick() == before
