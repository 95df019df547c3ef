"""Directories, which are prefixes that end in a slash."""

from __future__ import annotations

import json
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from aistore.sdk import const
from aistore.sdk.list_object_flag import ListObjectFlag
from aistore.sdk.types import ActionMsg

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from aistore.aio._calls import Calls
    from aistore.aio.bucket import AsyncBucket
    from aistore.sdk.obj.object_attributes import ObjectAttributes

Info: TypeAlias = dict[str, Any]
_PROPS = "name,size,checksum,version"
# What `file_info` tells of an object.
HEAD_PROPS = "size,checksum,version,etag,last-modified"
_IS_DIRECTORY = 256


def directory(path: str) -> Info:
    """Description of a directory."""
    return {"name": path, "size": 0, "type": "directory"}


def file_info(path: str, attributes: ObjectAttributes) -> Info:
    """Description of an object by what a HEAD tells."""
    return {
        "name": path,
        "size": attributes.size,
        "type": "file",
        "ETag": attributes.etag,
        "LastModified": when(attributes.last_modified),
        "version": attributes.obj_version,
        "checksum": attributes.checksum_value,
    }


def when(text: str) -> datetime | None:
    """A time as HTTP writes it."""
    try:
        return parsedate_to_datetime(text) if text else None
    except ValueError:
        return None


async def list_directory(bucket: AsyncBucket, prefix: str) -> list[Info]:
    """What is directly below a prefix that is empty or ends in a slash."""
    found: list[Info] = []
    flags = [ListObjectFlag.NO_RECURSION]
    async for entry in bucket.list_objects(prefix, _PROPS, flags):
        if entry.flags & _IS_DIRECTORY or entry.name.endswith("/"):
            if entry.name != prefix:
                found.append(directory(f"{bucket.name}/{entry.name.rstrip('/')}"))
        else:
            found.append(_listed(bucket.name, entry))
    return found


async def list_below(bucket: AsyncBucket, prefix: str) -> list[Info]:
    """All objects whose names start with a prefix, but for markers of directories."""
    return [
        _listed(bucket.name, entry)
        async for entry in bucket.list_objects(prefix, _PROPS)
        if not entry.name.endswith("/")
    ]


def directories_above(files: Iterable[Info], top: str) -> dict[str, Info]:
    """Directories below `top` that lead to the given files."""
    found: dict[str, Info] = {}
    for info in files:
        parent = info["name"].rpartition("/")[0]
        while len(parent) > len(top) and parent not in found:
            found[parent] = directory(parent)
            parent = parent.rpartition("/")[0]
    return found


async def is_directory(calls: Calls, bucket: AsyncBucket, name: str) -> bool:
    """Whether any object is below `name/`."""
    value = {"prefix": f"{name}/", "pagesize": 1, "props": "name", "flags": "0"}
    body = ActionMsg(action=const.ACT_LIST, value=value).model_dump_json().encode()
    blocking = bucket.blocking()
    answer = await calls.request("GET", blocking.url_path, blocking.qparam, body)
    return bool((json.loads(answer.content) or {}).get("entries"))


def _listed(bucket: str, entry: Any) -> Info:
    return {
        "name": f"{bucket}/{entry.name}",
        "size": entry.size,
        "type": "file",
        "version": entry.version,
        "checksum": entry.checksum,
    }
