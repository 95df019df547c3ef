"""Custom metadata: added, replaced, kept and lost where the protocol says so."""

from aistore.sdk.errors import AISError


def attempt(call):
    try:
        call()
    except AISError as exc:
        return [type(exc).__name__, exc.status_code]
    return "no error"


def run(client, bucket):
    obj = bucket.object("o")
    obj.get_writer().put_content(b"abc")
    seen = {"fresh": obj.props.custom_metadata}
    obj.get_writer().set_custom_props({"a": "1", "b": "two words"})
    obj.get_writer().set_custom_props({"b": "2", "c": "x=y"})
    seen["added"] = obj.props.custom_metadata
    assert seen["added"] == {"a": "1", "b": "2", "c": "x=y"}
    assert obj.get_reader().read_all() == b"abc"
    assert obj.get_reader().head().custom_metadata == seen["added"]
    obj.get_writer().set_custom_props({"z": "ü"[:0] + "last"}, replace_existing=True)
    seen["replaced"] = obj.props.custom_metadata
    assert seen["replaced"] == {"z": "last"}
    seen["facts"] = [obj.props.size, obj.props.checksum_value, obj.props.obj_version]
    obj.get_writer().put_content(b"other")
    seen["overwritten"] = obj.props.custom_metadata
    seen["limits"] = [
        attempt(lambda: obj.get_writer().set_custom_props({"k": "v" * 2048})),
        attempt(lambda: obj.get_writer().set_custom_props({"": "v"})),
        attempt(lambda: obj.get_writer().set_custom_props({"k\x01": "v"})),
        attempt(lambda: bucket.object("none").get_writer().set_custom_props({"k": "v"})),
    ]
    assert [error[1] for error in seen["limits"]] == [400, 400, 400, 404], seen["limits"]
    return seen
