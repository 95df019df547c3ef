"""Buckets, selections and the cluster: the requests that they send, what they make of answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from aistore.sdk import Bucket, Client, MultipartConfig
from aistore.sdk.enums import FLTPresence
from aistore.sdk.errors import InvalidBckProvider, UnexpectedHTTPStatusCode
from aistore.sdk.namespace import Namespace
from unit.fakes import FakeNative, Sent, reply

NODE = {"daemon_id": "p1", "daemon_type": "proxy"}


@pytest.fixture
def client(native: FakeNative) -> Client:
    return Client("http://fake")


@pytest.fixture
def bucket(client: Client) -> Bucket:
    return client.bucket("b")


def only(native: FakeNative) -> Sent:
    (sent,) = native.requests
    return sent


def test_create_with_properties(bucket: Bucket, native: FakeNative) -> None:
    bucket.create(props={"mirror": {"enabled": True}})
    assert only(native).json["value"] == {"mirror": {"enabled": True}}
    with pytest.raises(InvalidBckProvider):
        Client("http://fake").bucket("b", "aws").create()


def test_rename(bucket: Bucket, native: FakeNative) -> None:
    native.answers = [reply("job-1")]
    assert bucket.rename("c") == "job-1"
    sent = only(native)
    assert (sent.method, sent.path, sent.json["action"]) == ("POST", "/v1/buckets/b", "move-bck")
    assert sent.params == {"provider": "ais", "bck_to": "ais/@#/c/"}
    assert (bucket.name, bucket.get_path(), bucket.object("o").uname) == (
        "c",
        "ais/@#/c/",
        "ais/@#/c/o",
    )


def test_evict(client: Client, native: FakeNative) -> None:
    client.bucket("b", "s3").evict(keep_md=True)
    assert only(native).params == {"provider": "aws", "keep_bck_md": "True"}
    with pytest.raises(InvalidBckProvider):
        client.bucket("b").evict()


def test_copy(client: Client, bucket: Bucket, native: FakeNative) -> None:
    native.answers = [reply("job-1"), reply("job-2")]
    there = client.bucket("d", namespace=Namespace(uuid="u", name="n"))
    assert bucket.copy(there, "p/", "bak/", {"jpg": "txt"}, num_workers=4, sync=True) == "job-1"
    sent = only(native)
    assert sent.params["bck_to"] == "ais/@u#n/d/"
    assert sent.json["value"] == {
        "ext": {"jpg": "txt"},
        "num-workers": 4,
        "prefix": "p/",
        "prepend": "bak/",
        "dry_run": False,
        "force": False,
        "latest-ver": False,
        "synchronize": True,
    }
    bucket.copy(there)
    assert "num-workers" not in native.requests[1].json["value"]


def test_transform_and_inspect(bucket: Bucket, native: FakeNative) -> None:
    native.answers = [reply("job-1")]
    assert bucket.inspect("my-etl", num_workers=2, etl_pipeline=["more"]) == "job-1"
    sent = only(native)
    assert (sent.json["action"], sent.params["bck_to"]) == ("etl-bck", "ais/@#/b/")
    wanted = {"id": "my-etl", "pipeline": ["more"], "request_timeout": "5m", "coer": True}
    assert wanted.items() <= sent.json["value"].items()


def test_summary(bucket: Bucket, native: FakeNative, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("aistore.sdk._bucket_jobs.time.sleep", pauses.append)
    counted = [{"name": "b", "ObjCount": {"obj_count_present": "3"}}]
    native.answers = [
        reply('"job-1"', 202),
        reply("", 202),
        reply(counted, 206),
        reply(counted),
    ]
    assert bucket.summary(prefix="p") == counted[0]
    values = [sent.json["value"] for sent in native.requests]
    assert [value["uuid"] for value in values] == ["", "job-1", "job-1", "job-1"]
    assert values[0] == {"uuid": "", "prefix": "p", "cached": True, "present": True}
    assert pauses == pytest.approx([0.2, 0.3])
    native.answers = [reply(counted)]
    with pytest.raises(UnexpectedHTTPStatusCode):
        bucket.summary()


def test_info(bucket: Bucket, native: FakeNative, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aistore.sdk._bucket_jobs.time.sleep", lambda _s: None)
    native.answers = [
        reply(
            status=202, headers={"Ais-Bucket-Props": '{"provider":"ais"}', "Ais-Xaction-Id": "j"}
        ),
        reply(status=206),
        reply(headers={"Ais-Bucket-Summ": '{"name":"b"}'}),
    ]
    assert bucket.info(FLTPresence.FLT_PRESENT, False, "p q/") == (
        '{"provider":"ais"}',
        {"name": "b"},
    )
    first, *others = native.requests
    assert (first.path, first.params["presence"]) == ("/v1/buckets/b/p%20q/", "2")
    assert first.params["bsumm_remote"] == "False"
    assert [sent.params["uuid"] for sent in others] == ["j", "j"]
    with pytest.raises(ValueError, match="99"):
        bucket.info(99)
    native.answers = [reply()]
    with pytest.raises(UnexpectedHTTPStatusCode):
        bucket.info()


def test_properties(bucket: Bucket, native: FakeNative) -> None:
    native.answers = [reply(headers={"ais-bucket-props": '{"mirror":{}}'}), reply("j"), reply()]
    assert bucket.get_props() == {"mirror": {}}
    assert bucket.set_props({"mirror": {"copies": 2}}) == "j"
    assert bucket.reset_props() == ""
    assert native.requests[1].json == {
        "action": "set-bprops",
        "name": "",
        "value": {"mirror": {"copies": 2}},
    }


def test_inventories(client: Client, native: FakeNative) -> None:
    bucket = client.bucket("b", "gs")
    inventory = {"bucket": "b", "name": "i", "size": 5, "new-key": 1}
    native.answers = [reply("inv-1"), reply({"obj": inventory}), reply()]
    assert bucket.create_inventory(prefix="p") == "inv-1"
    assert bucket.show_inventory()["obj"].size == 5
    bucket.destroy_inventory("i")
    assert native.requests[0].json["value"] == {"prefix": "p"}
    assert native.requests[2].json["name"] == "i"


def test_archives_are_listed_by_prefix(bucket: Bucket, native: FakeNative) -> None:
    for name in ("s.tar", "s.tar/a", "s.tar/b", "s.tar2"):
        bucket.object(name).get_writer().put_content(b"")
    assert [entry.name for entry in bucket.list_archive("s.tar")] == ["s.tar/a", "s.tar/b"]
    assert len(bucket.list_archive("s.tar", include_archive_obj=True)) == 3


def test_selections(client: Client, bucket: Bucket, native: FakeNative) -> None:
    group = bucket.objects(obj_template="s-{00..09}.tar")
    native.answers = [reply("d1"), reply("c1,c2"), reply("a1"), reply("t1")]
    assert group.delete() == "d1"
    assert group.copy(client.bucket("d"), prepend="x/", num_workers=3) == ["c1", "c2"]
    assert group.archive("all.tar", include_source_name=True) == ["a1"]
    assert group.inspect("my-etl") == "t1"
    delete, copy, archive, inspect = native.requests
    assert (delete.method, delete.json["action"]) == ("DELETE", "delete-listrange")
    assert delete.json["value"] == {"template": "s-{00..09}.tar"}
    assert copy.json["value"] == {
        "template": "s-{00..09}.tar",
        "prefix": "",
        "prepend": "x/",
        "dry_run": False,
        "force": False,
        "latest-ver": False,
        "synchronize": False,
        "tobck": {"name": "d", "provider": "ais"},
        "coer": False,
        "num-workers": 3,
    }
    assert archive.method == "PUT"
    assert archive.json["value"]["tobck"]["name"] == "b"
    assert inspect.json["value"]["dry_run"] is True
    with pytest.raises(InvalidBckProvider):
        group.prefetch()
    with pytest.raises(InvalidBckProvider):
        group.evict()
    remote = client.bucket("r", "aws").objects(obj_names=["a"])
    remote.prefetch(blob_threshold=7, latest=True)
    assert native.requests[-1].json["value"] == {
        "objnames": ["a"],
        "coer": False,
        "latest-ver": True,
        "blob-threshold": 7,
    }


def test_objects_act(client: Client, bucket: Bucket, native: FakeNative) -> None:
    obj = bucket.object("a b/ü")
    native.answers = [reply(), reply("p1"), reply(), reply("b1")]
    obj.copy(client.bucket("d").object("x/y"), latest=True)
    assert obj.promote("/var/lib/ais/promote/f", recursive=True) == "p1"
    assert obj.rename("new").name == "new"
    assert obj.blob_download(chunk_size=5) == "b1"
    copy, promote, rename, blob = native.requests
    assert (copy.method, copy.path) == ("PUT", "/v1/objects/b/a%20b/%C3%BC")
    assert copy.params == {
        "provider": "ais",
        "object_to": "ais/@#/d/x/y",
        "latest-ver": "true",
        "synchronize": "false",
    }
    assert promote.path == "/v1/objects/b"
    assert promote.json["name"] == promote.json["value"]["src"] == "/var/lib/ais/promote/f"
    assert promote.json["value"]["obj"] == "a b/ü"
    assert rename.json["name"] == "new"
    assert blob.json["value"] == {"latest-ver": False, "chunk-size": 5}


def test_a_multipart_upload(bucket: Bucket, native: FakeNative, tmp_path: Path) -> None:
    upload = bucket.object("o").multipart_upload()
    with pytest.raises(ValueError, match="create"):
        upload.add_part(1)
    native.answers = [reply("up-1")]
    assert upload.create() is upload
    assert upload.upload_id == "up-1"
    (tmp_path / "f").write_bytes(b"two")
    upload.add_part(2).put_file(tmp_path / "f")
    upload.add_part(1).put_content(b"one")
    with pytest.raises(ValueError, match="part number"):
        upload.add_part(0)
    upload.complete()
    upload.abort()
    assert native.objects == {"ais/@#/b/o#1": b"one", "ais/@#/b/o#2": b"two"}
    start, complete, abort = native.requests
    assert start.json["action"] == "mpt-upload"
    assert complete.params == {"provider": "ais", "uploadId": "up-1"}
    assert complete.json["value"] == [
        {"part-number": 2, "etag": ""},
        {"part-number": 1, "etag": ""},
    ]
    assert (abort.method, abort.json["action"]) == ("DELETE", "mpt-abort")


def test_large_content_goes_out_in_parts_when_asked(native: FakeNative, tmp_path: Path) -> None:
    config = MultipartConfig(threshold=10, part_size=4, num_workers=3)
    writer = Client("http://fake").bucket("b").object("o").get_writer()
    writer.put_content(b"x" * 10)
    assert native.uploads == []
    writer.put_content(b"x" * 9, multipart=config)
    assert native.uploads == []
    writer.put_content(b"x" * 10, multipart=config)
    (tmp_path / "f").write_bytes(b"y" * 11)
    always = Client("http://fake", multipart_config=config).bucket("b").object("p")
    always.get_writer().put_file(tmp_path / "f")
    assert native.uploads == [("o", 4, 3, {"provider": "ais"}), ("p", 4, 3, {"provider": "ais"})]
    assert native.objects["ais/@#/b/p"] == b"y" * 11
    assert config.part_size_for(99_990) == 10
    for wrong in ({"threshold": 0}, {"part_size": 0}, {"num_workers": 65}):
        with pytest.raises(ValueError, match="expected"):
            MultipartConfig(**wrong)


def test_the_cluster(client: Client, native: FakeNative) -> None:
    smap = {
        "uuid": "c",
        "version": "3",
        "proxy_si": {**NODE, "public_net": {"direct_url": "http://p1"}},
        "pmap": {"p1": NODE},
        "tmap": {"t1": {**NODE, "daemon_id": "t1"}, "t2": {**NODE, "daemon_id": "t2"}},
    }
    cluster = client.cluster()
    native.answers = [reply(None), reply(["copy-bck[j]"]), reply("log"), reply(b"\x1f\x8b")]
    assert cluster.list_jobs_status("copy-bck", "t1") == []
    assert cluster.list_running_jobs() == ["copy-bck[j]"]
    assert cluster.get_node_log("t1", "error") == "log"
    assert cluster.get_node_log_archive("t1") == b"\x1f\x8b"
    asked = native.requests[0].json
    assert asked == {"kind": "copy-bck", "node": "t1", "show_active": False}
    assert native.requests[2].headers["Ais-Node-Id"] == "t1"
    assert native.requests[3].params == {"what": "log", "severity": "info", "all": "true"}
    native.answers = [reply(smap), reply("one"), reply("two")]
    assert cluster.get_cluster_logs() == {"t1": "one", "t2": "two"}
    native.answers = [reply(smap), reply("p")]
    assert cluster.get_cluster_logs(role="proxy") == {"p1": "p"}
    native.answers = [reply(smap), reply({"a": 1}), reply({})]
    assert cluster.get_performance() == {"t1": {"a": 1}, "t2": {}}
    native.answers = [reply(smap)] * 2
    assert (cluster.get_uuid(), cluster.get_primary_url()) == ("c", "http://p1")
