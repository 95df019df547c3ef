"""Summary and info: the asynchronous protocol, through the SDK's own polling."""

import json

from aistore.sdk.enums import FLTPresence
from aistore.sdk.errors import AISError


def attempt(call):
    try:
        call()
    except (AISError, ValueError) as exc:
        return [type(exc).__name__, getattr(exc, "status_code", None)]
    return "no error"


def plain(summary):
    """The parts of a summary that do not depend on the machine."""
    assert int(summary["TotalSize"].pop("size_on_disk")) >= 0
    assert int(summary["TotalSize"].pop("total_disks_size")) > 0
    summary.pop("used_pct")
    return summary


def run(client, bucket):
    for i in range(30):
        bucket.object(f"{'a' if i < 10 else 'b'}/{i:02}").get_writer().put_content(b"x" * (i + 1))
    seen = {"all": plain(bucket.summary()), "a": plain(bucket.summary(prefix="a/"))}
    assert seen["all"]["ObjCount"]["obj_count_present"] == "30"
    assert seen["all"]["TotalSize"]["size_all_present_objs"] == str(sum(range(1, 31)))
    assert seen["a"]["ObjCount"]["obj_count_present"] == "10"
    assert seen["a"]["ObjSize"]["obj_max_size"] == 10
    props, summary = bucket.info(flt_presence=FLTPresence.FLT_PRESENT)
    assert json.loads(props)["provider"] == "ais"
    seen["info"] = plain(summary)
    assert seen["info"]["is_present"] is True
    seen["bad presence"] = attempt(lambda: bucket.info(flt_presence=77))
    gone = client.bucket(bucket.name + "-none")
    # Info begins with a HEAD: no body, so only the status tells what happened.
    seen["missing"] = [attempt(gone.summary), attempt(gone.info)[1]]
    assert seen["missing"] == [["ErrBckNotFound", 404], 404], seen["missing"]
    return seen
