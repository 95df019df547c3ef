"""Who may do what to objects, where, and how often."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

from support import Answer, Wire
from verbs import TEN, action, delete, get, head, put, set_props

import aistore


def test_every_verb_needs_its_access_bit(wire: Wire, name: str) -> None:
    put(wire, name, "o", TEN)
    verbs: dict[int, Callable[[], Answer]] = {
        4: lambda: put(wire, name, "o", TEN),
        8: lambda: put(wire, name, "o", b"x", append_type="append", append_handle=""),
        16: lambda: delete(wire, name, "absent"),
        32: lambda: action(wire, name, "o", "rename-obj", name="o"),
        64: lambda: action(wire, name, "", "promote", name="/nowhere"),
        128: lambda: wire.follow("PATCH", f"/v1/objects/{name}/o", action={"value": {"k": "v"}}),
    }
    for denied, verb in verbs.items():
        set_props(wire, name, access=str((2**64 - 1) & ~denied))
        answer = verb()
        assert answer.status == 403, (denied, answer.body)
        assert answer.json()["tcode"] == "ErrBucketAccessDenied"
        assert f'"ais://{name}"' in answer.json()["message"]
        for allowed, other in verbs.items():
            if allowed != denied:
                assert other().status != 403, (denied, allowed)
    set_props(wire, name, access="0")
    assert get(wire, name, "o").status == 200
    assert head(wire, name, "o").status == 200
    assert action(wire, name, "o", "check-lock").status == 200
    set_props(wire, name, access=str(2**64 - 1))


def test_the_rate_of_requests_is_limited_per_bucket_and_verb(wire: Wire, name: str) -> None:
    put(wire, name, "o", TEN)
    limit = {"enabled": True, "max_tokens": 8, "burst_size": 4, "interval": "1h"}
    set_props(wire, name, rate_limit={"frontend": limit})
    path = f"/v1/objects/{name}/o"
    statuses = [wire.send("GET", path).status for _ in range(6)]
    assert statuses == [301] * 4 + [429] * 2
    refused = wire.send("GET", path).json()
    assert (refused["tcode"], refused["message"]) == ("ErrRateLimitFrontend", "Too Many Requests")
    assert wire.send("PUT", path, body=b"x").status == 307
    assert wire.send("HEAD", path).status == 307
    set_props(wire, name, rate_limit={"frontend": {"enabled": False}})
    assert wire.send("GET", path).status == 301


def test_a_target_takes_changes_from_gateways_only(wire: Wire, name: str) -> None:
    put(wire, name, "o", TEN)
    location = wire.send("GET", f"/v1/objects/{name}/o").header("location") or ""
    target = "/".join(location.split("/")[:3])
    assert wire.send("GET", f"/v1/objects/{name}/o", base=target).body == TEN
    assert wire.send("HEAD", f"/v1/objects/{name}/o", base=target).status == 200
    for method in ("PUT", "DELETE", "POST", "PATCH"):
        sent: dict[str, Any] = {"body": b"x"} if method == "PUT" else {}
        if method in {"POST", "PATCH"}:
            sent = {"action": {"action": "rename-obj", "name": "p", "value": {"k": "v"}}}
        answer = wire.send(method, f"/v1/objects/{name}/o", base=target, **sent)
        assert answer.status == 400, method
        assert "is expected to be redirected" in answer.json()["message"]
    assert get(wire, name, "o").body == TEN


def test_a_target_that_was_stopped_writes_into_the_new_bucket(
    own_cluster: aistore.LocalCluster,
) -> None:
    wire, name = Wire(own_cluster.endpoint), "again"
    smap = wire.send("GET", "/v1/daemon", what="smap").json()
    # As our own client sends it: straight to the owner, with the version of the map it knows.
    known = {"Ais-Smap-Version": str(smap["version"])}
    create, destroy = {"action": "create-bck"}, {"action": "destroy-bck"}
    assert wire.send("POST", f"/v1/buckets/{name}", action=create).status == 200
    location = wire.send("GET", f"/v1/objects/{name}/o").header("location") or ""
    owner = "/".join(location.split("/")[:3])
    put(wire, name, "o", b"old")
    for _ in range(3):
        targets = own_cluster.pids[1:]
        for pid in targets:
            os.kill(pid, signal.SIGSTOP)
        try:
            assert wire.send("DELETE", f"/v1/buckets/{name}", action=destroy).status == 200
            assert wire.send("POST", f"/v1/buckets/{name}", action=create).status == 200
        finally:
            for pid in targets:
                os.kill(pid, signal.SIGCONT)
        answer = wire.send("PUT", f"/v1/objects/{name}/o", body=TEN, headers=known, base=owner)
        assert answer.status == 200
        assert answer.header("ais-version") == "1"
        assert get(wire, name, "o").body == TEN
