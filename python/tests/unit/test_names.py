"""URLs, ranges, templates, durations, placement: the pure helpers."""

from __future__ import annotations

import pytest

from aistore.pytorch import utils as torch_utils
from aistore.sdk import utils
from aistore.sdk._xxhash import xxh64
from aistore.sdk.archive_config import ArchiveConfig, ArchiveMode
from aistore.sdk.errors import (
    InvalidBckProvider,
    InvalidObjectRangeIndex,
    InvalidURLException,
    NoTargetError,
)
from aistore.sdk.list_object_flag import ListObjectFlag
from aistore.sdk.multiobj import ObjectNames, ObjectRange, ObjectTemplate
from aistore.sdk.namespace import Namespace
from aistore.sdk.provider import Provider
from aistore.sdk.types import BucketModel, ListObjectsMsg, Smap


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("ais://b/dir/o.tar", ("ais", "b", "dir/o.tar")),
        ("s3://b/o", ("s3", "b", "o")),
        ("ais://b/a?b#c", ("ais", "b", "a?b#c")),
        ("ais://b//lead", ("ais", "b", "/lead")),
        ("ais://b", ("ais", "b", "")),
        ("ais://", ("ais", "", "")),
        ("plain", ("", "", "plain")),
    ],
)
def test_urls_are_split(url: str, parts: tuple[str, str, str]) -> None:
    assert utils.parse_url(url) == parts
    assert torch_utils.parse_url(url) == parts


@pytest.mark.parametrize("url", ["ais://b", "ais://", "b/o", ""])
def test_urls_without_object_are_refused(url: str) -> None:
    with pytest.raises(InvalidURLException, match="expected provider://bucket/object"):
        utils.get_object_url_components(url)


def test_providers_have_aliases() -> None:
    assert Provider.parse("s3") is Provider.AMAZON
    assert Provider.parse("gs") is Provider.GOOGLE
    assert Provider.parse(Provider.AIS) is Provider.AIS
    with pytest.raises(InvalidBckProvider, match="ftp"):
        Provider.parse("ftp")


@pytest.mark.parametrize(
    ("template", "names"),
    [
        ("a{0..3}", ["a0", "a1", "a2", "a3"]),
        ("a{08..11}.tar", ["a08.tar", "a09.tar", "a10.tar", "a11.tar"]),
        ("{3..1}", ["3", "2", "1"]),
        ("{0..10..5}x", ["0x", "5x", "10x"]),
        ("{a..c}", ["a", "b", "c"]),
        ("{x,y}{1..2}", ["x1", "x2", "y1", "y2"]),
        ("{a,b{1..2}}", ["a", "b1", "b2"]),
        ("{single}", ["{single}"]),
        ("plain", ["plain"]),
        ("{,x}y", ["y", "xy"]),
        ("{-1..1}", ["-1", "0", "1"]),
    ],
)
def test_templates_expand(template: str, names: list[str]) -> None:
    assert list(utils.expand_braces(template)) == names
    assert list(ObjectTemplate(template)) == names


@pytest.mark.parametrize("template", ["{a", "a}", "{{a}"])
def test_broken_templates_are_refused(template: str) -> None:
    with pytest.raises(ValueError, match="template"):
        list(utils.expand_braces(template))


def test_ranges() -> None:
    given = ObjectRange("shard-", 8, 12, pad_width=3, step=2, suffix=".tar")
    assert list(given) == ["shard-008.tar", "shard-010.tar", "shard-012.tar"]
    assert given.get_value() == {"template": "shard-{008..012..2}.tar"}
    assert list(ObjectRange.from_string("shard-{008..012..2}.tar")) == list(given)
    assert str(ObjectRange("only-prefix")) == "only-prefix"
    assert ObjectNames(["a", "b"]).get_value() == {"objnames": ["a", "b"]}


@pytest.mark.parametrize(
    "arguments",
    [
        {"min_index": 1},
        {"max_index": 1},
        {"min_index": 2, "max_index": 2},
        {"min_index": 100, "max_index": 200, "pad_width": 2},
    ],
)
def test_contradicting_bounds_are_refused(arguments: dict[str, int]) -> None:
    with pytest.raises(InvalidObjectRangeIndex):
        ObjectRange("p", **arguments)


def test_bad_ranges_are_refused() -> None:
    with pytest.raises(ValueError, match="suffix"):
        ObjectRange("p", suffix="s")
    with pytest.raises(ValueError, match="expected prefix"):
        ObjectRange.from_string("no-range")
    with pytest.raises(RuntimeError):
        iter(ObjectRange("p"))


@pytest.mark.parametrize(
    ("value", "seconds"), [(5, 5), ("7", 7), ("30s", 30), ("5m", 300), ("2h", 7200), ("1d", 86400)]
)
def test_durations(value: str | int, seconds: int) -> None:
    assert utils.convert_to_seconds(value) == seconds


@pytest.mark.parametrize("value", ["", "1h30m", "m", "1.5s"])
def test_bad_durations_are_refused(value: str) -> None:
    with pytest.raises(ValueError, match="Invalid duration"):
        utils.convert_to_seconds(value)


def test_probing_and_units() -> None:
    assert utils.probing_frequency(300) == pytest.approx(300 / 64)
    assert utils.probing_frequency(0) == pytest.approx(0.1)
    assert utils.format_bytes(1536) == "1.5 KiB"
    assert torch_utils.convert_mb_to_bytes(1.5) == 1_500_000


def test_basenames_and_extensions() -> None:
    names = ["dir.x/sample.a.png", "noext", "x/.hidden"]
    assert [torch_utils.get_basename(n) for n in names] == ["sample", "noext", ""]
    assert [torch_utils.get_extension(n) for n in names] == ["png", "", "hidden"]


@pytest.mark.parametrize(
    ("text", "digest"),
    [(b"", 0xEF46DB3751D8E999), (b"abc", 0x44BC2CF5AD770999), (b"123456789", 0x8CB841DB40E6AE83)],
)
def test_xxh64_known_answers(text: bytes, digest: int) -> None:
    assert xxh64(text) == digest


def test_mix_known_answers() -> None:
    assert utils.xoshiro256_hash(0) == 1905207664160064169
    assert utils.xoshiro256_hash(4573842) == 5026071747115404967


def test_the_map_places_objects_on_targets_that_take_data() -> None:
    node = {
        "daemon_id": "p1",
        "daemon_type": "proxy",
        "public_net": {"node_ip_addr": "h", "daemon_port": "1", "direct_url": "u"},
    }
    targets = {
        f"t{i}": {
            **node,
            "daemon_id": f"t{i}",
            "daemon_type": "target",
            "id_digest": utils.get_digest(f"t{i}"),
        }
        for i in range(4)
    }
    smap = Smap.model_validate(
        {
            "tmap": targets,
            "pmap": {},
            "proxy_si": node,
            "version": "7",
            "uuid": "u",
            "creation_time": "",
        }
    )
    assert smap.version == 7
    assert smap.proxy_si.public_net.node_hostname == "h"
    owners = {smap.get_target_for_object(f"ais/@#/b/{i}").daemon_id for i in range(200)}
    assert owners == set(targets)
    smap.tmap["t2"].flags = 4
    assert "t2" not in {smap.get_target_for_object(f"ais/@#/b/{i}").daemon_id for i in range(200)}
    smap.tmap.clear()
    with pytest.raises(NoTargetError):
        smap.get_target_for_object("x")


def test_archive_selection() -> None:
    with pytest.raises(ValueError, match="mode requires"):
        ArchiveConfig(mode=ArchiveMode.PREFIX)
    with pytest.raises(ValueError, match="regex requires"):
        ArchiveConfig(regex="x")
    with pytest.raises(ValueError, match="both"):
        ArchiveConfig(archpath="a", regex="x", mode=ArchiveMode.PREFIX)
    params: dict[str, str] = {}
    ArchiveConfig(regex="x", mode=ArchiveMode.WDSKEY).update_qparams(params)
    assert params == {"archmode": "wdskey", "archpath": "", "archregx": "x"}


def test_listing_message() -> None:
    flags = [ListObjectFlag.CACHED, ListObjectFlag.NO_RECURSION]
    assert ListObjectFlag.join_flags(flags) == 2049
    message = ListObjectsMsg(prefix="p", flags=flags, page_size=3).as_dict()
    assert message["flags"] == "2049"
    assert message["pagesize"] == 3
    assert "start_after" not in message


def test_bucket_identity() -> None:
    model = BucketModel(name="b", provider="aws", namespace=Namespace(uuid="u", name="n"))
    assert model.get_path() == "aws/@u#n/b/"
    assert model.as_dict() == {
        "name": "b",
        "provider": "aws",
        "namespace": {"uuid": "u", "name": "n"},
    }
    assert BucketModel(name="b").get_path() == "ais/@#/b/"
