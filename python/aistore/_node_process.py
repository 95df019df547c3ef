"""One `aisnode` process of an embedded cluster."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import aistore
from aistore.sdk.errors import LocalClusterError

if TYPE_CHECKING:
    from collections.abc import Iterable

_POLL_S = 0.005
_KILL_WAIT_S = 5.0
_QUOTED_LINES = 20
_QUOTED_BYTES = 8 << 10
# Started through the interpreter, so that it works where no scripts are on the path. The package's
# own directory comes last: it is needed only when this process found the package in its script's.
_LAUNCH = (
    "import sys; sys.path.append(sys.argv.pop(1)); "
    "from aistore._entry import aisnode; sys.exit(aisnode())"
)


@dataclass(frozen=True)
class NodeSpec:
    """How to start a node.

    Args:
        name: Name in messages.
        role: `gateway` or `target`.
        data_dir: Its state.
        mountpaths: Its data.
        join: Gateway to join; None starts a cluster.
        log: Where its output goes.
        ready: File that it writes when it serves.
        log_level: What it logs.
        listen: Address to listen on.
        promote_root: Directory whose files it may promote to objects; None for the node's default.
        tls: Certificate and key; None serves plain HTTP.
        tls_ca: Authority of the other nodes' certificates, if not their own.
        memory: Its memory budget; None for the node's default.
    """

    name: str
    role: str
    data_dir: Path
    mountpaths: tuple[Path, ...]
    join: str | None
    log: Path
    ready: Path
    log_level: str
    listen: str = "127.0.0.1:0"
    promote_root: Path | None = None
    tls: tuple[Path, Path] | None = None
    tls_ca: Path | None = None
    memory: str | None = None

    def arguments(self, parent_pid: int) -> list[str]:
        """Command-line arguments of the node."""
        options = {
            "--role": self.role,
            "--listen": self.listen,
            "--data-dir": str(self.data_dir),
            "--ready-file": str(self.ready),
            "--parent-pid": str(parent_pid),
            "--log-level": self.log_level,
        }
        if self.memory:
            options["--memory"] = self.memory
        if self.join:
            options["--join"] = self.join
        if self.tls:
            cert, key = self.tls
            options |= {"--tls-cert": str(cert), "--tls-key": str(key)}
        if self.tls_ca:
            options["--tls-ca"] = str(self.tls_ca)
        arguments = [text for option in options.items() for text in option]
        for path in self.mountpaths:
            arguments += ["--mountpath", str(path)]
        if self.promote_root:
            arguments += ["--promote-root", str(self.promote_root)]
        return arguments


class NodeProcess:
    """A node that was started here.

    Args:
        spec: How it was started.
        process: Its process.
    """

    def __init__(self, spec: NodeSpec, process: subprocess.Popen[bytes]) -> None:
        self._spec = spec
        self._process = process
        self._node_id = ""
        self._url = ""

    @classmethod
    def launch(cls, spec: NodeSpec) -> NodeProcess:
        """Starts a node; does not wait for it."""
        for directory in (spec.data_dir, *spec.mountpaths, spec.log.parent, spec.ready.parent):
            directory.mkdir(parents=True, exist_ok=True)
        spec.ready.unlink(missing_ok=True)
        # Settings meant for another node must not reach this one.
        environment = {k: v for k, v in os.environ.items() if not k.startswith("AISNODE_")}
        with spec.log.open("ab") as log:
            process = subprocess.Popen(  # noqa: S603 - our own program, no shell
                [*_program(), *spec.arguments(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                # A session of its own: Ctrl-C in a terminal or notebook is not for the nodes.
                start_new_session=True,
            )
        return cls(spec, process)

    def relaunch(self) -> NodeProcess:
        """Starts the node again, at the same address."""
        address = urlsplit(self._url)
        return self.launch(replace(self._spec, listen=address.netloc))

    @property
    def name(self) -> str:
        """Name in messages: `target-0`."""
        return self._spec.name

    @property
    def role(self) -> str:
        """`gateway` or `target`."""
        return self._spec.role

    @property
    def node_id(self) -> str:
        """Id in the cluster map."""
        return self._node_id

    @property
    def url(self) -> str:
        """URL for clients."""
        return self._url

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def log_path(self) -> Path:
        """Where its output goes."""
        return self._spec.log

    def is_ready(self) -> bool:
        """Whether it has served at some time."""
        return bool(self._url)

    def is_running(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    def wait_ready(self, deadline: float) -> None:
        """Waits until the node serves.

        Args:
            deadline: By the monotonic clock.

        Raises:
            LocalClusterError: It ended, or the time is up.
        """
        while not self._read_ready():
            self.require_alive()
            if time.monotonic() > deadline:
                raise LocalClusterError(f"{self.name} was not ready in time\n{self.log_tail()}")
            time.sleep(_POLL_S)

    def _read_ready(self) -> bool:
        try:
            told = json.loads(self._spec.ready.read_bytes())
        except FileNotFoundError:
            return False
        node = next(node for node in told["nodes"] if node["role"] in {self.role, "proxy"})
        self._node_id, self._url = node["id"], node["url"]
        return True

    def require_alive(self) -> None:
        """Checks that the process has not ended.

        Raises:
            LocalClusterError: It has.
        """
        code = self._process.poll()
        if code is not None:
            ended = f"by signal {-code}" if code < 0 else f"with exit code {code}"
            raise LocalClusterError(f"{self.name} ended {ended}\n{self.log_tail()}")

    def log_tail(self) -> str:
        """The last lines of the log, with its path."""
        try:
            with self._spec.log.open("rb") as log:
                log.seek(max(0, self._spec.log.stat().st_size - _QUOTED_BYTES))
                lines = log.read().decode("utf-8", "replace").splitlines()[-_QUOTED_LINES:]
        except OSError as error:
            return f"(no log: {error})"
        return "\n".join([f"last lines of {self._spec.log}:", *(f"  {line}" for line in lines)])

    def terminate(self) -> None:
        """Asks the node to stop."""
        if self.is_running():
            self._process.terminate()

    def kill(self) -> None:
        """Ends the process at once and waits until it is gone."""
        if self.is_running():
            self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_KILL_WAIT_S)

    def stop(self, deadline: float) -> None:
        """Asks the node to stop; ends it when the time is up.

        Args:
            deadline: By the monotonic clock.
        """
        self.terminate()
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.kill()

    def __repr__(self) -> str:
        state = "running" if self.is_running() else "ended"
        return f"NodeProcess({self.name}, {self.url or 'starting'}, pid={self.pid}, {state})"


def stop_all(nodes: Iterable[NodeProcess], deadline: float) -> None:
    """Stops several nodes at the same time."""
    nodes = list(nodes)
    for node in nodes:
        node.terminate()
    for node in nodes:
        node.stop(deadline)


def _program() -> list[str]:
    if sys.executable:
        package_home = Path(aistore.__file__).absolute().parents[1]
        return [sys.executable, "-c", _LAUNCH, str(package_home)]
    script = shutil.which("aisnode")
    if script is None:
        raise LocalClusterError("no Python interpreter and no aisnode on the path: install aistore")
    return [script]
