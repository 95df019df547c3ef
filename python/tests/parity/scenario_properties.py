"""Bucket properties: patched and reset through `make_request`, seen in HEAD, felt by object verbs."""

import json

from aistore.sdk.errors import AISError

PATCH, ACTION = "patch", "set-bprops"


def attempt(call):
    try:
        call()
    except AISError as exc:
        return [type(exc).__name__, exc.status_code]
    return "no error"


def props(bucket):
    return json.loads(bucket.head()["Ais-Bucket-Props"])


def run(client, bucket):
    def change(**patch):
        return bucket.make_request(PATCH, action=ACTION, value=patch)

    before = props(bucket)
    seen = {"reply": change(versioning={"enabled": False}, checksum={"type": "md5"}).text}
    after = props(bucket)
    assert after["versioning"]["enabled"] is False
    assert after["checksum"]["type"] == "md5"
    obj = bucket.object("o")
    obj.get_writer().put_content(b"abc")
    seen["object"] = [obj.props.checksum_type, obj.props.checksum_value, obj.props.obj_version]
    assert seen["object"][1] == "900150983cd24fb0d6963f7d28e17f72"
    change(checksum={"type": "none"})
    bucket.object("p").get_writer().put_content(b"abc")
    seen["none"] = [bucket.object("p").props.checksum_type, bucket.object("p").props.checksum_value]
    assert seen["none"] == ["", ""]
    change(access="771")
    seen["read only"] = [
        attempt(lambda: obj.get_writer().put_content(b"x")),
        attempt(obj.delete),
        attempt(lambda: obj.get_reader().read_all()),
        attempt(bucket.list_objects),
        attempt(obj.head),
    ]
    assert seen["read only"] == [
        ["AISError", 403],
        ["AISError", 403],
        "no error",
        "no error",
        "no error",
    ]
    bucket.make_request(PATCH, action="reset-bprops")
    assert props(bucket) == before
    seen["bad"] = [
        attempt(lambda patch=patch: change(**patch))
        for patch in (
            {"checksum": {"type": "sha1"}}, {"colour": 1}, {"bid": "1"}, {"mirror": {"enabled": True, "copies": 33}},
            {"extra": {"custom": "x" * 129}}, {"chunks": {"chunk_size": "6GiB"}}, {"access": "rw"},
        )
    ]  # fmt: skip
    assert all(error == ["AISError", 400] for error in seen["bad"]), seen["bad"]
    return seen
