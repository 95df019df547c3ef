"""An embedded cluster: real `aisnode` processes on loopback that end with this process."""

from __future__ import annotations

import html
import os
import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

from aistore import _node_process
from aistore._certificates import certificate_files
from aistore._node_process import NodeProcess, NodeSpec
from aistore._temp_roots import TempRoot
from aistore.sdk._handles import forget_endpoint
from aistore.sdk.client import Client
from aistore.sdk.errors import AISError, LocalClusterError

if TYPE_CHECKING:
    from os import PathLike
    from types import TracebackType

    from typing_extensions import Self

_START_DEADLINE_S = 30.0
_STOP_DEADLINE_S = 10.0
_POLL_S = 0.01

# Its disk is shared with other work, and what it holds is rarely the only copy.
_FIRST_SETTINGS = {
    "write_policy.data": "delayed",
    "space.cleanupwm": "96",
    "space.lowwm": "97",
    "space.highwm": "98",
    "space.out_of_space": "99",
}


class LocalCluster:
    """An embedded cluster.

    Its nodes are processes of their own. They end when the cluster is closed, when it is no longer
    referred to, and when this process ends, even by `kill -9`. A forked child may use the cluster
    but does not end it.

    It begins with `write_policy.data` of `delayed`: what was acknowledged survives the end of any
    process, but loss of power may take the last seconds. Buckets created with
    `props={"write_policy": {"data": "immediate"}}` survive that too.

    Args:
        targets: Storage nodes.
        gateways: Gateways.
        mountpaths: Directories with data, per target.
        root: Directory for everything, kept at the end and reused at the next start; None makes a
            temporary one that is removed.
        log_level: What nodes log: `error`, `warn`, `info`, `debug` or `trace`.
        start_timeout: Seconds within which all nodes must be up.
        tls: Whether the nodes serve `https://`. True makes an authority and a certificate for
            127.0.0.1 and localhost; a pair names files of a certificate of yours and its key.
            `client()` trusts them, and others can by `ca_cert`.
        memory: Memory budget of each node, such as `256MiB`; by default half of this machine's.

    Raises:
        ValueError: A number is out of range.
        LocalClusterError: A node did not come up, and the message quotes its log; or `root` holds
            data of more targets.
    """

    def __init__(
        self,
        targets: int = 3,
        gateways: int = 1,
        mountpaths: int = 2,
        root: str | PathLike[str] | None = None,
        log_level: str = "info",
        *,
        start_timeout: float = _START_DEADLINE_S,
        tls: bool | tuple[str | PathLike[str], str | PathLike[str]] | None = None,
        memory: str | None = None,
    ) -> None:
        for name, count in (
            ("targets", targets),
            ("gateways", gateways),
            ("mountpaths", mountpaths),
        ):
            if count < 1:
                raise ValueError(f"{name} {count}: expected at least 1")
        temporary = TempRoot() if root is None else None
        self._root = temporary.path if temporary else Path(root or "").absolute()
        self._root.mkdir(parents=True, exist_ok=True)
        self.promote_root.mkdir(parents=True, exist_ok=True)
        _require_all_targets(self._root, targets)
        self._owner = os.getpid()
        self._log_level = log_level
        self._start_timeout = start_timeout
        self._memory = memory
        self._tls = certificate_files(tls, self._root)
        self._gateways: list[NodeProcess] = []
        self._targets: list[NodeProcess] = []
        # Runs once: at close(), when the object goes, or at exit.
        self._finalizer = weakref.finalize(
            self,
            _end,
            self._owner,
            self._gateways,
            self._targets,
            temporary,
        )
        try:
            self._start(gateways, targets, mountpaths)
        except BaseException:
            self._finalizer()
            raise

    @property
    def promote_root(self) -> Path:
        """Directory whose files can be promoted to objects."""
        return self._root / "promote"

    def _start(self, gateways: int, targets: int, mountpaths: int) -> None:
        deadline = time.monotonic() + self._start_timeout
        is_new = not (self._root / "gateway-0").exists()
        self._gateways.append(self._launch("gateway", 0, None))
        self._gateways[0].wait_ready(deadline)
        first = self._gateways[0].url
        for index in range(1, gateways):
            self._gateways.append(self._launch("gateway", index, first))
        for index in range(targets):
            self._targets.append(self._launch("target", index, first, mountpaths))
        for node in (*self._gateways[1:], *self._targets):
            node.wait_ready(deadline)
        self._wait_members([*self._gateways, *self._targets], deadline)
        if is_new:
            # A disk of its own is full at 95 %; one shared with all else may be there for years.
            self.client().request_client.request(
                "PUT", "cluster/set-config", params=_FIRST_SETTINGS
            )

    def _launch(self, role: str, index: int, join: str | None, mountpaths: int = 0) -> NodeProcess:
        name = f"{role}-{index}"
        home = self._root / name
        spec = NodeSpec(
            name=name,
            role=role,
            data_dir=home / "data",
            mountpaths=tuple(home / f"mp{number}" for number in range(1, mountpaths + 1)),
            join=join,
            log=self._root / "logs" / f"{name}.log",
            ready=home / "ready.json",
            log_level=self._log_level,
            memory=self._memory,
            promote_root=self.promote_root,
            tls=(self._tls.cert, self._tls.key) if self._tls else None,
            tls_ca=self._tls.ca if self._tls else None,
        )
        return NodeProcess.launch(spec)

    def _wait_members(self, nodes: list[NodeProcess], deadline: float) -> None:
        """Waits until the map holds the nodes and the primary says that it is ready."""
        wanted = {(node.node_id, node.url) for node in nodes}
        cluster = self.client().cluster()
        while True:
            seen: set[tuple[str, str]] = set()
            problem = ""
            try:
                smap = cluster.get_info()
                members = [*smap.pmap.values(), *smap.tmap.values()]
                seen = {(member.daemon_id, member.public_net.direct_url) for member in members}
                if wanted <= seen and cluster.is_ready():
                    return
            except AISError as error:
                problem = f" ({error})"
            for node in nodes:
                node.require_alive()
            if time.monotonic() > deadline:
                raise LocalClusterError(
                    f"not in the cluster map within {self._start_timeout:.0f} s:"
                    f" {sorted(wanted - seen)}{problem}\n{self._gateways[0].log_tail()}"
                )
            time.sleep(_POLL_S)

    @property
    def endpoint(self) -> str:
        """URL of the first gateway.

        Raises:
            LocalClusterError: The cluster is closed.
        """
        if not self._gateways:
            raise LocalClusterError("the cluster is closed: start a new LocalCluster")
        return self._gateways[0].url

    @property
    def ca_cert(self) -> str | None:
        """File of the authority to trust, as `Client` takes it; None without TLS."""
        return str(self._tls.ca) if self._tls else None

    @property
    def root(self) -> Path:
        """Directory of data and logs."""
        return self._root

    @property
    def gateways(self) -> tuple[NodeProcess, ...]:
        """Gateways, by index."""
        return tuple(self._gateways)

    @property
    def targets(self) -> tuple[NodeProcess, ...]:
        """Targets, by index."""
        return tuple(self._targets)

    @property
    def pids(self) -> list[int]:
        """Process ids of all nodes."""
        return [node.pid for node in (*self._gateways, *self._targets)]

    def client(self) -> Client:
        """A client of this cluster."""
        return Client(self.endpoint, ca_cert=self.ca_cert)

    def kill_target(self, index: int) -> str:
        """Ends a target at once, as a crash would; returns its URL.

        Raises:
            IndexError: There is no such target.
        """
        self._targets[index].kill()
        return self._targets[index].url

    def restart_target(self, index: int) -> None:
        """Starts a target again, at its address and on its data; ends it first if it runs.

        Raises:
            IndexError: There is no such target.
            LocalClusterError: It did not come up.
        """
        self._restart(self._targets, index)

    def kill_gateway(self, index: int = 0) -> str:
        """Ends a gateway at once, as a crash would; returns its URL.

        Raises:
            IndexError: There is no such gateway.
        """
        self._gateways[index].kill()
        return self._gateways[index].url

    def restart_gateway(self, index: int = 0) -> None:
        """Starts a gateway again, at its address and on its state; ends it first if it runs.

        Raises:
            IndexError: There is no such gateway.
            LocalClusterError: It did not come up.
        """
        self._restart(self._gateways, index)

    def _restart(self, nodes: list[NodeProcess], index: int) -> None:
        nodes[index].stop(time.monotonic() + _STOP_DEADLINE_S)
        nodes[index] = node = nodes[index].relaunch()
        deadline = time.monotonic() + self._start_timeout
        node.wait_ready(deadline)
        self._wait_members([node], deadline)

    def close(self) -> None:
        """Ends all nodes and removes the directory if it is a temporary one.

        Closing again, or in a forked child, does nothing.
        """
        if os.getpid() == self._owner:
            self._finalizer()

    @property
    def closed(self) -> bool:
        """Whether the cluster has ended."""
        return not self._finalizer.alive

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a LocalCluster does not pickle: send its client() or endpoint instead")

    def __repr__(self) -> str:
        if self.closed or not self._gateways:
            return "LocalCluster(closed)"
        return (
            f"LocalCluster(endpoint={self.endpoint!r}, gateways={len(self._gateways)},"
            f" targets={len(self._targets)})"
        )

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{html.escape(node.name)}</td><td>{html.escape(node.url)}</td>"
            f"<td>{node.pid}</td><td>{'running' if node.is_running() else 'ended'}</td></tr>"
            for node in (*self._gateways, *self._targets)
            if not self.closed
        )
        head = "<tr><th>node</th><th>URL</th><th>pid</th><th>state</th></tr>"
        return f"<b>{html.escape(repr(self))}</b><table>{head}{rows}</table>"


def _require_all_targets(root: Path, targets: int) -> None:
    """Checks that no data would be left out.

    Raises:
        LocalClusterError: The directory holds data of more targets than are to be started.
    """
    numbers = [
        int(number)
        for home in root.glob("target-*")
        if (number := home.name.removeprefix("target-")).isdecimal() and (home / "data").exists()
    ]
    held = max(numbers, default=-1) + 1
    if held > targets:
        raise LocalClusterError(
            f"{root} holds data of {held} targets: start the cluster with targets={held} or more,"
            " or in another directory"
        )


def _end(
    owner: int, gateways: list[NodeProcess], targets: list[NodeProcess], remove: TempRoot | None
) -> None:
    """Ends the nodes, targets first so that they can say goodbye to their gateway."""
    if os.getpid() != owner:
        return
    deadline = time.monotonic() + _STOP_DEADLINE_S
    urls = [gateway.url for gateway in gateways if gateway.is_ready()]
    _node_process.stop_all(targets, deadline)
    _node_process.stop_all(gateways, deadline)
    for url in urls:
        forget_endpoint(url)
    targets.clear()
    gateways.clear()
    if remove is not None:
        remove.remove()
