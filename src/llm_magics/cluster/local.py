"""A real Ray cluster of several nodes on this machine: for the tutorial, for trying things out, for tests.

It lives in a process of its own, in Ray's Python, which ends every node when its stdin closes: nothing of it outlives
whoever started it. Nodes have addresses of their own in 127.0.0.0/8 where the system has them (Linux).
"""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llm_magics.cluster import python
from llm_magics.cluster.reach import reach
from llm_magics.errors import LLMMagicsError

_STORE = 80_000_000  # bytes of each node's object store: the least that Ray takes is 75 MB
_ATTEMPTS = 3
_BUSY = 300  # s that a machine with much to do may take to start a node's agents, or a worker
# A head that forks drivers for `ray://` does not lose some of them that way (see `connecting`).
# Workers are nice to everybody else (15), and given up when they are not there in time; so are drivers of `ray://`.
_PATIENT = {
    "RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0", "RAY_worker_register_timeout_seconds": str(_BUSY),
    "RAY_agent_register_timeout_ms": str(_BUSY * 1000), "RAY_CLIENT_SERVER_CHECK_CHANNEL_TIMEOUT_S": str(_BUSY),
    "GRPC_ENABLE_FORK_SUPPORT": "0",
}  # fmt: skip
# Those that a raylet learns from its agents' files where nobody says them; it waits for 15 s, and ends.
_PORTS = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port", "runtime_env_agent_port")


class LocalCluster:
    """Some nodes with one CPU each; a context manager, or ended by `stop`.

    Parameters
    ----------
    nodes
        How many.
    gpus
        How many each says that it has; nobody looks whether they are there.

    Attributes
    ----------
    address, client
        What `RAY_ADDRESS` and `--on` take.
    nodes
        The nodes' addresses, the head first.

    Raises
    ------
    LLMMagicsError
        When Ray is missing, or the cluster did not come up.
    """

    def __init__(self, nodes: int = 3, gpus: int = 0) -> None:
        self.nodes: list[str] = []
        # Ray starts a dozen Pythons: without compiled modules each of them takes too long for the others.
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        self._process = subprocess.Popen(
            python.command("llm_magics.cluster.local", str(nodes), str(gpus)),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
            env={**kept, **_PATIENT},
        )  # fmt: skip
        self._said: list[str] = []
        threading.Thread(target=self._listen, daemon=True).start()
        try:
            told = self._answer()
        except BaseException:
            self.stop()
            raise
        self.address, self.client, self.nodes = told["address"], told["client"], told["nodes"]

    def lose(self, node: str) -> None:
        """Kill a node by its address, as a power cut would."""
        self._say({"lose": node})
        self._answer()

    def stop(self) -> None:
        """End all of it."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        if not self.nodes:
            self._process.terminate()  # it does not listen yet
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> LocalCluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _say(self, words: dict[str, Any]) -> None:
        assert self._process.stdin is not None  # noqa: S101 - a pipe was asked for
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None  # noqa: S101
        for line in self._process.stdout:
            if line.startswith('{"local'):
                answer: dict[str, Any] = json.loads(line)
                return answer
        raise LLMMagicsError(
            "The local Ray cluster did not come up.",
            why="".join(self._said[-6:]),
            then="start it again, when the machine has less to do",
        )

    def _listen(self) -> None:
        if self._process.stderr is not None:
            with self._process.stderr as stderr:
                for line in stderr:
                    self._said = [*self._said[-40:], line]


def main() -> None:
    """Start the nodes, lose those that we are told to, end with stdin."""
    from ray.cluster_utils import Cluster

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    folder, (port,), cluster = tempfile.mkdtemp(prefix="llm-magics-ray-"), _free_ports(1), Cluster()
    # Every program beside the raylet is one more Python to start: the cluster neither grows nor shows its logs.
    spare: dict[str, Any] = {"include_dashboard": False, "include_log_monitor": False, "no_monitor": True}
    try:
        _added(cluster, temp_dir=folder, ray_client_server_port=port, **spare)
        for number in range(2, int(sys.argv[1]) + 1):
            _added(cluster, wait=False, **({"node_ip_address": f"127.0.0.{number}"} if sys.platform == "linux" else {}))
        cluster.wait_for_nodes(timeout=_BUSY)
        host = cluster.address.rpartition(":")[0]
        _listened_to(cluster.head_node, host, port)
        nodes = {each.node_ip_address: each for each in [cluster.head_node, *cluster.worker_nodes]}
        _tell({"local": True, "address": cluster.address, "client": f"ray://{host}:{port}", "nodes": list(nodes)})
        for line in sys.stdin:
            cluster.remove_node(nodes[json.loads(line)["lose"]], allow_graceful=False)
            _tell({"local": True})
    finally:
        _end(_processes())  # not Ray's own shutdown, which asks each node to drain, and waits for those that were lost
        shutil.rmtree(folder, ignore_errors=True)


def _added(cluster: Any, **words: Any) -> None:
    """One more node; a start that Ray itself gave up, or that lost a port to somebody else, is tried again."""
    for attempt in range(_ATTEMPTS):
        before = _processes()
        try:
            ports = dict(zip(_PORTS, _free_ports(len(_PORTS)), strict=True))
            with _said_beforehand(ports["dashboard_agent_listen_port"]):
                cluster.add_node(num_cpus=1, num_gpus=int(sys.argv[2]), object_store_memory=_STORE, **ports, **words)
        except Exception:
            _end(_processes() - before)
            if attempt == _ATTEMPTS - 1:
                raise
        else:
            return


def _listened_to(head: Any, host: str, port: int) -> None:
    """Wait for the server of `ray://`: Ray starts it and goes on, and it has to import Ray before it listens."""
    (server,) = head.all_processes["ray_client_server"]
    if why := reach(host, port, _BUSY, lambda: server.process.poll() is not None):
        raise RuntimeError(f"the server of ray://{host}:{port} does not listen: {why}")


@contextlib.contextmanager
def _said_beforehand(port: int) -> Iterator[None]:
    """Write the one file that a raylet waits for whatever it was told: Ray does not pass that port on (2.60)."""
    from ray._private import services

    usual = services.start_raylet

    def start_raylet(*given: Any, **named: Any) -> Any:
        words = inspect.signature(usual).bind(*given, **named).arguments
        if node := words.get("node_id"):
            Path(words["session_dir"], f"dashboard_agent_listen_port_{node}").write_text(str(port))
        return usual(*given, **named)

    services.start_raylet = start_raylet
    try:
        yield
    finally:
        services.start_raylet = usual


def _processes() -> set[Any]:
    import psutil

    return set(psutil.Process().children(recursive=True))


def _end(processes: set[Any]) -> None:
    import psutil

    for each in processes:
        with contextlib.suppress(psutil.Error):
            each.kill()


def _tell(words: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def _free_ports(count: int) -> list[int]:
    import socket

    with contextlib.ExitStack() as held:  # all at once, or one would be found twice
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("", 0))
        return [int(each.getsockname()[1]) for each in sockets]


if __name__ == "__main__":
    main()
