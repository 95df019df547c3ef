"""What users get wrong and enemies send: a clear error that names input and remedy, and nothing lost."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from support import Wire, wait_until

import aistore
from aistore.sdk import Bucket, Client
from aistore.sdk.errors import AISError, ErrObjNotFound


def aisnode(*args: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs a node that is expected to end by itself."""
    command = [str(Path(sys.executable).parent / "aisnode"), *args]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **(env or {})},
    )


def test_unknown_flag_names_it() -> None:
    done = aisnode("--rolle", "target")
    assert done.returncode == 2
    assert "--rolle" in done.stderr
    assert "--role" in done.stderr


def test_unknown_config_key_names_key_and_file(tmp_path: Path) -> None:
    config = tmp_path / "node.toml"
    config.write_text('rolle = "target"\n')
    done = aisnode("--config", str(config))
    assert done.returncode == 2
    assert "rolle" in done.stderr
    assert str(config) in done.stderr
    assert "role" in done.stderr.replace("rolle", "")


def test_bad_values_are_named(tmp_path: Path) -> None:
    for args in (["--listen", "nowhere"], ["--role", "king"], ["--log-level", "shouting"]):
        done = aisnode("--data-dir", str(tmp_path), *args)
        assert done.returncode == 2, done.stderr
        assert args[1] in done.stderr
    done = aisnode("--role", "target", "--data-dir", str(tmp_path))
    assert done.returncode == 2
    assert "--join" in done.stderr


def test_port_in_use_names_the_address(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = aisnode("--role", "gateway", "--listen", address, "--data-dir", str(tmp_path))
    assert done.returncode == 1
    assert address in done.stderr
    assert "--listen" in done.stderr


def test_data_dir_that_cannot_be_written(tmp_path: Path) -> None:
    occupied = tmp_path / "file"
    occupied.write_text("not a folder")
    done = aisnode(
        "--role", "gateway", "--listen", "127.0.0.1:0", "--data-dir", str(occupied / "data")
    )
    assert done.returncode == 1
    assert str(occupied) in done.stderr


def test_mountpath_in_use_by_another_node(
    own_cluster: aistore.LocalCluster, tmp_path: Path
) -> None:
    mountpath = next(iter(own_cluster.root.glob("**/mp1")))
    done = aisnode(
        "--role", "target", "--listen", "127.0.0.1:0", "--join", own_cluster.endpoint,
        "--data-dir", str(tmp_path / "other"), "--mountpath", str(mountpath),
    )  # fmt: skip
    assert done.returncode == 1
    assert str(mountpath) in done.stderr


@pytest.mark.parametrize("name", ["", "a..b", ".hidden", "with space", "x" * 65, "ü"])
def test_bad_bucket_names(client: Client, name: str) -> None:
    with pytest.raises((AISError, ValueError)) as refused:
        client.bucket(name).create()
    if name:
        assert "invalid bucket name" in str(refused.value)
    if isinstance(refused.value, AISError):
        assert refused.value.status_code == 400


@pytest.mark.parametrize(
    "path", ["../up", "a/../b", "./a", "a/.", "~/home", "dir/", "%2e%2e/x", "nul%00byte", "%ff"]
)
def test_bad_object_names(wire: Wire, bucket: Bucket, path: str) -> None:
    for method in ("PUT", "GET", "DELETE"):
        answer = wire.follow(
            method, f"/v1/objects/{bucket.name}/{path}", body=b"x" if method == "PUT" else None
        )
        assert answer.status == 400, method
        assert "object name" in answer.json()["message"]
    assert bucket.list_all_objects() == []


def owner_request(wire: Wire, bucket: Bucket, name: str) -> tuple[tuple[str, int], str]:
    """Address and path of the redirected PUT."""
    location = urlsplit(
        wire.send("PUT", f"/v1/objects/{bucket.name}/{name}", body=b"").header("location") or ""
    )
    return (location.hostname or "", location.port or 0), f"{location.path}?{location.query}"


def send_raw(address: tuple[str, int], data: bytes) -> bytes:
    """Sends bytes and a half-close; what came back, also when the server hung up in between."""
    answer = b""
    with closing(socket.create_connection(address, timeout=20)) as conn:
        try:
            conn.sendall(data)
            conn.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the server may refuse before it has read everything
        try:
            while piece := conn.recv(65536):
                answer += piece
        except ConnectionError:
            pass
    return answer


def test_truncated_upload_changes_nothing(wire: Wire, bucket: Bucket) -> None:
    bucket.object("o").get_writer().put_content(b"before")
    for announced, sent in ((1_000_000, 10), (5_000_000, 4_999_999)):
        address, path = owner_request(wire, bucket, "o")
        head = f"PUT {path} HTTP/1.1\r\nHost: t\r\nContent-Length: {announced}\r\n\r\n".encode()
        answer = send_raw(address, head + b"x" * sent)
        assert b" 200 " not in answer.split(b"\r\n")[0]
    address, path = owner_request(wire, bucket, "new")
    send_raw(
        address,
        f"PUT {path} HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n400\r\nabc".encode(),
    )
    assert bucket.object("o").get_reader().read_all() == b"before"
    assert [e.name for e in bucket.list_all_objects()] == ["o"]


def test_bytes_beyond_the_announced_length_are_not_stored(wire: Wire, bucket: Bucket) -> None:
    address, path = owner_request(wire, bucket, "o")
    head = f"PUT {path} HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\n".encode()
    send_raw(address, head + b"abcdefgh")
    assert bucket.object("o").get_reader().read_all() == b"abc"


@pytest.mark.parametrize(
    "request_head",
    [
        "PUT {path} HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabc",
        "PUT {path} HTTP/1.1\r\nHost: t\r\nContent-Length: -1\r\n\r\nabc",
        "PUT {path} HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc",
        "PUT {path} HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nabc",
        "PUT {path} HTTP/1.1\r\nHost: t\r\nX: {big}\r\n\r\n",
        "\x00\x01garbage\r\n\r\n",
    ],
)
def test_malformed_requests_are_refused(wire: Wire, bucket: Bucket, request_head: str) -> None:
    address, path = owner_request(wire, bucket, "o")
    answer = send_raw(
        address, request_head.format(path=path, big="y" * 2_000_000).encode("latin-1")
    )
    assert not answer.startswith(b"HTTP/1.1 200")
    assert bucket.list_all_objects() == []
    assert wire.send("GET", "/v1/health", base=f"http://{address[0]}:{address[1]}").status == 200


def test_wrong_checksum_is_refused_and_the_old_object_stays(wire: Wire, bucket: Bucket) -> None:
    bucket.object("o").get_writer().put_content(b"before")
    path = f"/v1/objects/{bucket.name}/o"
    headers = {"Ais-Checksum-Type": "md5", "Ais-Checksum-Value": "0" * 32}
    answer = wire.follow("PUT", path, body=b"after", headers=headers)
    assert answer.status == 500
    assert f"BAD DATA CHECKSUM: md5({'0' * 32} != " in answer.json()["message"]
    assert f"ais://{bucket.name}/o" in answer.json()["message"]
    unknown = wire.follow(
        "PUT", path, body=b"x", headers={"Ais-Checksum-Type": "sha3", "Ais-Checksum-Value": "00"}
    )
    assert unknown.status == 400
    assert "sha3" in unknown.json()["message"]
    assert bucket.object("o").get_reader().read_all() == b"before"

    right = {"Ais-Checksum-Type": "crc32c", "Ais-Checksum-Value": "364b3fb7"}
    assert wire.follow("PUT", path, body=b"abc", headers=right).status == 200
    assert bucket.object("o").get_reader().read_all() == b"abc"


def test_range_beyond_the_end(bucket: Bucket) -> None:
    bucket.object("o").get_writer().put_content(b"0123456789")
    with pytest.raises(AISError) as refused:
        bucket.object("o").get_reader(byte_range="bytes=10-").read_all()
    assert refused.value.status_code == 416
    assert f"ais://{bucket.name}/o" in str(refused.value)


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'"x"', b"\xff\xfe", b'{"action": 5}', b'{"action": "no-such-thing"}']
)
def test_malformed_action_messages(wire: Wire, bucket: Bucket, body: bytes) -> None:
    for method in ("POST", "PATCH", "DELETE", "GET"):
        answer = wire.send(
            method,
            f"/v1/buckets/{bucket.name}",
            body=body,
            headers={"Content-Type": "application/json"},
        )
        assert answer.status in {400, 501}, (method, answer.body)
        assert answer.json()["message"]
    assert wire.send("HEAD", f"/v1/buckets/{bucket.name}").status == 200


def test_an_oversized_control_body_is_refused(wire: Wire, bucket: Bucket) -> None:
    body = json.dumps({"action": "create-bck", "name": "x" * (80 << 20)}).encode()
    try:
        answer = wire.send("POST", f"/v1/buckets/{bucket.name}x", body=body)
    except (BrokenPipeError, ConnectionResetError):
        return
    assert answer.status in {400, 413}


def test_unreachable_endpoint_names_it() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    client = aistore.Client(f"http://127.0.0.1:{port}")
    with pytest.raises(ConnectionError, match=str(port)):
        client.cluster().get_info()
    with pytest.raises((ValueError, AISError), match="htp"):
        aistore.Client("htp://x").cluster().get_info()


def test_target_killed_in_the_middle_of_a_request(own_cluster: aistore.LocalCluster) -> None:
    client = own_cluster.client()
    bucket = client.bucket("b").create()
    content = os.urandom(8 << 20)
    names = [f"o{i:02}" for i in range(24)]
    bucket.put_many([(name, content) for name in names])
    owners = {name: urlsplit(locate(own_cluster, bucket, name)).netloc for name in names}

    readers = {name: bucket.object(name).get_reader().as_file(max_resume=0) for name in names[:6]}
    started = {name: reader.read(100_000) for name, reader in readers.items()}
    killed = own_cluster.kill_target(0)
    outcome = {}
    for name, reader in readers.items():
        try:
            outcome[name] = started[name] + reader.read() == content
        except Exception as exc:  # noqa: BLE001 - any error is fine, silence is not
            outcome[name] = str(exc)
    assert all(result is True or isinstance(result, str) for result in outcome.values()), outcome

    dead = [name for name in names if owners[name] == urlsplit(killed).netloc]
    assert dead
    with pytest.raises(ConnectionError) as lost:
        bucket.object(dead[0]).get_reader().read_all()
    assert urlsplit(killed).netloc in str(lost.value)
    with pytest.raises(Exception, match="b/" + dead[0] + "|" + urlsplit(killed).netloc):
        list(client.batch(names, bucket=bucket, cont_on_err=False).get())
    with pytest.raises(Exception, match=r"t\[|" + urlsplit(killed).netloc):
        bucket.list_all_objects()

    own_cluster.restart_target(0)
    assert all(c == content for _, c in client.batch(names, bucket=bucket).get())


def locate(cluster: aistore.LocalCluster, bucket: Bucket, name: str) -> str:
    return (
        Wire(cluster.endpoint).send("GET", f"/v1/objects/{bucket.name}/{name}").header("location")
        or ""
    )


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 160 MiB."""
    path = tmp_path / "small"
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=160m", "tmpfs", path], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("mounting a small file system needs root")
    yield path
    subprocess.run(["umount", "-l", path], check=True)


def test_full_disk_refuses_writes_and_keeps_serving(small_disk: Path) -> None:
    with aistore.LocalCluster(targets=1, mountpaths=1, root=small_disk / "c") as cluster:
        bucket = cluster.client().bucket("b").create()
        piece, stored = os.urandom(8 << 20), []
        for i in range(40):
            try:
                bucket.object(f"o{i}").get_writer().put_content(piece)
            except AISError as exc:
                assert exc.status_code == 507  # noqa: PT017 - the loop goes on
                assert "space" in str(exc)
                break
            stored.append(f"o{i}")
        else:
            pytest.fail("the disk never filled")
        assert len(stored) > 3
        for name in stored:
            assert bucket.object(name).get_reader().read_all() == piece
        assert [e.name for e in bucket.list_all_objects()] == sorted(stored)
        for name in stored[:3]:
            bucket.object(name).delete()
        wait_until(lambda: put_works(bucket, piece), "space is usable again")
        with pytest.raises(ErrObjNotFound):
            bucket.object(stored[0]).get_reader().read_all()


def put_works(bucket: Bucket, content: bytes) -> bool:
    try:
        bucket.object("again").get_writer().put_content(content)
    except AISError:
        return False
    return bucket.object("again").get_reader().read_all() == content


def test_slow_and_silent_peers_do_not_stop_others(wire: Wire, bucket: Bucket) -> None:
    """Half-sent requests hold only their own connection."""
    address, path = owner_request(wire, bucket, "o")
    idle = [socket.create_connection(address, timeout=10) for _ in range(64)]
    try:
        for conn in idle:
            conn.sendall(f"PUT {path} HTTP/1.1\r\nHost: t\r\nContent-Le".encode())
        done = threading.Event()

        def work() -> None:
            for i in range(20):
                bucket.object(f"x{i}").get_writer().put_content(b"1")
            done.set()

        worker = threading.Thread(target=work)
        worker.start()
        worker.join(timeout=20)
        assert done.is_set()
    finally:
        for conn in idle:
            conn.close()


def test_a_target_may_not_join_where_it_would_hide_objects(
    own_cluster: aistore.LocalCluster, tmp_path: Path
) -> None:
    """Without rebalance a new target would own objects that it does not have."""
    bucket = own_cluster.client().bucket("b").create()
    bucket.put_many([(f"o{i}", b"x") for i in range(30)])
    done = aisnode(
        "--role", "target", "--listen", "127.0.0.1:0", "--join", own_cluster.endpoint,
        "--data-dir", str(tmp_path / "late"),
    )  # fmt: skip
    assert done.returncode == 1
    assert own_cluster.endpoint in done.stderr
    assert "rebalanced" in done.stderr
    assert all(bucket.object(f"o{i}").get_reader().read_all() == b"x" for i in range(30))
