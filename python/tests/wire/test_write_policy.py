"""`write_policy.data`: when objects reach the disk. What each policy survives is tested in the store."""

from __future__ import annotations

import json

import pytest
from support import Wire

import aistore
from aistore.sdk import Bucket

POLICIES = ("immediate", "delayed", "never")


def policy_of(wire: Wire, bucket: Bucket) -> str:
    props = wire.send("HEAD", f"/v1/buckets/{bucket.name}").header("ais-bucket-props")
    data: str = json.loads(props or "{}")["write_policy"]["data"]
    return data


def test_a_bucket_goes_through_all_policies_with_its_objects(wire: Wire, bucket: Bucket) -> None:
    path = f"/v1/objects/{bucket.name}"
    kept: dict[str, bytes] = {}
    for turn, policy in enumerate((*POLICIES, *reversed(POLICIES))):
        action = {"action": "set-bprops", "value": {"write_policy": {"data": policy}}}
        done = wire.send("PATCH", f"/v1/buckets/{bucket.name}", action=action)
        assert done.status == 200, done.body
        assert policy_of(wire, bucket) == policy
        for size in (0, 500, 200_000):
            name, body = f"{turn}-{size}", bytes([turn]) * size
            assert wire.follow("PUT", f"{path}/{name}", body=body).status == 200
            assert wire.follow("PUT", f"{path}/same-{size}", body=body).status == 200
            kept[name] = kept[f"same-{size}"] = body
        assert wire.follow("PUT", f"{path}/doomed", body=b"x").status == 200
        assert wire.follow("DELETE", f"{path}/doomed").status == 200
        assert wire.follow("GET", f"{path}/doomed").status == 404
    for name, body in kept.items():
        assert wire.follow("GET", f"{path}/{name}").body == body, name


@pytest.mark.parametrize("policy", POLICIES)
def test_a_bucket_is_created_with_a_policy(
    wire: Wire, cluster: aistore.LocalCluster, policy: str
) -> None:
    other = cluster.client().bucket(f"created-{policy}")
    other.create(props={"write_policy": {"data": policy}})
    try:
        assert policy_of(wire, other) == policy
        other.object("o").get_writer().put_content(b"x")
        assert other.object("o").get_reader().read_all() == b"x"
    finally:
        other.delete()


def test_an_unknown_policy_is_refused_by_name(wire: Wire, bucket: Bucket) -> None:
    for where, value in (("data", "soon"), ("md", 7)):
        action = {"action": "set-bprops", "value": {"write_policy": {where: value}}}
        refused = wire.send("PATCH", f"/v1/buckets/{bucket.name}", action=action)
        assert refused.status == 400
        assert str(value) in refused.json()["message"]
        assert f"write_policy.{where}" in refused.json()["message"]
