"""Buckets: create, properties, reset, lists, namespaces, HEAD, destroy, evict."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from support import Answer, Wire

from aistore.sdk import Bucket

_names = itertools.count()


@pytest.fixture
def name(wire: Wire) -> Iterator[str]:
    made = f"p-{os.getpid()}-{next(_names)}"
    yield made
    wire.send("DELETE", f"/v1/buckets/{made}", action={"action": "destroy-bck"}, provider="ais")


def create(wire: Wire, name: str, value: Any = None, **query: str) -> Answer:
    query = {"provider": "ais", **query}
    return wire.send(
        "POST", f"/v1/buckets/{name}", action={"action": "create-bck", "value": value}, **query
    )


def props(wire: Wire, name: str, **query: str) -> Any:
    answer = wire.send("HEAD", f"/v1/buckets/{name}", **{"provider": "ais", **query})
    assert answer.status == 200, answer.header("hdr-error")
    return json.loads(answer.header("ais-bucket-props") or "")


def patch(wire: Wire, name: str, value: Any) -> Answer:
    action = {"action": "set-bprops", "value": value}
    return wire.send("PATCH", f"/v1/buckets/{name}", action=action, provider="ais")


def listed(wire: Wire, name: str = "", **query: str) -> list[Any]:
    answer = wire.send("GET", "/v1/buckets", action={"action": "list", "name": name}, **query)
    assert answer.status == 200, answer.body
    got = answer.json()
    assert isinstance(got, list)
    return got


def test_a_new_bucket_has_the_clusters_defaults(wire: Wire, name: str) -> None:
    answer = create(wire, name)
    assert (answer.status, answer.body) == (200, b"")
    got = props(wire, name)
    config = wire.send("GET", "/v1/cluster", what="cluster_config").json()
    same = ["write_policy", "checksum", "rate_limit", "ec", "chunks", "mirror", "versioning"]
    assert {key: got[key] for key in same} == {key: config[key] for key in same}
    assert got["lru"] == {**config["lru"], "enabled": False}
    assert (got["provider"], got["Renamed"], got["features"]) == ("ais", "", "0")
    assert got["access"] == "18446744073709551615"
    assert got["extra"] == {"aws": {}, "gcp": {}, "oci": {}}
    assert int(got["bid"]) >> 63 == 1
    assert int(got["created"]) > 1_700_000_000 * 10**9
    assert got["backend_bck"]["name"] == ""
    again = create(wire, name)
    assert (again.status, again.json()["tcode"]) == (409, "ErrBucketAlreadyExists")
    assert f"ais://{name}" in again.json()["message"]


def test_create_with_properties(wire: Wire, name: str) -> None:
    value = {
        "checksum": {"type": "md5"},
        "versioning": {"enabled": False},
        "extra": {"custom": "mine"},
    }
    assert create(wire, name, value).status == 200
    got = props(wire, name)
    assert (got["checksum"]["type"], got["versioning"]["enabled"]) == ("md5", False)
    assert got["extra"]["custom"] == "mine"
    bad = create(wire, f"{name}-x", {"checksum": {"type": "sha1"}})
    assert bad.status == 400
    assert "checksum.type" in bad.json()["message"]
    assert not listed(wire, f"{name}-x")


@pytest.mark.parametrize("bad", ["a..b", ".hidden", "x" * 65, "sp%20ace", "%C3%BC", "a%23b"])
def test_bad_names(wire: Wire, bad: str) -> None:
    assert create(wire, bad).status == 400


def test_patch_changes_only_what_it_names(wire: Wire, name: str) -> None:
    create(wire, name)
    before = props(wire, name)
    answer = patch(
        wire,
        name,
        {
            "versioning": {"enabled": False, "synchronize": None},
            "mirror": None,
            "access": "771",
            "features": "33554448",
            "rate_limit": {"frontend": {"max_tokens": 2000}},
        },
    )
    assert (answer.status, answer.body) == (200, b"")
    after = props(wire, name)
    expected = json.loads(json.dumps(before))
    expected["versioning"]["enabled"] = False
    expected["rate_limit"]["frontend"]["max_tokens"] = 2000
    expected["access"] = "771"
    expected["features"] = "16"
    assert after == expected
    assert patch(wire, name, {}).status == 200
    reset = wire.send(
        "PATCH", f"/v1/buckets/{name}", action={"action": "reset-bprops"}, provider="ais"
    )
    assert reset.status == 200
    assert props(wire, name) == before


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"colour": 1}, "colour"),
        ({"mirror": {"copiez": 3}}, 'did you mean "copies"'),
        ({"mirror": {"copies": 33, "enabled": True}}, "mirror.copies"),
        ({"mirror": {"copies": "3"}}, "mirror.copies"),
        ({"ec": {"enabled": True, "data_slices": 9}}, "targets"),
        ({"ec": {"parity_slices": 0}}, "ec.parity_slices"),
        ({"chunks": {"chunk_size": "6GiB"}}, "chunks.chunk_size"),
        (
            {"mirror": {"enabled": True}, "chunks": {"objsize_limit": "1GiB"}},
            "chunks.objsize_limit",
        ),
        ({"extra": {"custom": "x" * 129}}, "extra.custom"),
        ({"extra": {"custom": "a\nb"}}, "extra.custom"),
        ({"extra": {"aws": {"endpoint": "ftp://h"}}}, "extra.aws.endpoint"),
        ({"extra": {"aws": {"multipart_size": "1MiB"}}}, "multipart_size"),
        ({"extra": {"aws": {"max_pagesize": 10001}}}, "max_pagesize"),
        ({"lru": {"capacity_upd_time": "9s"}}, "lru.capacity_upd_time"),
        ({"lru": {"dont_evict_time": "59m"}}, "lru.dont_evict_time"),
        ({"backend_bck": {"name": "far"}}, "backend_bck"),
        ({"backend_bck": {"name": "far", "provider": "ais"}}, "backend_bck"),
        ({"access": "rw"}, "access"),
        ({"features": "6144"}, "Disable-Cold-GET"),
        ({"bid": "1"}, "bid"),
        ({"created": "1"}, "created"),
        ({"provider": "aws"}, "provider"),
        ("text", "JSON object"),
    ],
)
def test_bad_patches(wire: Wire, name: str, value: Any, text: str) -> None:
    create(wire, name)
    before = props(wire, name)
    answer = patch(wire, name, value)
    assert answer.status == 400
    message = answer.json()["message"]
    assert text in message
    assert f"ais://{name}" in message
    assert props(wire, name) == before


def test_an_unconfigured_backend_is_not_attached(wire: Wire, name: str) -> None:
    create(wire, name)
    answer = patch(wire, name, {"backend_bck": {"name": "far", "provider": "aws"}})
    assert (answer.status, answer.json()["tcode"]) == (404, "ErrMissingBackend")
    assert props(wire, name)["backend_bck"]["name"] == ""
    assert patch(wire, name, {"backend_bck": {"name": "", "provider": ""}}).status == 200


def test_mirror_and_erasure_coding_do_not_start_at_once(wire: Wire, name: str) -> None:
    create(wire, name)
    value = {"mirror": {"enabled": True}, "ec": {"enabled": True}, "force": True}
    assert patch(wire, name, value).status == 409


def test_versions_count_overwrites_unless_switched_off(wire: Wire, name: str) -> None:
    create(wire, name)

    def version() -> str | None:
        assert wire.follow("PUT", f"/v1/objects/{name}/o", body=os.urandom(8)).status == 200
        return wire.follow("HEAD", f"/v1/objects/{name}/o").header("ais-version")

    assert [version(), version()] == ["1", "2"]
    patch(wire, name, {"versioning": {"enabled": False}})
    assert version() in {None, ""}


def test_namespaces_are_buckets_of_their_own(wire: Wire, name: str) -> None:
    space = {"namespace": "#prod"}
    create(wire, name)
    assert create(wire, name, **space).status == 200
    assert create(wire, name, **space).status == 409
    assert props(wire, name, **space)["bid"] != props(wire, name)["bid"]
    path = f"/v1/objects/{name}/a/b"
    assert wire.follow("PUT", path, body=b"in prod", provider="ais", **space).status == 200
    assert wire.follow("GET", path, provider="ais", **space).body == b"in prod"
    assert wire.follow("GET", path, provider="ais").status == 404
    action = {"action": "list", "value": {}}
    page = wire.send("GET", f"/v1/buckets/{name}", action=action, provider="ais", **space).json()
    assert [entry["name"] for entry in page["entries"]] == ["a/b"]
    found = listed(wire, name, provider="ais")
    assert [b["namespace"]["name"] for b in found] == ["", "prod"]
    assert [b["namespace"]["name"] for b in listed(wire, name, provider="ais", **space)] == ["prod"]
    assert listed(wire, name, namespace="@") == []
    gone = wire.send(
        "DELETE", f"/v1/buckets/{name}", action={"action": "destroy-bck"}, provider="ais", **space
    )
    assert gone.status == 200
    missing = wire.send("GET", f"/v1/buckets/{name}", action=action, provider="ais", **space)
    assert missing.status == 404
    assert f'"ais://#prod/{name}"' in missing.json()["message"]
    assert [b["namespace"]["name"] for b in listed(wire, name)] == [""]
    assert create(wire, name, namespace="@far#ns").status == 404
    assert create(wire, name, namespace="#a b").status == 400


def test_lists_of_buckets(wire: Wire, bucket: Bucket) -> None:
    for query in ({"provider": "ais"}, {"presence": "2"}, {"provider": ""}, {"presence": "0"}, {}):
        found = listed(wire, bucket.name, **query)
        assert found == [
            {"name": bucket.name, "provider": "ais", "namespace": {"uuid": "", "name": ""}}
        ]
    assert listed(wire, "no-such-bucket", presence="2") == []
    assert listed(wire, provider="aws", presence="2") == []
    names = [b["name"] for b in listed(wire, provider="ais")]
    assert names == sorted(names)
    action = {"action": "list", "name": "", "value": None}
    cloud = wire.send("GET", "/v1/buckets", action=action, provider="aws")
    assert (cloud.status, cloud.json()["tcode"]) == (400, "ErrMissingBackend")
    unknown = wire.send("GET", "/v1/buckets", action=action, provider="ftp")
    assert (unknown.status, unknown.json()["tcode"]) == (400, "ErrInvalidBackendProvider")
    assert wire.send("GET", "/v1/buckets", action=action, presence="9").status == 400
    # curl: no body at all; and the Go client's trailing slash.
    assert wire.send("GET", "/v1/buckets/").json() == listed(wire)
    assert wire.send("GET", "/ais").json() == listed(wire, provider="ais")


@pytest.mark.parametrize("presence", ["", "0", "1", "2", "3", "4"])
def test_head(wire: Wire, bucket: Bucket, presence: str) -> None:
    assert props(wire, bucket.name, presence=presence)["provider"] == "ais"
    gone = wire.send("HEAD", "/v1/buckets/nope", provider="ais", presence=presence)
    assert gone.status == 404
    assert json.loads(gone.header("hdr-error") or "{}")["tcode"] == "ErrBckNotFound"


def test_head_of_a_bucket_elsewhere(wire: Wire) -> None:
    far = wire.send("HEAD", "/v1/buckets/far", provider="aws")
    assert (far.status, json.loads(far.header("hdr-error") or "{}")["tcode"]) == (
        404,
        "ErrMissingBackend",
    )
    present = wire.send("HEAD", "/v1/buckets/far", provider="aws", presence="2")
    error = json.loads(present.header("hdr-error") or "{}")
    assert (present.status, error["tcode"]) == (404, "ErrRemoteBckNotFound")


def test_destroy_and_evict(wire: Wire, name: str) -> None:
    create(wire, name)
    evict = {"action": "evict-remote-bck"}
    local = wire.send("DELETE", f"/v1/buckets/{name}", action=evict, provider="ais")
    assert (local.status, local.json()["tcode"]) == (400, "ErrNotRemoteBck")
    for keep in ("true", "false", "True"):
        gone = wire.send(
            "DELETE", "/v1/buckets/far", action=evict, provider="aws", keep_bck_md=keep
        )
        assert (gone.status, gone.body) == (200, b"")
    destroy = {"action": "destroy-bck"}
    cloud = wire.send("DELETE", "/v1/buckets/far", action=destroy, provider="aws")
    assert (cloud.status, cloud.json()["tcode"]) == (405, "ErrUnsupp")
    path = f"/v1/buckets/{name}"
    assert wire.send("DELETE", path, action=destroy, provider="ais").status == 200
    gone = wire.send("DELETE", path, action=destroy, provider="ais")
    assert (gone.status, gone.json()["tcode"]) == (404, "ErrBckNotFound")
    assert wire.send("DELETE", path, provider="ais").status == 400
    assert wire.send("POST", path, action={"action": "dance"}, provider="ais").status == 400


@pytest.mark.parametrize(("access", "status"), [("771", 403), ("831", 403), (str(2**64 - 1), 200)])
def test_access_bits_of_destroy_and_rename(wire: Wire, name: str, access: str, status: int) -> None:
    assert create(wire, name, {"access": access}).status == 200
    try:
        if status != 200:
            answer = wire.send(
                "POST",
                f"/v1/buckets/{name}",
                action={"action": "move-bck"},
                provider="ais",
                bck_to=f"ais/@#/{name}-new/",
            )
            assert answer.status == 403, answer.header("hdr-error")
        answer = wire.send(
            "DELETE", f"/v1/buckets/{name}", action={"action": "destroy-bck"}, provider="ais"
        )
        assert answer.status == status
        if status == 403:
            error = json.loads(answer.body)
            assert error["tcode"] == "ErrBucketAccessDenied"
            assert f"ais://{name}" in error["message"]
            # HEAD and PATCH stay allowed, so that the bit can be given back.
            assert props(wire, name)["access"] == access
    finally:
        if status == 403:
            assert patch(wire, name, {"access": str(2**64 - 1)}).status == 200
