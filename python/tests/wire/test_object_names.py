"""Names of objects and queries, odd ones and bad ones."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from support import Wire
from verbs import TEN, delete, get, head, put

ODD_NAMES = [
    "a b",
    "a//b",
    "/lead",
    "//two",
    "per%cent",
    "%2F",
    "a%2Fb",
    "plus+hash#q?",
    "a&b=c;d",
    "ü/日本/🙂",
    "e\u0301",
    "\u202eright",
    "tab\there",
    "new\nline",
    "quote\"'<>\\",
    "a...b/...",
    "~x",
    "x" * 255,
    "y" * 3000,
    "/".join(["z" * 299] * 10),
    "日" * 1000,
]


def test_any_name_is_listed_and_served_back_exactly(wire: Wire, name: str) -> None:
    for odd in ODD_NAMES:
        assert put(wire, name, odd, odd.encode()).status == 200, odd
    listed = wire.send(
        "GET", f"/v1/buckets/{name}", action={"action": "list", "value": {"flags": "0"}}
    ).json()
    assert [e["name"] for e in listed["entries"]] == sorted(ODD_NAMES, key=str.encode)
    for odd in ODD_NAMES:
        answer = get(wire, name, odd)
        assert (answer.status, answer.body) == (200, odd.encode()), odd
        assert head(wire, name, odd, props="size").header("content-length") == str(
            len(odd.encode())
        )
        easy = wire.follow("GET", f"/ais/{name}/{quote(odd)}")
        assert (easy.status, easy.body) == (200, odd.encode()), odd
        assert delete(wire, name, odd).status == 200, odd
        assert get(wire, name, odd).status == 404, odd


@pytest.mark.parametrize("bad", ["a/", ".", "..", "a/../b", "./a", "a/.", "~/a", "\0", "x" * 8193])
def test_bad_names_are_refused(wire: Wire, name: str, bad: str) -> None:
    for method in ("GET", "PUT", "DELETE"):
        body = b"x" if method == "PUT" else None
        answer = wire.follow(method, f"/v1/objects/{name}/{quote(bad)}", body=body)
        assert answer.status == 400, (method, answer.body)
        assert answer.json()["message"].startswith("invalid object name")


def test_a_name_is_an_object_and_a_prefix_at_once(wire: Wire, name: str) -> None:
    for obj in ("a/b/c", "a", "a/b"):
        assert put(wire, name, obj, obj.encode()).status == 200
    for obj in ("a", "a/b", "a/b/c"):
        assert get(wire, name, obj).body == obj.encode()
    assert delete(wire, name, "a/b").status == 200
    assert [get(wire, name, obj).status for obj in ("a", "a/b", "a/b/c")] == [200, 404, 200]
    # A virtual directory is no object.
    assert head(wire, name, "a/").status == 404
    assert head(wire, name, "a/b/").status == 404


def test_queries_that_cannot_be_read(wire: Wire, name: str) -> None:
    put(wire, name, "o", TEN)
    for query in ("a=%zz", "a=%", "&".join(f"k{i}=1" for i in range(101))):
        answer = wire.send("GET", f"/v1/objects/{name}/o?{query}")
        assert answer.status == 400
        assert answer.json()["message"].startswith("dpq:")
    fine = "&".join(f"k{i}=1" for i in range(100))
    assert wire.send("GET", f"/v1/objects/{name}/o?{fine}").status == 301
    assert wire.send("GET", f"/v1/objects/{name}/o?provider=ftp").status == 400
    assert get(wire, name, "o", archpath="", archregx="", unknown="x").body == TEN
    assert wire.send("BREW", f"/v1/objects/{name}/o").status == 405
    assert wire.send("PUT", f"/ais/{name}", body=b"x").status in {400, 405}
    assert wire.send("GET", "/v1/objects").status == 400
