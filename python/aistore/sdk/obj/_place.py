"""Where an object is: between the paths of requests and the names that the native client takes."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from aistore.sdk import const
from aistore.sdk.request_client import quote_name

if TYPE_CHECKING:
    from collections.abc import Mapping

_GLOBAL = "@#"


def object_path(bucket_name: str, name: str) -> str:
    """`objects/bucket/object`, percent-encoded."""
    return f"{const.URL_PATH_OBJECTS}/{quote_name(bucket_name)}/{quote_name(name)}"


def locate(path: str, params: Mapping[str, str]) -> tuple[str, str]:
    """The bucket (`provider/@uuid#namespace/bucket/`) and the object that a request's path means.

    Raises:
        ValueError: It is not the path of an object.
    """
    prefix, _, rest = path.partition("/")
    bucket, _, name = rest.partition("/")
    if prefix != const.URL_PATH_OBJECTS or not bucket or not name:
        raise ValueError(f"path {path!r}: expected objects/bucket/object")
    provider = params.get(const.QPARAM_PROVIDER) or "ais"
    namespace = params.get(const.QPARAM_NAMESPACE) or _GLOBAL
    return f"{provider}/{namespace}/{unquote(bucket)}/", unquote(name)


def split_uname(uname: str) -> tuple[str, str]:
    """Bucket and object of `provider/@uuid#namespace/bucket/object`."""
    provider, namespace, bucket, name = uname.split("/", 3)
    return f"{provider}/{namespace}/{bucket}/", name
