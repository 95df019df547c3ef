"""The wire as existing clients see it: statuses, headers, bodies, texts. No client code of ours."""

from __future__ import annotations

import io
import json
import re
import tarfile
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgpack
import pytest
from support import Wire

from aistore.sdk import Bucket


@pytest.fixture
def name(bucket: Bucket) -> str:
    return bucket.name


def put(wire: Wire, name: str, obj: str, body: bytes, **headers: str) -> Any:
    return wire.follow("PUT", f"/v1/objects/{name}/{obj}", body=body, headers=headers)


@pytest.mark.parametrize(
    ("method", "status"),
    [("GET", 301), ("HEAD", 307), ("PUT", 307), ("DELETE", 307), ("PATCH", 307)],
)
def test_object_requests_redirect_to_a_target(
    wire: Wire, name: str, method: str, status: int
) -> None:
    answer = wire.send(
        method, f"/v1/objects/{name}/a/b", provider="ais", body=b"x" if method == "PUT" else None
    )
    assert answer.status == status
    location = urlsplit(answer.header("location") or "")
    assert location.scheme == "http"
    assert location.netloc
    assert location.netloc != urlsplit(wire.endpoint).netloc
    assert location.path == f"/v1/objects/{name}/a/b"
    query = parse_qs(location.query)
    assert query["provider"] == ["ais"]
    assert query["pid"][0].startswith("p")
    assert int(query["utm"][0], 36) > 1_700_000_000 * 10**9


def test_redirect_keeps_odd_names(wire: Wire, name: str) -> None:
    for path in ("sp%20ace", "per%25cent", "a//b", "%C3%BC", "plus%2Bhash%23q%3F"):
        assert put(wire, name, path, path.encode()).status == 200
        answer = wire.follow("GET", f"/v1/objects/{name}/{path}")
        assert (answer.status, answer.body) == (200, path.encode())


def test_get_headers(wire: Wire, name: str) -> None:
    put(wire, name, "o", b"abc")
    answer = wire.follow("GET", f"/v1/objects/{name}/o")
    assert (answer.status, answer.body) == (200, b"abc")
    assert answer.header("content-type") == "application/octet-stream"
    assert answer.header("content-length") == "3"
    assert answer.header("ais-checksum-type") == "xxhash2"
    assert answer.header("ais-checksum-value") == "44bc2cf5ad770999"
    assert answer.header("ais-version") == "1"
    assert int(answer.header("ais-atime") or 0) > 0
    assert answer.header("content-encoding") is None


@pytest.mark.parametrize(
    ("given", "status", "content_range", "body"),
    [
        ("bytes=0-3", 206, "bytes 0-3/10", b"0123"),
        ("bytes=4-", 206, "bytes 4-9/10", b"456789"),
        ("bytes=-3", 206, "bytes 7-9/10", b"789"),
        ("bytes=-99", 206, "bytes 0-9/10", b"0123456789"),
        ("bytes=8-99", 206, "bytes 8-9/10", b"89"),
        ("bytes=10-", 416, "bytes */10", None),
        ("bytes=5-2", 416, None, None),
        ("items=1-2", 416, None, None),
        ("bytes=x-2", 416, None, None),
        ("bytes=", 416, None, None),
        ("bytes=0-4,4-5", 416, None, None),
        ("bytes=0-1,40-50", 206, "bytes 0-1/10", b"01"),
    ],
)
def test_ranges(
    wire: Wire, name: str, given: str, status: int, content_range: str | None, body: bytes | None
) -> None:
    put(wire, name, "o", b"0123456789")
    answer = wire.follow("GET", f"/v1/objects/{name}/o", headers={"Range": given})
    assert answer.status == status
    assert answer.header("content-range") == content_range
    if body is not None:
        assert answer.body == body
        assert answer.header("accept-ranges") == "bytes"
        assert answer.header("ais-checksum-value")


def test_head_v2_gives_what_was_asked(wire: Wire, name: str) -> None:
    put(wire, name, "o", b"abc", **{"Ais-Custom-Md": "k=v"})
    props = "checksum,atime,version,copies,custom,location,last-modified"
    answer = wire.follow("HEAD", f"/v1/objects/{name}/o", props=props)
    # The redirect already carries the query, so the second request repeats it.
    assert answer.status == 200
    assert answer.header("content-length") == "3"
    assert answer.header("ais-present") == "true"
    assert answer.header("ais-checksum-type") == "xxhash2"
    assert answer.header("ais-mirror-copies") == "1"
    assert answer.header("ais-custom-md") == "k=v"
    assert re.fullmatch(r"t\[\w+\]:mp\[.+\]", answer.header("ais-location") or "")
    assert re.fullmatch(
        r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", answer.header("last-modified") or ""
    )
    bare = wire.follow("HEAD", f"/v1/objects/{name}/o", props="name,size")
    assert bare.header("ais-checksum-value") is None
    bad = wire.follow("HEAD", f"/v1/objects/{name}/o", props="size,colour")
    assert bad.status == 400
    assert "colour" in json.loads(bad.header("hdr-error") or "{}")["message"]


def test_error_envelope(wire: Wire, name: str) -> None:
    answer = wire.follow("GET", f"/v1/objects/{name}/absent")
    assert answer.status == 404
    assert answer.header("content-type") == "application/json"
    assert answer.header("x-content-type-options") == "nosniff"
    error = answer.json()
    assert list(error) == [
        "tcode",
        "message",
        "method",
        "url_path",
        "remote_addr",
        "caller",
        "node",
        "status",
    ]
    assert error["tcode"] == "ErrNotFound"
    assert re.fullmatch(rf"t\[\w+\]: ais://{name}/absent does not exist", error["message"])
    assert (error["method"], error["status"], error["caller"]) == ("GET", 404, "")
    assert error["url_path"] == f"/v1/objects/{name}/absent"
    assert re.fullmatch(r"t\[\w+\]", error["node"])

    gone = wire.send("GET", "/v1/buckets/nope", action={"action": "list", "value": {}})
    assert gone.status == 404
    assert gone.json()["tcode"] == "ErrBckNotFound"
    assert gone.json()["message"] == 'bucket "ais://nope" does not exist'


def test_head_errors_travel_in_a_header(wire: Wire) -> None:
    answer = wire.send("HEAD", "/v1/buckets/nope")
    assert (answer.status, answer.body) == (404, b"")
    assert json.loads(answer.header("hdr-error") or "")["tcode"] == "ErrBckNotFound"


def test_bucket_verbs(wire: Wire, name: str) -> None:
    again = wire.send("POST", f"/v1/buckets/{name}", action={"action": "create-bck"})
    assert (again.status, again.json()["tcode"]) == (409, "ErrBucketAlreadyExists")
    head = wire.send("HEAD", f"/v1/buckets/{name}")
    assert head.status == 200
    props = json.loads(head.header("ais-bucket-props") or "")
    assert props["checksum"]["type"] == "xxhash2"
    assert props["access"] == "18446744073709551615"
    assert int(props["bid"]) >> 63 == 1
    patch = {"action": "set-bprops", "value": {"checksum": {"type": "md5"}}}
    assert wire.send("PATCH", f"/v1/buckets/{name}", action=patch).status == 200
    put(wire, name, "o", b"abc")
    answer = wire.follow("GET", f"/v1/objects/{name}/o")
    assert answer.header("ais-checksum-value") == "900150983cd24fb0d6963f7d28e17f72"
    bad = wire.send(
        "PATCH",
        f"/v1/buckets/{name}",
        action={"action": "set-bprops", "value": {"checksum": {"kind": "md5"}}},
    )
    assert bad.status == 400
    assert "checksum.kind" in bad.json()["message"]
    assert (
        wire.send("PATCH", f"/v1/buckets/{name}", action={"action": "reset-bprops"}).status == 200
    )
    reset = json.loads(wire.send("HEAD", f"/v1/buckets/{name}").header("ais-bucket-props") or "")
    assert reset["checksum"]["type"] == "xxhash2"
    listed = wire.send("GET", "/v1/buckets", action={"action": "list"}, provider="ais").json()
    assert {"name": name, "provider": "ais", "namespace": {"uuid": "", "name": ""}} in listed


def test_access_bits_are_enforced(wire: Wire, name: str) -> None:
    put(wire, name, "o", b"1")
    read_only = {"action": "set-bprops", "value": {"access": "771"}}
    assert wire.send("PATCH", f"/v1/buckets/{name}", action=read_only).status == 200
    for method in ("PUT", "DELETE"):
        answer = wire.follow(
            method, f"/v1/objects/{name}/o", body=b"2" if method == "PUT" else None
        )
        assert (answer.status, answer.json()["tcode"]) == (403, "ErrBucketAccessDenied")
    assert wire.follow("GET", f"/v1/objects/{name}/o").body == b"1"
    give_back = {"action": "set-bprops", "value": {"access": str(2**64 - 1)}}
    assert wire.send("PATCH", f"/v1/buckets/{name}", action=give_back).status == 200


def test_list_page_in_both_encodings(wire: Wire, name: str) -> None:
    for i in range(5):
        put(wire, name, f"o{i}", b"x" * i)
    value = {
        "prefix": "",
        "pagesize": 3,
        "uuid": "",
        "props": "name,size",
        "continuation_token": "",
        "flags": "0",
        "target": "",
    }
    action = {"action": "list", "value": value}
    packed = wire.send(
        "GET", f"/v1/buckets/{name}", action=action, headers={"Accept": "application/msgpack"}
    )
    assert packed.header("content-type") == "application/msgpack"
    page = msgpack.unpackb(packed.body)
    assert set(page) == {"UUID", "ContinuationToken", "Entries", "Flags"}
    assert [e["n"] for e in page["Entries"]] == ["o0", "o1", "o2"]
    assert page["Entries"][2]["s"] == 2
    assert page["Entries"][2]["f"] & 64
    assert page["ContinuationToken"] == "o2"
    assert len(page["UUID"]) >= 9

    value |= {"uuid": page["UUID"], "continuation_token": "o2"}
    plain = wire.send("GET", f"/v1/buckets/{name}", action=action).json()
    assert [e["name"] for e in plain["entries"]] == ["o3", "o4"]
    assert plain["entries"][1]["size"] == "4"
    assert (plain["continuation_token"], plain["uuid"]) == ("", page["UUID"])


def test_full_last_page_still_has_a_token(wire: Wire, name: str) -> None:
    for i in range(4):
        put(wire, name, f"o{i}", b"")
    value = {"pagesize": 4, "flags": "0"}
    first = wire.send(
        "GET", f"/v1/buckets/{name}", action={"action": "list", "value": value}
    ).json()
    assert first["continuation_token"] == "o3"
    value |= {"continuation_token": "o3", "uuid": first["uuid"]}
    second = wire.send(
        "GET", f"/v1/buckets/{name}", action={"action": "list", "value": value}
    ).json()
    assert not second["entries"]
    assert second["continuation_token"] == ""


def test_health_forms(wire: Wire) -> None:
    plain = wire.send("GET", "/v1/health")
    assert (plain.status, plain.body) == (200, b"")
    assert int(plain.header("ais-node-uptime") or 0) > 0
    assert int(plain.header("ais-cluster-uptime") or 0) > 0
    for query in ({"readiness": "true"}, {"prr": "true"}, {"apr": "true"}):
        assert wire.send("GET", "/v1/health", **query).status == 200
    info = wire.send("GET", "/v1/health", cii="true").json()
    assert info["flags"] == 6
    for node in smap(wire)["tmap"].values():
        assert wire.send("GET", "/v1/health", base=node["public_net"]["direct_url"]).status == 200


def smap(wire: Wire) -> Any:
    return wire.send("GET", "/v1/daemon", what="smap").json()


def test_cluster_map(wire: Wire) -> None:
    found = smap(wire)
    assert len(found["tmap"]) == 3
    assert len(found["pmap"]) == 1
    assert found["proxy_si"]["public_net"]["direct_url"] == wire.endpoint
    assert isinstance(found["version"], str)
    assert all(n["daemon_type"] == "target" for n in found["tmap"].values())


@pytest.mark.parametrize(
    ("path", "what", "kind"),
    [
        ("cluster", "smap", dict), ("cluster", "bmd", dict), ("daemon", "bmd", dict),
        ("cluster", "cluster_config", dict), ("daemon", "config", dict), ("daemon", "snode", dict),
        ("daemon", "node_status", dict), ("daemon", "node_stats", dict), ("cluster", "node_stats", dict),
        ("cluster", "sysinfo", dict), ("cluster", "backends", list), ("cluster", "remote", dict),
        ("cluster", "running_all", list), ("cluster", "mountpaths", dict),
    ],
)  # fmt: skip
def test_queries(wire: Wire, path: str, what: str, kind: type) -> None:
    answer = wire.send("GET", f"/v1/{path}", what=what)
    assert answer.status == 200
    assert answer.header("content-type") == "application/json; charset=utf-8"
    assert answer.body.endswith(b"\n")
    assert isinstance(answer.json(), kind)


def test_unknown_queries_and_paths_say_so(wire: Wire) -> None:
    for path in ("/v1/daemon", "/v1/cluster"):
        answer = wire.send("GET", path, what="nonsense")
        assert answer.status == 400
        assert "nonsense" in answer.json()["message"]
    lost = wire.send("GET", "/v1/nowhere")
    assert (lost.status, "nowhere" in lost.json()["message"]) == (400, True)
    refused = wire.send("PUT", "/v1/health")
    assert refused.status == 405
    assert refused.header("allow")


def test_node_status_of_each_target(wire: Wire) -> None:
    for target in smap(wire)["tmap"]:
        status = wire.send(
            "GET", "/v1/reverse/daemon", what="node_status", headers={"Ais-Node-Id": target}
        ).json()
        assert status["snode"]["daemon_id"] == target
        assert len(status["capacity"]["mountpaths"]) == 2
        assert status["cluster"]["flags"] == 6
        assert status["ais_version"].startswith("5.0")
        assert status["tracker"]["up.ns.time"] > 0
    assert wire.send("GET", "/v1/reverse/daemon", what="node_status").status == 400
    absent = wire.send(
        "GET", "/v1/reverse/daemon", what="node_status", headers={"Ais-Node-Id": "tabsentabsent"}
    )
    assert (absent.status, absent.json()["tcode"]) == (404, "errNodeNotFound")


def test_cluster_config_can_be_set_and_reset(wire: Wire) -> None:
    before = wire.send("GET", "/v1/cluster", what="cluster_config").json()
    assert (
        wire.send("PUT", "/v1/cluster/set-config", **{"get_batch.max_soft_errs": "5"}).status == 200
    )
    after = wire.send("GET", "/v1/cluster", what="cluster_config").json()
    assert after["get_batch"]["max_soft_errs"] == 5
    assert int(after["config_version"]) > int(before["config_version"])
    bad = wire.send("PUT", "/v1/cluster/set-config", **{"get_batch.max_soft_errz": "5"})
    assert bad.status == 400
    assert "max_soft_errz" in bad.json()["message"]
    assert wire.send("PUT", "/v1/cluster", action={"action": "reset-config"}).status == 200
    reset = wire.send("GET", "/v1/cluster", what="cluster_config").json()
    assert reset["get_batch"]["max_soft_errs"] == before["get_batch"]["max_soft_errs"]


def moss(wire: Wire, name: str, entries: list[dict[str, Any]], **options: Any) -> Any:
    body = json.dumps({"in": entries, "mime": ".tar", "strm": True, **options}).encode()
    return wire.follow(
        "GET", f"/v1/ml/moss/{name}", body=body, headers={"Content-Type": "application/json"}
    )


def test_batch_redirects_with_307_and_streams_a_tar(wire: Wire, name: str) -> None:
    for i in range(6):
        put(wire, name, f"o{i}", bytes([i]) * i)
    body = json.dumps({"in": [{"objname": "o1"}], "strm": True}).encode()
    assert wire.send("GET", f"/v1/ml/moss/{name}", body=body).status == 307
    answer = moss(
        wire, name, [{"objname": f"o{i}", "bucket": name, "provider": "ais"} for i in (5, 0, 3)]
    )
    assert (answer.status, answer.header("content-type")) == (200, "application/x-tar")
    with tarfile.open(fileobj=io.BytesIO(answer.body)) as archive:
        members = archive.getmembers()
        assert [(m.name, m.size, m.mode) for m in members] == [
            (f"{name}/o5", 5, 0o644),
            (f"{name}/o0", 0, 0o644),
            (f"{name}/o3", 3, 0o644),
        ]


def test_batch_in_multipart(wire: Wire, name: str) -> None:
    put(wire, name, "o", b"abc")
    answer = moss(wire, name, [{"objname": "o"}, {"objname": "gone"}], strm=False, coer=True)
    assert answer.status == 200
    kind, _, boundary = (answer.header("content-type") or "").partition("; boundary=")
    assert kind == "multipart/mixed"
    empty, first, second, end = answer.body.split(b"--" + boundary.encode())
    assert empty == b""
    assert end == b"--\r\n"
    described = json.loads(first.split(b"\r\n\r\n", 1)[1])
    assert [o["objname"] for o in described["out"]] == ["o", "gone"]
    assert described["out"][0]["size"] == 3
    assert described["out"][1]["err_msg"]
    with tarfile.open(fileobj=io.BytesIO(second.split(b"\r\n\r\n", 1)[1])) as archive:
        assert archive.getnames() == [f"{name}/o", f"__404__/{name}/gone"]


@pytest.mark.parametrize(
    ("entries", "options", "status", "text"),
    [
        ([], {}, 400, "empty input"),
        ([{"objname": "o", "start": 1}], {}, 400, "range"),
        ([{"objname": "a/../b"}], {}, 400, "a/../b"),
        ([{"objname": "o"}], {"mime": ".rar"}, 400, "rar"),
        ([{"objname": "o", "bucket": "no-such", "provider": "ais"}], {}, 404, "no-such"),
    ],
)  # fmt: skip
def test_bad_batches(
    wire: Wire, name: str, entries: list[Any], options: dict[str, Any], status: int, text: str
) -> None:
    answer = moss(wire, name, entries, **options)
    assert answer.status == status
    assert text in answer.json()["message"]


def test_easy_urls_and_metrics(wire: Wire, name: str) -> None:
    put(wire, name, "o", b"abc")
    assert wire.follow("GET", f"/ais/{name}/o").body == b"abc"
    for base in [
        wire.endpoint,
        *(n["public_net"]["direct_url"] for n in smap(wire)["tmap"].values()),
    ]:
        text = wire.send("GET", "/metrics", base=base).body.decode()
        samples = [line for line in text.splitlines() if line and not line.startswith("#")]
        assert samples
        assert all(
            re.fullmatch(r"[a-zA-Z_:][\w:]*(\{.*\})? [-+0-9.eE]+(Inf|NaN)?", s) for s in samples
        )
        helps = {line.split()[2] for line in text.splitlines() if line.startswith("# HELP")}
        assert any(h.startswith("ais_") for h in helps)


def test_mutations_sent_straight_to_a_target_are_refused(wire: Wire, name: str) -> None:
    node = next(iter(smap(wire)["tmap"].values()))["public_net"]["direct_url"]
    for method in ("PUT", "DELETE"):
        answer = wire.send(
            method, f"/v1/objects/{name}/o", base=node, body=b"x" if method == "PUT" else None
        )
        assert answer.status == 400
        assert "expected to be redirected" in answer.json()["message"]


def test_archpath_reads_one_file_of_a_shard(wire: Wire, name: str) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for member, content in (("a.txt", b"first"), ("dir/b.txt", b"second"), ("a.txt", b"again")):
            info = tarfile.TarInfo(member)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    put(wire, name, "s.tar", out.getvalue())
    path = f"/v1/objects/{name}/s.tar"
    for member, content in (
        ("a.txt", b"first"),
        ("/dir/b.txt", b"second"),
        ("s.tar/a.txt", b"first"),
    ):
        location = wire.send("GET", path, archpath=member)
        assert location.status == 301
        assert wire.follow("GET", path, archpath=member).body == content
    absent = wire.follow("GET", path, archpath="nope")
    assert absent.status == 404
    assert f"ais://{name}/s.tar" in absent.json()["message"]
