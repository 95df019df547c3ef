"""The servers that a user would pick instead, on loopback, in a folder of their own."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from common import ROOT, SDK_PYTHON


@contextmanager
def seaweed(folder: Path) -> Iterator[str | None]:
    """A SeaweedFS server with its S3 API on loopback, or None where it is not installed."""
    weed = shutil.which(
        "weed", path=f"{ROOT / '.venv-sdk' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    )
    if weed is None:
        yield None
        return
    ports = free_ports(6)
    command = [
        weed, "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-volume.max=20", "-filer", "-s3",
        f"-master.port={ports[0]}", f"-volume.port={ports[1]}", f"-filer.port={ports[2]}", f"-s3.port={ports[3]}",
        f"-master.port.grpc={ports[4]}", f"-filer.port.grpc={ports[5]}", "-master.volumeSizeLimitMB=1024",
    ]  # fmt: skip
    with (
        (folder / "weed.log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log, cwd=folder) as process,
    ):
        try:
            endpoint = f"http://127.0.0.1:{ports[3]}"
            await_http(f"{endpoint}/", 60)
            yield endpoint
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [s.getsockname()[1] for s in sockets]
    finally:
        for s in sockets:
            s.close()


def await_http(url: str, seconds: float) -> None:
    """Waits until anything answers."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(url, timeout=2).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def put_s3(endpoint: str, path: str, body: bytes | None) -> None:
    """One anonymous S3 PUT, tried again while the server warms up."""
    for attempt in range(30):
        request = urllib.request.Request(f"{endpoint}{path}", data=body, method="PUT")  # noqa: S310
        try:
            urllib.request.urlopen(request, timeout=30).close()
        except urllib.error.HTTPError:
            if attempt == 29:
                raise
            time.sleep(0.5)
        else:
            return


def version(package: str) -> str:
    """Version of a package in the official SDK's environment."""
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    done = subprocess.run([SDK_PYTHON, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "?"


@dataclass
class Nginx:
    """A running nginx that serves the files below `root`."""

    host: str
    root: Path
    pids: list[int]


NGINX = """
worker_processes auto; worker_rlimit_nofile {files}; daemon off; error_log {folder}/error.log; pid {folder}/pid; user root;
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; tcp_nopush on; tcp_nodelay on; default_type application/octet-stream;
  keepalive_requests 1000000000; keepalive_timeout 600s; {cache}
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{ listen 127.0.0.1:{port}; location / {{ root {root}; }} }}
}}
"""
# As many as a process may have open, less some for connections.
OPEN_FILES = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
OPEN_FILE_CACHE = f"open_file_cache max={min(200_000, OPEN_FILES - 2048)} inactive=600s; open_file_cache_valid 600s;"


def find_nginx() -> Path | None:
    """The one of this machine, or Debian's, unpacked beside the build (no rights needed)."""
    installed = shutil.which("nginx", path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")
    if installed:
        return Path(installed)
    folder = ROOT / "target" / "bench-tools"
    binary = folder / "nginx" / "usr" / "sbin" / "nginx"
    if not binary.exists() and shutil.which("apt-get") and shutil.which("dpkg"):
        folder.mkdir(parents=True, exist_ok=True)
        # Without it the lines against nginx say so.
        fetch = ["apt-get", "download", "nginx"]
        subprocess.run(fetch, cwd=folder, capture_output=True, check=False)
        for package in folder.glob("nginx_*.deb"):
            subprocess.run(["dpkg", "-x", package, folder / "nginx"], check=False)
    return binary if binary.exists() else None


@contextmanager
def nginx(binary: Path, folder: Path, root: Path, cache: str = "") -> Iterator[Nginx]:
    """nginx with sendfile and as many workers as there are cores."""
    folder.mkdir()
    (port,) = free_ports(1)
    config = folder / "nginx.conf"
    config.write_text(
        NGINX.format(files=OPEN_FILES, folder=folder, root=root, port=port, cache=cache)
    )
    with subprocess.Popen([binary, "-c", config, "-p", folder, "-e", folder / "log"]) as process:
        try:
            await_http(f"http://127.0.0.1:{port}/", 20)
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
            yield Nginx(f"127.0.0.1:{port}", root, [process.pid, *map(int, children.split())])
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=20)
