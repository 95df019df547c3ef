"""Listing with all parameters: prefixes, props, pages, tokens, directories, start-after."""

from aistore.sdk import ListObjectFlag
from aistore.sdk.errors import AISError

NAMES = sorted(
    [f"a/{i:03}" for i in range(40)]
    + [f"a/b/{i:03}" for i in range(20)]
    + [f"abc/{i}" for i in range(5)]
    + ["a", "b", "b/", "c//d", "ü", "z"][:2]
    + ["c//d", "ü/x", "z"]
)
FIELDS = ("checksum", "version", "size", "copies", "flags")


def attempt(call):
    try:
        call()
    except (AISError, NotImplementedError, ValueError) as exc:
        return [type(exc).__name__, getattr(exc, "status_code", None)]
    return "no error"


def names(entries):
    return [entry.name for entry in entries]


def facts(entry):
    row = {field: getattr(entry, field) for field in FIELDS}
    row["atime"] = bool(entry.atime)
    row["location"] = entry.location.startswith("t[")
    row["status"] = [entry.is_cached(), entry.is_ok()]
    return row


def run(client, bucket):
    for name in NAMES:
        bucket.object(name).get_writer().put_content(name.encode())
    seen = {"props": {}, "dirs": {}, "pages": {}}
    assert names(bucket.list_all_objects()) == NAMES
    for props in (
        "",
        "name",
        "name,size",
        "name,size,checksum",
        "name,size,version,copies,location,atime,cached",
    ):
        entries = bucket.list_all_objects(prefix="abc/", props=props)
        assert names(entries) == [f"abc/{i}" for i in range(5)]
        seen["props"][props] = [facts(entry) for entry in entries]
    for size in (1, 7, len(NAMES), len(NAMES) + 1):
        token, uuid, listed, pages = "", "", [], []
        while True:
            page = bucket.list_objects(page_size=size, continuation_token=token, uuid=uuid)
            assert page.uuid
            assert not uuid or page.uuid == uuid
            listed += names(page.entries)
            pages.append([len(page.entries), page.flags])
            token, uuid = page.continuation_token, page.uuid
            if not token:
                break
        assert listed == NAMES
        seen["pages"][size] = pages
    for prefix in ("", "a", "a/", "a/b", "a/b/", "abc", "c/", "none"):
        entries = bucket.list_all_objects(prefix=prefix, flags=[ListObjectFlag.NO_RECURSION])
        seen["dirs"][prefix] = [[e.name, bool(e.flags & 256)] for e in entries]
        assert all((e.flags & 256 != 0) == e.name.endswith("/") for e in entries)
        assert names(bucket.list_all_objects(prefix=prefix)) == [
            n for n in NAMES if n.startswith(prefix)
        ]
    for flags in ([ListObjectFlag.NAME_ONLY], [ListObjectFlag.NAME_SIZE], [ListObjectFlag.CACHED]):
        seen[f"flags {flags[0].name}"] = [
            facts(e) for e in bucket.list_all_objects(prefix="abc/", flags=flags)
        ]
    for after in ("a", "a/010", "a/b/", "zz", "b"):
        assert names(bucket.list_all_objects(start_after=after)) == [n for n in NAMES if n > after]
        assert names(bucket.list_objects_iter(start_after=after, page_size=5)) == [
            n for n in NAMES if n > after
        ]
    assert [o.name for o in bucket.list_all_objects_iter(prefix="a/b/")] == [
        f"a/b/{i:03}" for i in range(20)
    ]
    cached = next(iter(bucket.list_all_objects_iter(prefix="z", props="name,size,checksum")))
    seen["cached props"] = [cached.props_cached.size, cached.props_cached.checksum_value]
    seen["urls"] = [url.rpartition("/v1/")[2] for url in bucket.list_urls(prefix="abc/")]
    seen["bad"] = [
        attempt(lambda: bucket.list_objects(prefix="../x")),
        attempt(lambda: client.bucket(bucket.name + "-none").list_objects()),
        attempt(lambda: bucket.list_objects(target="nobody")),
    ]
    assert [error[1] for error in seen["bad"]] == [400, 404, 400], seen["bad"]
    return seen
