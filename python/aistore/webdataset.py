"""`ais://` shards in WebDataset, through our client instead of an `ais` process for each.

    import aistore.webdataset
    dataset = webdataset.WebDataset("ais://bucket/train-{000..099}.tar", shardshuffle=100)

Importing this is all that is needed; the endpoint comes from `AIS_ENDPOINT`. Processes that are
spawned instead of forked import it too, with `DataLoader(..., worker_init_fn=
aistore.webdataset.register)`. Writers (`ShardWriter`, `TarWriter`) take such URLs as well, and so
does `wids` where it is installed.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from aistore.sdk.client import Client

if TYPE_CHECKING:
    from io import BufferedIOBase

    from aistore.sdk.obj.object import Object

__all__ = ["gopen", "register"]

_SCHEME = "ais"


def gopen(url: str, mode: str = "rb", bufsize: int = 8192, **_options: Any) -> BufferedIOBase:
    """Opens an object as WebDataset's `gopen` does.

    Args:
        url: Such as `ais://bucket/shard.tar`.
        mode: `rb` reads, from start to end, and goes on by itself after the connection broke; `wb`
            writes, and the object appears when the file is closed.
        bufsize: Accepted for compatibility: transfers are buffered natively.

    Raises:
        ValueError: Another mode, or no endpoint.
        ErrObjNotFound: There is no such object; told by the first read.
    """
    del bufsize
    if mode[:1] == "r":
        return _object(url).get_reader().as_file()
    if mode[:1] == "w":
        return _object(url).get_writer().as_file("w")
    raise ValueError(f"mode {mode!r}: expected 'rb' or 'wb'")


def register(_worker: int = 0) -> None:
    """Makes WebDataset, and wids where it is installed, open `ais://` URLs here.

    The schemes that `USE_AIS_FOR` names (`s3:gs`) go the same way. Does nothing more when called
    again; takes and ignores a worker's number, to be a `worker_init_fn`.
    """
    import webdataset  # noqa: PLC0415 - an optional package

    schemes = [_SCHEME, *filter(None, os.environ.get("USE_AIS_FOR", "").split(":"))]
    for scheme in schemes:
        webdataset.gopen_schemes[scheme] = gopen
    if find_spec("wids"):
        from wids import wids_dl  # noqa: PLC0415 - an optional package

        for scheme in schemes:
            wids_dl.default_cmds[scheme] = _download


def _download(url: str, local: str) -> None:
    _object(url).get_reader().to_file(local)


def _object(url: str) -> Object:
    endpoint = os.environ.get("AIS_ENDPOINT", "")
    if not endpoint:
        raise ValueError(f"{url}: no endpoint: set AIS_ENDPOINT to the URL of a gateway")
    # The connections belong to the process, and are shared by all clients with equal settings.
    return Client(endpoint).get_object_from_url(url)


register()
