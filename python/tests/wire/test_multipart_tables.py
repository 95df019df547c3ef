"""Native multipart upload: each step in its good and bad forms."""

from __future__ import annotations

import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from support import Wire

from aistore.sdk import Bucket

MIB = 1 << 20


class Upload:
    """One upload, by hand."""

    def __init__(self, wire: Wire, bucket: str, name: str = "dir/o") -> None:
        self.wire, self.path = wire, f"/v1/objects/{bucket}/{name}"
        answer = wire.follow("POST", self.path, action={"action": "mpt-upload"})
        assert answer.status == 200, answer
        assert answer.header("content-length") == str(len(answer.body))
        self.id = answer.body.decode()

    def part(self, number: Any, body: bytes, **headers: str) -> Any:
        return self.wire.follow(
            "PUT", self.path, body=body, headers=headers, uploadId=self.id, partNumber=str(number)
        )

    def complete(self, numbers: Any) -> Any:
        value = None if numbers is None else [{"etag": "", "part-number": n} for n in numbers]
        action = {"action": "mpt-complete", "value": value}
        return self.wire.follow("POST", self.path, action=action, uploadId=self.id)

    def abort(self) -> Any:
        return self.wire.follow(
            "DELETE", self.path, action={"action": "mpt-abort"}, uploadId=self.id
        )


@pytest.fixture
def upload(wire: Wire, bucket: Bucket) -> Upload:
    return Upload(wire, bucket.name)


def test_ids(upload: Upload) -> None:
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{8,127}", upload.id)


def test_every_step_redirects(wire: Wire, upload: Upload) -> None:
    steps = [
        ("POST", {"action": {"action": "mpt-upload"}}),
        ("PUT", {"body": b"x", "uploadId": upload.id, "partNumber": "1"}),
        ("POST", {"action": {"action": "mpt-complete", "value": []}, "uploadId": upload.id}),
        ("DELETE", {"action": {"action": "mpt-abort"}, "uploadId": upload.id}),
    ]
    for method, options in steps:
        assert wire.send(method, upload.path, **options).status == 307


def test_parts_in_any_order_become_one_object_at_once(wire: Wire, upload: Upload) -> None:
    wire.follow("PUT", upload.path, body=b"the old one")
    parts = {n: bytes([n]) * (MIB + n) for n in range(1, 6)}
    for n in (4, 2, 5, 1, 3):
        answer = upload.part(n, parts[n])
        assert (answer.status, answer.body, answer.header("etag")) == (200, b"", None)
        assert wire.follow("GET", upload.path).body == b"the old one"
    done = upload.complete([3, 1, 2, 5, 4])
    assert (done.status, done.body) == (200, b"")
    whole = b"".join(parts.values())
    got = wire.follow("GET", upload.path)
    assert hashlib.md5(got.body).digest() == hashlib.md5(whole).digest()
    assert got.header("ais-version") == "2"
    assert got.header("ais-checksum-type") == "crc32c"
    head = wire.follow("HEAD", upload.path, props="chunked,size,checksum")
    assert head.header("ais-chunks-count") == "5"
    assert head.header("ais-chunks-max-chunk-size") == str(MIB + 5)
    assert head.header("content-length") == str(len(whole))
    for first, last in (
        (0, 0),
        (MIB, MIB + 1),
        (MIB - 5, 3 * MIB),
        (len(whole) - 1, len(whole) - 1),
    ):
        part = wire.follow("GET", upload.path, headers={"Range": f"bytes={first}-{last}"})
        assert (part.status, part.body) == (206, whole[first : last + 1])


def test_parts_in_order_give_the_buckets_checksum(wire: Wire, bucket: Bucket) -> None:
    patch = {"action": "set-bprops", "value": {"checksum": {"type": "md5"}}}
    assert wire.send("PATCH", f"/v1/buckets/{bucket.name}", action=patch).status == 200
    upload = Upload(wire, bucket.name)
    parts = [b"a" * 1000, b"b" * 2000, b"c"]
    for n, part in enumerate(parts, 1):
        upload.part(n, part)
    assert upload.complete([1, 2, 3]).status == 200
    got = wire.follow("GET", upload.path)
    assert got.header("ais-checksum-type") == "md5"
    assert got.header("ais-checksum-value") == hashlib.md5(b"".join(parts)).hexdigest()


def test_parts_in_parallel(wire: Wire, bucket: Bucket) -> None:
    upload = Upload(wire, bucket.name, "parallel")
    parts = [bytes([n]) * 300_000 for n in range(1, 33)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: upload.part(n, parts[n - 1]).status, range(32, 0, -1)))
    assert answers == [200] * 32
    assert upload.complete(range(1, 33)).status == 200
    assert wire.follow("GET", upload.path).body == b"".join(parts)


def test_a_part_sent_again_replaces_the_first(wire: Wire, upload: Upload) -> None:
    upload.part(1, b"first")
    upload.part(2, b"end")
    upload.part(1, b"second try")
    assert upload.complete([1, 2]).status == 200
    assert wire.follow("GET", upload.path).body == b"second tryend"


@pytest.mark.parametrize(
    ("number", "status"), [("x", 400), ("", 400), ("1.5", 400), (0, 500), (-1, 500), (10_000, 500)]
)
def test_bad_part_numbers(upload: Upload, number: Any, status: int) -> None:
    assert upload.part(number, b"x").status == status


def test_the_last_part_number_is_9999(upload: Upload) -> None:
    assert upload.part(9999, b"x").status == 200


def test_parts_need_a_length_above_zero(wire: Wire, upload: Upload) -> None:
    empty = upload.part(1, b"")
    assert (empty.status, "put-part invalid size" in empty.json()["message"]) == (400, True)
    first = wire.send("PUT", upload.path, uploadId=upload.id, partNumber="1")
    location = first.header("location") or ""
    from http.client import HTTPConnection
    from urllib.parse import urlsplit

    there = urlsplit(location)
    connection = HTTPConnection(there.hostname or "", there.port, timeout=10)
    connection.request(
        "PUT",
        f"{there.path}?{there.query}",
        iter([b"abc"]),
        encode_chunked=True,
        headers={"Transfer-Encoding": "chunked"},
    )
    assert connection.getresponse().status == 400
    connection.close()


def test_checksums_of_parts_are_ignored_but_not_the_one_of_s3(upload: Upload) -> None:
    wrong = {"Ais-Checksum-Type": "md5", "Ais-Checksum-Value": "0" * 32}
    assert upload.part(1, b"abc", **wrong).status == 200
    right = hashlib.sha256(b"abc").hexdigest()
    assert upload.part(1, b"abc", **{"x-amz-content-sha256": right}).status == 200
    assert upload.part(1, b"abc", **{"x-amz-content-sha256": "UNSIGNED-PAYLOAD"}).status == 200
    assert upload.part(1, b"abc", **{"x-amz-content-sha256": "0" * 64}).status == 400


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ([1], "partial completion is not allowed: requested 1 parts, have 2"),
        ([1, 2, 3], "partial completion"), ([1, 1], None), ([1, 3], None), ([], None), (None, None), ([0, 1], None),
    ],
)  # fmt: skip
def test_bad_completions_leave_the_upload(
    wire: Wire, upload: Upload, numbers: Any, text: str | None
) -> None:
    upload.part(1, b"a")
    upload.part(2, b"b")
    refused = upload.complete(numbers)
    assert refused.status == 400
    assert text is None or text in refused.json()["message"]
    assert wire.follow("HEAD", upload.path).status == 404
    assert upload.complete([2, 1]).status == 200
    assert wire.follow("GET", upload.path).body == b"ab"


def test_gaps_and_nothing_at_all(upload: Upload) -> None:
    nothing = upload.complete([1])
    assert nothing.status == 400
    upload.part(1, b"a")
    upload.part(3, b"c")
    assert upload.complete([1, 3]).status == 400


def test_unknown_uploads_are_404(wire: Wire, upload: Upload) -> None:
    upload.part(1, b"a")
    assert upload.complete([1]).status == 200
    for answer in (upload.part(2, b"b"), upload.complete([1]), upload.abort()):
        assert answer.status == 404
    upload.id = "Xabsent123"
    for answer in (upload.part(1, b"b"), upload.complete([1]), upload.abort()):
        assert answer.status == 404


@pytest.mark.parametrize("bad", ["short", "with space9", "x" * 129, "sla/sh/es9"])
def test_malformed_ids_cannot_be_aborted(upload: Upload, bad: str) -> None:
    upload.id = bad
    assert upload.abort().status == 400


def test_abort_forgets_the_parts(wire: Wire, upload: Upload) -> None:
    wire.follow("PUT", upload.path, body=b"old")
    upload.part(1, b"a")
    aborted = upload.abort()
    assert (aborted.status, aborted.body) == (200, b"")
    assert upload.abort().status == 404
    assert wire.follow("GET", upload.path).body == b"old"


def test_uploads_of_one_name_do_not_mix(wire: Wire, bucket: Bucket) -> None:
    one, two = Upload(wire, bucket.name), Upload(wire, bucket.name)
    assert one.id != two.id
    one.part(1, b"one")
    two.part(1, b"two")
    assert one.complete([1]).status == 200
    assert wire.follow("GET", one.path).body == b"one"
    assert two.complete([1]).status == 200
    assert wire.follow("GET", one.path).body == b"two"
    assert wire.follow("HEAD", one.path).header("ais-version") == "2"


def test_missing_buckets_and_bad_names(wire: Wire, bucket: Bucket) -> None:
    start = {"action": "mpt-upload"}
    assert wire.follow("POST", "/v1/objects/no-such-b/o", action=start).status == 404
    assert wire.follow("POST", f"/v1/objects/{bucket.name}/a/", action=start).status == 400


def test_chunked_objects_behave_like_others(wire: Wire, bucket: Bucket, upload: Upload) -> None:
    for n in (2, 1):
        upload.part(n, bytes([n]) * 1000)
    assert upload.complete([1, 2]).status == 200
    listing = {"action": "list", "value": {"props": "name,size,checksum"}}
    (entry,) = wire.send("GET", f"/v1/buckets/{bucket.name}", action=listing).json()["entries"]
    assert entry["size"] == "2000"
    assert entry["flags"] & 8192
    assert wire.follow("PUT", upload.path, body=b"plain").status == 200
    assert wire.follow("HEAD", upload.path, props="chunked").header("ais-chunks-count") is None
    assert wire.follow("DELETE", upload.path).status == 200
    assert wire.follow("GET", upload.path).status == 404
