"""The way into a cluster: its address, Ray's connection within a time limit, and why it failed in three lines.

Ray tries for a minute where nobody listens, and without end where somebody listens and says nothing.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import re
import sys
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from llm_magics.cluster.entry import WORDS
from llm_magics.cluster.reach import reach
from llm_magics.errors import LLMMagicsError, SpecError

CONNECT = 60.0  # s until a cluster must have let us in; importing Ray takes five of them, on a busy machine thirty
_BY_CLIENT = 2  # times that by ray://, for the head starts a driver of ours that imports Ray too
# The head forks our driver from a process full of gRPC's threads, and gRPC's own fork handlers abort the child before
# it is a Python, one in eighty (10 of 800; 0 of 800 with GRPC_ENABLE_FORK_SUPPORT=0; Ray 2.60): nothing is wrong with
# the next one. The head looks at the child by psutil meanwhile, and fails itself when it is dead by then.
_UNLUCKY = re.compile(r"Starting Ray client server failed|psutil\S*\.(?:ZombieProcess|NoSuchProcess)")
_ATTEMPTS = 4
_VERSIONS = re.compile(r"[Vv]ersion mismatch|versions? (?:mismatch|differ|do not match)|[Mm]ismatch.*[Vv]ersion", re.S)


def connected(address: str, seconds: float = CONNECT) -> Any:
    """Ray's module, connected; the process ends with the reason on stderr when that takes longer than `seconds`.

    Parameters
    ----------
    address
        What `address_of` gives.
    seconds
        The limit for a cluster of this network; twice as much by `ray://`, where two Pythons have to start.

    Raises
    ------
    SpecError
        When the cluster does not answer, or has other versions.
    """
    _knock(address)
    seconds *= _BY_CLIENT if address.startswith("ray://") else 1
    limit = threading.Timer(seconds, _give_up, (address, seconds))
    limit.daemon = True
    limit.start()
    try:
        ray = importlib.import_module("ray")
        if address.startswith("ray://"):
            _leave_no_log_behind()
        for attempt in range(_ATTEMPTS):
            # Its own words are for its developers; where they matter they come as an error too.
            try:
                with _quiet():
                    ray.init(
                        address=address, log_to_driver=False, logging_level="ERROR", namespace="llm-magics",
                        ignore_reinit_error=True,
                    )  # fmt: skip
                break
            except Exception as error:
                if not _UNLUCKY.search(str(error)) or attempt == _ATTEMPTS - 1:
                    raise
    except (Exception, SystemExit) as error:
        raise refused(error, address) from error
    finally:
        limit.cancel()
    return ray


def address_of(on: str) -> str:
    """What Ray is given for `ray` or `ray://HOST:PORT`; a head's usual port is 10001."""
    if on == "ray":
        return os.environ.get("RAY_ADDRESS") or "auto"
    parts = urlsplit(on)
    return on if parts.port else f"ray://{parts.hostname}:10001"


def refused(error: BaseException, address: str) -> LLMMagicsError:
    """Why a cluster did not let us in, with what to do."""
    said = str(error).strip()
    if _VERSIONS.search(said):
        return SpecError(
            "The cluster has other versions of Ray or Python than this side.",
            why=" ".join(said.split())[:400],
            then="use the cluster's versions here: pip install 'ray[client]==VERSION' in that Python, and "
            "LLM_MAGICS_RAY_PYTHON=/path/to/python where the notebook has another",
        )
    if "ray[client]" in said or ("grpc" in said and "No module" in said):
        return SpecError(
            "This Ray cannot speak to a cluster by ray://.", why="it was installed without its client",
            then="pip install 'ray[client]'",
        )  # fmt: skip
    if "Initialization failure from server" in said:
        return SpecError(
            f"The head of the Ray cluster at {address} could not start a driver for this side.",
            why=said.splitlines()[-1][:300],  # what is before it is a traceback
            then="run it again, when the head has less to do (its log says more: session_latest/logs), or work on the "
            "cluster itself, which needs no such driver: --on ray",
        )
    return SpecError(
        f"No Ray cluster answers at {address}.",
        why=" ".join(said.split())[:300] or type(error).__name__,
        then="start one (ray start --head), correct the address, or set RAY_ADDRESS; ray status asks it",
    )


def _knock(address: str) -> None:
    """Nobody at the address is found out at once; Ray itself tries for a minute."""
    parts = urlsplit(address if "://" in address else f"ray://{address}")
    if address in ("auto", "local") or not parts.port or not parts.hostname:
        return
    if why := reach(parts.hostname, parts.port, 2.0):
        raise refused(ConnectionError(f"{parts.hostname}:{parts.port}: {why}"), address)


def _give_up(address: str, seconds: float) -> None:
    """From a thread: Ray's attempt to connect cannot be interrupted from within."""
    error = refused(TimeoutError(f"nothing came back within {seconds:g} s"), address)
    os.write(2, json.dumps({"what": error.what, "why": error.why, "then": error.then}).encode() + b"\n")
    os._exit(WORDS)


def _leave_no_log_behind() -> None:
    """A connection that failed says so at once: Ray waits for the end of a log that nobody gives (2.60)."""
    from ray.util.client.logsclient import LogstreamClient

    def close(self: Any) -> None:
        self.request_queue.put(None)  # its thread is a daemon

    LogstreamClient.close = close


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Ray's connection writes warnings to stdout and stderr, which are spoken for."""
    before, sys.stdout = sys.stdout, sys.stderr
    try:
        yield
    finally:
        sys.stdout = before
