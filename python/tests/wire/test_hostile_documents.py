"""Configuration and bucket properties that nobody should send: refused as a whole, with a reason."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support import Answer, Wire

from aistore.sdk import Bucket

DEEP = '{"lru":' * 50_000 + "1" + "}" * 50_000


def put_config(wire: Wire, value: str) -> Answer:
    body = '{"action":"set-config","value":' + value + "}"
    return wire.send("PUT", "/v1/cluster", body=body.encode())


def patch_props(wire: Wire, bucket: str, value: str) -> Answer:
    body = '{"action":"set-bprops","value":' + value + "}"
    return wire.send("PATCH", f"/v1/buckets/{bucket}", body=body.encode())


def config(wire: Wire) -> Any:
    return wire.send("GET", "/v1/cluster", what="cluster_config").json()


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ('{"lru":{"enabled":true,"enabled":false}}', "twice"),
        ('{"lru":{"enabled":true},"lru":{"enabled":false}}', "twice"),
        ('{"lru":[true]}', "lru"),
        ('{"lru":{"enabled":true},"mirror":[]}', "mirror"),
        ('{"lru":{"enabled":true},"mirror":{"copies":1e99}}', "mirror.copies"),
        ('{"lru":{"enabled":true},"mirror":{"copies":-3}}', "mirror.copies"),
        ('{"lru":{"enabled":true},"colour":{"red":1}}', "colour"),
        ('{"lru":{"enabled":true,"dont_evict_time":"-2h"}}', "dont_evict_time"),
        ('{"lru":{"enabled":"\\u0000"}}', "lru.enabled"),
        ('{"lru":{"enabled":true},"checksum":{"type":"sha1"}}', 'invalid value "sha1"'),
        ('{"lru":{"enabled":true},"features":"268435456"}', "Fsync-PUT"),
        ('{"lru":{"enabled":true},"features":"99999999999999999999"}', "features"),
        ('{"mirror":{"copies":' + "9" * 1000 + "}}", "out of range"),
        ('{"mirror":{"copies":NaN}}', "expected value"),
        ('"lru"', "JSON object"),
        ("[]", "JSON object"),
        (DEEP, "recursion limit"),
    ],
)
def test_documents_are_refused_as_a_whole(
    wire: Wire, bucket: Bucket, value: str, reason: str
) -> None:
    path = f"/v1/buckets/{bucket.name}"
    before = config(wire), wire.send("HEAD", path).header("ais-bucket-props")
    for answer in (put_config(wire, value), patch_props(wire, bucket.name, value)):
        assert answer.status == 400, answer.body
        assert reason in answer.json()["message"], answer.json()["message"][:1000]
    body = '{"action":"create-bck","value":' + value + "}"
    made = wire.send("POST", f"{path}-new", body=body.encode())
    assert made.status == 400, made.body
    assert wire.send("HEAD", f"{path}-new").status == 404
    after = config(wire), wire.send("HEAD", path).header("ais-bucket-props")
    assert after == before


@pytest.mark.parametrize(
    "backend",
    [{"nobody": {}}, {"ais": {"alias": "http://x"}}, {"ais": {"alias": [1]}}, {"aws": [1]}, []],
)
def test_backends_are_checked(wire: Wire, backend: Any) -> None:
    answer = put_config(wire, json.dumps({"backend": backend}))
    assert answer.status == 400
    assert "backend" in answer.json()["message"]


def test_a_key_given_twice_is_refused(wire: Wire) -> None:
    answer = wire.send("PUT", "/v1/cluster/set-config?space.highwm=91&SPACE.highwm=92")
    assert answer.status == 400
    assert "twice" in answer.json()["message"]


def test_nul_is_refused_in_every_name(wire: Wire, bucket: Bucket) -> None:
    name = bucket.name
    path = f"/v1/objects/{name}"
    assert wire.follow("PUT", f"{path}/o", body=b"x").status == 200

    def act(url: str, **action: Any) -> Answer:
        return wire.follow("POST", url, action=action)

    answers = {
        "rename": act(f"{path}/a%00b", action="rename-obj", name="z"),
        "rename to": act(f"{path}/o", action="rename-obj", name="a\0b"),
        "multipart": act(f"{path}/a%00b", action="mpt-upload"),
        "promote": act(path, action="promote", name="/nowhere", value={"obj": "a\0b"}),
        "promote source": act(path, action="promote", name="/no\0where"),
        "patch": wire.follow("PATCH", f"{path}/a%00b", action={"value": {"k": "v"}}),
        "part": wire.follow("PUT", f"{path}/a%00b?uploadId=abcdefghi&partNumber=1", body=b"x"),
        "append": wire.follow("PUT", f"{path}/a%00b?append_type=append", body=b"x"),
        "copy to": wire.follow("PUT", f"{path}/o?object_to=ais/@%23/{name}/a%00b"),
        "copy to bucket": wire.follow("PUT", f"{path}/o?object_to=ais/@%23/{name}%00/a"),
        "copy to space": wire.follow("PUT", f"{path}/o?object_to=ais/@%23n%00/{name}/a"),
        "prepend": wire.send(
            "POST",
            f"/v1/buckets/{name}?bck_to=ais/@%23/{name}-to/",
            action={"action": "copy-bck", "value": {"prepend": "a\0"}},
        ),
        "copy bucket": wire.send(
            "POST",
            f"/v1/buckets/{name}?bck_to=ais/@%23/{name}%00/",
            action={"action": "copy-bck", "value": {}},
        ),
        "prefix": wire.send(
            "GET", f"/v1/buckets/{name}", action={"action": "list", "value": {"prefix": "a\0"}}
        ),
        "create": wire.send("POST", f"/v1/buckets/{name}%00", action={"action": "create-bck"}),
    }
    for method in ("PUT", "GET", "DELETE"):
        for what, url in {
            "object": f"{path}/a%00b",
            "bucket": f"/v1/objects/{name}%00/o",
            "namespace": f"{path}/o?namespace=%23n%00",
        }.items():
            body = b"x" if method == "PUT" else None
            answers[f"{method} {what}"] = wire.follow(method, url, body=body)
    for what, answer in answers.items():
        assert answer.status == 400, (what, answer)
        message = answer.json()["message"]
        assert "\0" not in message or "promote source" in message, (what, message)
        assert "invalid" in message, (what, message)
    assert wire.follow("HEAD", f"{path}/a%00b").status == 400
