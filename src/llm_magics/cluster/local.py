"""A real Ray cluster of several nodes on this machine: for the tutorial, for trying things out, for tests.

It lives in a process of its own, in Ray's Python, which ends every node when its stdin closes: nothing of it outlives
whoever started it. Nodes have addresses of their own in 127.0.0.0/8 where the system has them (Linux).
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any

from llm_magics.cluster import python
from llm_magics.errors import LLMMagicsError

_STORE = 80_000_000  # bytes of each node's object store: the least that Ray takes is 75 MB
_PATIENCE = 200.0  # s that a node may take to start


class LocalCluster:
    """Some nodes with one CPU each; a context manager, or ended by `stop`.

    Parameters
    ----------
    nodes
        How many.

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

    def __init__(self, nodes: int = 3) -> None:
        self._process = subprocess.Popen(
            python.command("llm_magics.cluster.local", str(nodes)),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
            env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0"},
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
            then="see whether the machine is full",
        )

    def _listen(self) -> None:
        if self._process.stderr is not None:
            with self._process.stderr as stderr:
                for line in stderr:
                    self._said = [*self._said[-40:], line]


def main() -> None:
    """Start the nodes, lose those that we are told to, end with stdin."""
    folder, port = tempfile.mkdtemp(prefix="llm-magics-ray-"), _free_port()
    cluster = _started(folder, port)
    try:
        for number in range(2, int(sys.argv[1]) + 1):
            own = {"node_ip_address": f"127.0.0.{number}"} if sys.platform == "linux" else {}
            cluster.add_node(num_cpus=1, object_store_memory=_STORE, wait=False, **own, **_ports())
        cluster.wait_for_nodes()
        host = cluster.address.rpartition(":")[0]
        nodes = {each.node_ip_address: each for each in [cluster.head_node, *cluster.worker_nodes]}
        _tell({"local": True, "address": cluster.address, "client": f"ray://{host}:{port}", "nodes": list(nodes)})
        for line in sys.stdin:
            cluster.remove_node(nodes[json.loads(line)["lose"]], allow_graceful=False)
            _tell({"local": True})
    finally:
        cluster.shutdown()
        _clear()
        shutil.rmtree(folder, ignore_errors=True)


def _started(folder: str, port: int) -> Any:
    """A cluster with its head."""
    from ray._private import services
    from ray.cluster_utils import Cluster

    services.get_node = _patient(services.get_node)
    cluster = Cluster()
    try:
        cluster.add_node(
            num_cpus=1, object_store_memory=_STORE, include_dashboard=False, temp_dir=folder,
            ray_client_server_port=port, **_ports(),
        )  # fmt: skip
    except BaseException:
        _clear()
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return cluster


def _ports() -> dict[str, int]:
    """Ports of a node's agents: where they are not said beforehand, a node gives up on an agent that starts slowly."""
    return {
        name: _free_port()
        for name in (
            "metrics_agent_port",
            "metrics_export_port",
            "runtime_env_agent_port",
            "dashboard_agent_listen_port",
        )
    }


def _patient(ask: Callable[..., Any]) -> Callable[..., Any]:
    """Ray gives a node 30 s to start, by asking for it again and again; a busy machine may need longer."""

    def asked(*words: Any) -> Any:
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                return ask(*words)
            except RuntimeError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.2)

    return asked


def _clear() -> None:
    """End what Ray's own shutdown does not know of: the processes of a node that did not come up."""
    import psutil

    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            child.kill()


def _tell(words: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def _free_port() -> int:
    import socket

    with socket.socket() as sock:
        sock.bind(("", 0))
        return int(sock.getsockname()[1])


if __name__ == "__main__":
    main()
