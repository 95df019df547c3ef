"""Checksums of every type, end to end: put, get, head, listing, ranges, mismatches."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest
from support import Wire

from aistore.sdk import Bucket

VECTORS = {
    "xxhash": ("44bc2cf5ad770999", "ef46db3751d8e999"),
    "xxhash2": ("44bc2cf5ad770999", "ef46db3751d8e999"),
    "md5": (hashlib.md5(b"abc").hexdigest(), hashlib.md5(b"").hexdigest()),
    "crc32c": ("364b3fb7", "00000000"),
    "sha256": (hashlib.sha256(b"abc").hexdigest(), hashlib.sha256(b"").hexdigest()),
    "sha512": (hashlib.sha512(b"abc").hexdigest(), hashlib.sha512(b"").hexdigest()),
}


@pytest.fixture
def typed(wire: Wire, bucket: Bucket) -> Callable[..., str]:
    """Makes the bucket use a type of checksum; answers the path of an object in it."""

    def make(kind: str, **more: bool) -> str:
        patch = {"action": "set-bprops", "value": {"checksum": {"type": kind, **more}}}
        assert wire.send("PATCH", f"/v1/buckets/{bucket.name}", action=patch).status == 200
        return f"/v1/objects/{bucket.name}/o"

    return make


def pair(answer: object) -> tuple[str | None, str | None]:
    return answer.header("ais-checksum-type"), answer.header("ais-checksum-value")  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", VECTORS)
def test_each_type_on_every_way(
    wire: Wire, bucket: Bucket, typed: Callable[..., str], kind: str
) -> None:
    path = typed(kind)
    for body, value in zip((b"abc", b""), VECTORS[kind], strict=True):
        assert pair(wire.follow("PUT", path, body=body)) == (kind, value)
        assert pair(wire.follow("GET", path)) == (kind, value)
        assert pair(wire.follow("HEAD", path)) == (kind, value)
        assert pair(wire.follow("HEAD", path, props="checksum")) == (kind, value)
        listing = {"action": "list", "value": {"props": "name,checksum"}}
        page = wire.send("GET", f"/v1/buckets/{bucket.name}", action=listing).json()
        assert [entry["checksum"] for entry in page["entries"]] == [value]


def test_none_has_no_headers(wire: Wire, typed: Callable[..., str]) -> None:
    path = typed("none")
    for answer in (
        wire.follow("PUT", path, body=b"abc"),
        wire.follow("GET", path),
        wire.follow("HEAD", path, props="checksum"),
    ):
        assert answer.status == 200
        assert pair(answer) == (None, None)
    wrong = {"Ais-Checksum-Type": "md5", "Ais-Checksum-Value": "0" * 32}
    assert wire.follow("PUT", path, body=b"xyz", headers=wrong).status == 200


@pytest.mark.parametrize("bucket_type", ["xxhash2", "md5"])
@pytest.mark.parametrize("kind", VECTORS)
def test_the_callers_checksum_is_verified(
    wire: Wire, typed: Callable[..., str], kind: str, bucket_type: str
) -> None:
    path = typed(bucket_type)
    right = {"Ais-Checksum-Type": kind, "Ais-Checksum-Value": VECTORS[kind][0]}
    assert wire.follow("PUT", path, body=b"abc", headers=right).status == 200
    stored = wire.follow("GET", path)
    assert pair(stored) == (bucket_type, VECTORS[bucket_type][0])
    refused = wire.follow("PUT", path, body=b"abd", headers=right)
    if kind == bucket_type:
        # Same type and value as stored: a no-op, whatever the body holds.
        assert refused.status == 200
    else:
        assert refused.status == 500
        message = refused.json()["message"]
        assert message.find("BAD DATA CHECKSUM") >= 0
        assert f"{kind}({VECTORS[kind][0]} != " in message
        assert path.split("/")[3] in message
    assert wire.follow("GET", path).body == b"abc"
    wrong = {"Ais-Checksum-Type": kind, "Ais-Checksum-Value": "0" * len(VECTORS[kind][0])}
    assert wire.follow("PUT", path, body=b"abd", headers=wrong).status == 500
    after = wire.follow("GET", path)
    assert (after.body, after.header("ais-version")) == (b"abc", stored.header("ais-version"))


def test_skip_vc_skips_the_verification(wire: Wire, typed: Callable[..., str]) -> None:
    path = typed("xxhash2")
    wrong = {"Ais-Checksum-Type": "md5", "Ais-Checksum-Value": "0" * 32}
    assert wire.follow("PUT", path + "?skip_vc=true", body=b"abc", headers=wrong).status == 200
    assert pair(wire.follow("GET", path)) == ("xxhash2", VECTORS["xxhash2"][0])


def test_the_same_checksum_again_is_a_no_op(wire: Wire, typed: Callable[..., str]) -> None:
    path = typed("xxhash2")
    first = wire.follow("PUT", path, body=b"abc")
    same = {"Ais-Checksum-Type": "xxhash2", "Ais-Checksum-Value": VECTORS["xxhash2"][0]}
    again = wire.follow("PUT", path, body=b"abc", headers=same)
    assert (again.status, again.header("ais-version")) == (200, None)
    assert wire.follow("HEAD", path).header("ais-version") == first.header("ais-version") == "1"
    other = {"Ais-Checksum-Type": "xxhash", "Ais-Checksum-Value": VECTORS["xxhash"][0]}
    assert wire.follow("PUT", path, body=b"abc", headers=other).header("ais-version") == "2"


@pytest.mark.parametrize("kind", ["sha1", "XXHASH", "md5 "])
def test_unknown_types_are_400(wire: Wire, bucket: Bucket, kind: str) -> None:
    patch = {"action": "set-bprops", "value": {"checksum": {"type": kind}}}
    refused = wire.send("PATCH", f"/v1/buckets/{bucket.name}", action=patch)
    assert refused.status == 400
    assert kind in refused.json()["message"]
    headers = {"Ais-Checksum-Type": kind, "Ais-Checksum-Value": "00"}
    if kind.strip() == kind:
        assert (
            wire.follow("PUT", f"/v1/objects/{bucket.name}/o", body=b"x", headers=headers).status
            == 400
        )


@pytest.mark.parametrize("kind", VECTORS)
def test_ranges_carry_the_whole_checksum_or_that_of_the_range(
    wire: Wire, typed: Callable[..., str], kind: str
) -> None:
    path = typed(kind)
    wire.follow("PUT", path, body=b"xabcx")
    whole = pair(wire.follow("GET", path))
    part = wire.follow("GET", path, headers={"Range": "bytes=1-3"})
    assert (part.status, part.body, pair(part)) == (206, b"abc", whole)
    typed(kind, enable_read_range=True)
    part = wire.follow("GET", path, headers={"Range": "bytes=1-3"})
    assert pair(part) == (kind, VECTORS[kind][0])
    everything = wire.follow("GET", path, headers={"Range": "bytes=0-"})
    assert pair(everything) == whole


def test_a_change_of_the_type_is_for_later_puts(wire: Wire, typed: Callable[..., str]) -> None:
    path = typed("md5")
    wire.follow("PUT", path, body=b"abc")
    typed("sha256")
    assert pair(wire.follow("GET", path)) == ("md5", VECTORS["md5"][0])
    wire.follow("PUT", path, body=b"abc")
    assert pair(wire.follow("GET", path)) == ("sha256", VECTORS["sha256"][0])
