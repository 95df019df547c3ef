"""What a newcomer sees first: texts of objects, progress bars."""

from __future__ import annotations

import io
import sys

import pytest

from aistore import Client
from aistore._progress import progress
from aistore.sdk.obj.object_attributes import ObjectAttributes
from aistore.sdk.types import NetInfo, Smap, Snode


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_objects_say_what_they_are() -> None:
    client = Client("http://h:1")
    obj = client.bucket("b").object("a/o")
    assert [
        repr(item)
        for item in (
            client,
            client.cluster(),
            client.bucket("b"),
            obj,
            obj.get_reader(),
            obj.get_writer(),
            obj.multipart_upload(),
            client.job("J1", "copy-bck"),
            client.batch([obj]),
        )
    ] == [
        "Client('http://h:1')",
        "Cluster('http://h:1')",
        "Bucket('ais://b')",
        "Object('ais://b/a/o')",
        "ObjectReader(ais://b/a/o)",
        "ObjectWriter('a/o')",
        "MultipartUpload('objects/b/a/o', not started)",
        "Job(copy-bck[J1])",
        "Batch(objects=1, format=.tar)",
    ]


def test_attributes_are_readable() -> None:
    headers = {
        "Content-Length": "2048",
        "Ais-Checksum-Type": "xxhash2",
        "Ais-Checksum-Value": "ab",
        "Ais-Custom-Md": "k=v",
    }
    text = repr(ObjectAttributes(headers))
    assert text == "ObjectAttributes(size=2.0 KiB, checksum=xxhash2:ab, custom={'k': 'v'})"
    assert repr(ObjectAttributes({})) == "ObjectAttributes(size=0 B)"


def test_maps_are_readable() -> None:
    node = Snode(
        daemon_id="t1", daemon_type="target", public_net=NetInfo(direct_url="http://h:1"), flags=4
    )
    gateway = Snode(daemon_id="p1", daemon_type="proxy")
    smap = Smap(tmap={"t1": node}, pmap={"p1": gateway}, proxy_si=gateway, version=3, uuid="u")
    assert repr(smap) == (
        "Smap(uuid='u', version=3, nodes=[Snode(proxy 'p1' at ''),"
        " Snode(target 't1' at 'http://h:1', leaving)])"
    )


@pytest.mark.parametrize(("switch", "drawn"), [(None, True), ("0", False), ("off", False)])
def test_bars_can_be_turned_off(
    monkeypatch: pytest.MonkeyPatch, switch: str | None, drawn: bool
) -> None:
    out = Terminal()
    monkeypatch.setattr(sys, "stderr", out)
    monkeypatch.delenv("AIS_PROGRESS", raising=False)
    if switch:
        monkeypatch.setenv("AIS_PROGRESS", switch)
    with progress(100, "put o") as advance_to:
        advance_to(50)
    assert ("put o" in out.getvalue()) == drawn
