"""Uploads in several parts, as any HTTP client meets them."""

from __future__ import annotations

import hashlib
import random
from typing import Any

import pytest
from support import Answer, Wire, stored_blobs, wait_until

import aistore
from aistore.sdk import Bucket

SIZES = [300_000, 1, 70_000]
PIECES = [random.Random(size).randbytes(size) for size in SIZES]


@pytest.fixture
def path(bucket: Bucket) -> str:
    return f"/v1/objects/{bucket.name}/dir/big"


def start(wire: Wire, path: str) -> str:
    answer = wire.follow("POST", path, action={"action": "mpt-upload"})
    assert answer.status == 200, answer.body
    upload = answer.body.decode()
    assert answer.header("content-length") == str(len(upload))
    assert 9 <= len(upload) <= 128
    assert upload[0].isalpha()
    return upload


def part(wire: Wire, path: str, upload: str, number: Any, body: bytes, **options: Any) -> Answer:
    return wire.follow("PUT", f"{path}?uploadId={upload}&partNumber={number}", body=body, **options)


def complete(wire: Wire, path: str, upload: str, numbers: list[int] | None) -> Answer:
    listed = None
    if numbers is not None:
        listed = [{"etag": "", "part-number": number} for number in numbers]
    action = {"action": "mpt-complete", "value": listed}
    return wire.follow("POST", f"{path}?uploadId={upload}", action=action)


def abort(wire: Wire, path: str, upload: str) -> Answer:
    return wire.follow("DELETE", f"{path}?uploadId={upload}", action={"action": "mpt-abort"})


def test_parts_in_any_order_become_one_object(wire: Wire, path: str) -> None:
    assert wire.follow("PUT", path, body=b"old").status == 200
    upload = start(wire, path)
    for number in (3, 1, 2, 1):
        answer = part(wire, path, upload, number, PIECES[number - 1])
        assert (answer.status, answer.body, answer.header("etag")) == (200, b"", None)
        assert wire.follow("GET", path).body == b"old"
    done = complete(wire, path, upload, [2, 1, 3])
    assert (done.status, done.body) == (200, b"")

    whole = b"".join(PIECES)
    answer = wire.follow("GET", path)
    assert answer.body == whole
    assert answer.header("ais-checksum-type") == "crc32c"
    assert answer.header("ais-version") == "2"
    at = SIZES[0] - 5
    ranged = wire.follow("GET", path, headers={"Range": f"bytes={at}-{at + 9}"})
    assert (ranged.status, ranged.body) == (206, whole[at : at + 10])
    head = wire.follow("HEAD", f"{path}?props=chunked,size")
    assert head.header("content-length") == str(len(whole))
    assert head.header("ais-chunks-count") == "3"
    assert head.header("ais-chunks-max-chunk-size") == "300000"
    for gone in (
        complete(wire, path, upload, [1, 2, 3]),
        part(wire, path, upload, 1, b"x"),
        abort(wire, path, upload),
    ):
        assert gone.status == 404


def test_parts_in_order_have_the_checksum_of_the_bucket(wire: Wire, path: str) -> None:
    upload = start(wire, path)
    for number, piece in enumerate(PIECES, start=1):
        part(wire, path, upload, number, piece)
    assert complete(wire, path, upload, [1, 2, 3]).status == 200
    answer = wire.follow("GET", path)
    assert answer.body == b"".join(PIECES)
    assert answer.header("ais-checksum-type") == "xxhash2"
    plain = wire.follow("PUT", path + "-plain", body=answer.body)
    assert plain.header("ais-checksum-value") == answer.header("ais-checksum-value")


def test_the_wrong_parts_are_refused(wire: Wire, path: str) -> None:
    upload = start(wire, path)
    none = complete(wire, path, upload, [])
    assert none.status == 400
    assert b"no chunks" in none.body
    part(wire, path, upload, 1, b"a")
    part(wire, path, upload, 3, b"c")
    few = complete(wire, path, upload, [1])
    assert few.status == 400
    assert b"partial completion is not allowed: requested 1 parts, have 2" in few.body
    for numbers in ([1, 3], [1, 1], [1, 2], None):
        assert complete(wire, path, upload, numbers).status == 400, numbers
    assert wire.follow("GET", path).status == 404
    assert abort(wire, path, upload).status == 200
    assert abort(wire, path, upload).status == 404
    assert complete(wire, path, upload, [1, 3]).status == 404


@pytest.mark.parametrize(
    ("number", "status"), [("x", 400), ("", 400), ("0", 500), ("-1", 500), ("10000", 500)]
)
def test_part_numbers(wire: Wire, path: str, number: str, status: int) -> None:
    answer = part(wire, path, start(wire, path), number, b"x")
    assert answer.status == status, answer.body
    if status == 500:
        assert b"invalid chunk number" in answer.body


def test_a_part_needs_bytes_and_the_announced_ones(wire: Wire, path: str) -> None:
    upload = start(wire, path)
    empty = part(wire, path, upload, 1, b"")
    assert empty.status == 400
    assert b"put-part invalid size" in empty.body
    header = "x-amz-content-sha256"
    wrong = part(wire, path, upload, 1, b"abc", headers={header: "0" * 64})
    assert wrong.status == 400
    right = {header: hashlib.sha256(b"abc").hexdigest()}
    assert part(wire, path, upload, 1, b"abc", headers=right).status == 200
    unsigned = {header: "UNSIGNED-PAYLOAD", "Ais-Checksum-Type": "md5", "Ais-Checksum-Value": "0"}
    assert part(wire, path, upload, 1, b"abd", headers=unsigned).status == 200
    assert complete(wire, path, upload, [1]).status == 200
    assert wire.follow("GET", path).body == b"abd"


@pytest.mark.parametrize(("upload", "status"), [("unknown_upload", 404), ("short", 400)])
def test_uploads_that_do_not_exist(wire: Wire, path: str, upload: str, status: int) -> None:
    assert abort(wire, path, upload).status == status
    assert complete(wire, path, upload, [1]).status == status
    assert part(wire, path, upload, 1, b"x").status == status


def test_a_large_put_is_cut_into_chunks(wire: Wire, bucket: Bucket) -> None:
    props = {"chunks": {"objsize_limit": "100KiB", "chunk_size": "30KiB"}}
    patch = {"action": "set-bprops", "value": props}
    answer = wire.send("PATCH", f"/v1/buckets/{bucket.name}", action=patch)
    assert answer.status == 200, answer.body
    path = f"/v1/objects/{bucket.name}/auto"
    for size, chunks in ((102_399, None), (102_400, "4")):
        body = random.Random(size).randbytes(size)
        assert wire.follow("PUT", path, body=body).status == 200
        assert wire.follow("GET", path).body == body
        head = wire.follow("HEAD", f"{path}?props=chunked")
        assert head.header("ais-chunks-count") == chunks


def test_space_of_a_deleted_object_comes_back_after_a_read(
    own_cluster: aistore.LocalCluster,
) -> None:
    wire = Wire(own_cluster.endpoint)
    path = f"/v1/objects/{own_cluster.client().bucket('space').create().name}/large"
    upload = wire.follow("POST", path, action={"action": "mpt-upload"}).body.decode()
    for number in (1, 2):
        part = wire.follow(
            "PUT", f"{path}?uploadId={upload}&partNumber={number}", body=b"x" * 500_000
        )
        assert part.status == 200
    listed = [{"part-number": number, "etag": ""} for number in (1, 2)]
    done = wire.follow(
        "POST", f"{path}?uploadId={upload}", action={"action": "mpt-complete", "value": listed}
    )
    assert done.status == 200
    assert len(wire.follow("GET", path).body) == 1_000_000

    def blobs() -> int:
        mountpaths = {folder.parent for folder in own_cluster.root.rglob("ais")}
        return len(stored_blobs(*mountpaths))

    assert blobs() >= 2
    assert wire.follow("DELETE", path).status == 200
    wait_until(lambda: blobs() == 0, "the parts are removed", 8)
