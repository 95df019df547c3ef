"""Buckets: create, head, list, destroy, and the errors of each."""

import json

from aistore.sdk.errors import AISError, ErrBckAlreadyExists, ErrBckNotFound, InvalidBckProvider
from aistore.sdk.provider import Provider


def attempt(call):
    """Name and status of the error that a call raises."""
    try:
        call()
    except (AISError, InvalidBckProvider, ValueError) as exc:
        return [type(exc).__name__, getattr(exc, "status_code", None)]
    return "no error"


def run(client, bucket):
    seen = {
        "path": bucket.get_path(),
        "qparam": bucket.qparam,
        "model": bucket.as_model().as_dict(),
    }
    other = client.bucket(bucket.name + "-2")
    assert other.create() is other
    seen["again"] = attempt(other.create)
    assert seen["again"] == [ErrBckAlreadyExists.__name__, 409]
    other.create(exist_ok=True)
    listed = {b.name: b.provider for b in client.cluster().list_buckets()}
    assert listed[other.name] == "ais"
    assert other.name in {b.name for b in client.cluster().list_buckets(provider="")}
    props = json.loads(other.head()["Ais-Bucket-Props"])
    for key in ("bid", "created"):
        assert int(props.pop(key)) > 0
    seen["props"] = props
    other.delete()
    other.delete(missing_ok=True)
    # HEAD has no body, so only the status tells what happened.
    seen["gone"] = [attempt(other.delete), attempt(other.head)[1]]
    assert seen["gone"][0] == [ErrBckNotFound.__name__, 404]
    seen["names"] = [
        attempt(client.bucket(name).create) for name in ("a..b", ".dot", "x" * 65, "a b", "ü")
    ]
    assert all(error == ["AISError", 400] for error in seen["names"]), seen["names"]
    remote = client.bucket(bucket.name, provider=Provider.AMAZON)
    seen["remote"] = [attempt(remote.create), attempt(remote.delete), attempt(bucket.evict)]
    seen["missing"] = [
        attempt(lambda: other.object("o").get_reader().read_all()),
        attempt(lambda: other.object("o").get_writer().put_content(b"x")),
        attempt(other.list_objects),
        attempt(lambda: other.object("o").delete()),
    ]
    assert all(error == ["ErrBckNotFound", 404] for error in seen["missing"]), seen["missing"]
    return seen
