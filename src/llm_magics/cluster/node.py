"""The actor on a node: unpacks what it is sent, starts one process of it, carries its words both ways.

The class is sent by value and uses the standard library only, so the node needs nothing of ours. When nobody has asked
for words for `lease` seconds, whoever wanted the process is gone: its stdin is closed, which tells it to end.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from pathlib import Path
from typing import IO, Any

PREFIX = "llm-magics-parcel-"
_FRESH = 60.0  # s that a new folder may go without being held


class Node:
    """One place on a node; `lease` in s. Methods run in several threads."""

    def __init__(self, lease: float = 30.0) -> None:
        self._lease = lease
        self._folder = ""
        self._held: int | None = None
        self._said: dict[str, bytearray] = {"out": bytearray(), "err": bytearray(), "rows": bytearray()}
        self._open = 0
        self._news = threading.Condition()
        self._stdin: IO[bytes] | None = None
        self._rows: int | None = None
        self._asked = time.monotonic()
        self._talking = threading.Lock()

    def about(self) -> dict[str, Any]:
        """Which node this is, the GPUs that Ray gave, and where a driver on it finds the cluster."""
        import ray

        context = ray.get_runtime_context()
        return {
            "id": context.get_node_id(), "ip": ray.util.get_node_ip_address(), "cluster": context.gcs_address,
            "gpus": os.environ.get("CUDA_VISIBLE_DEVICES"),
        }  # fmt: skip

    def clock(self) -> int:
        """This machine's monotonic clock, ns."""
        return time.monotonic_ns()

    def unpack(self, parcel: bytes) -> str:
        """Unpack a parcel; the folder, for this user's eyes only.

        It is locked as long as this actor or what it started lives. Those that nobody holds any more are removed: of
        an actor that was killed before it could start what takes its folder away.
        """
        import io

        self._sweep()
        self._folder = tempfile.mkdtemp(prefix=PREFIX)
        self._held = os.open(self._folder, os.O_RDONLY)
        fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with zipfile.ZipFile(io.BytesIO(parcel)) as archive:
            archive.extractall(self._folder)
        return self._folder

    def ask(self, module: str, question: str, seconds: float = 120.0) -> tuple[int, str, str]:
        """Run a module of the parcel to its end: exit status, stdout, stderr."""
        done = subprocess.run(
            [sys.executable, "-P", "-m", module], input=question, capture_output=True, text=True, timeout=seconds,
            env={**os.environ, "PYTHONPATH": self._folder}, cwd=self._folder,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    def start(self, module: str, plan: dict[str, Any], env: dict[str, str], *, rows: bool = False) -> None:
        """Start a module of the parcel; `plan` is the first line on its stdin; `rows`: it has a file to write to."""
        descriptors: tuple[int, ...] = ()
        if rows:
            path = Path(self._folder) / "rows"
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            self._rows = os.open(path, os.O_RDONLY)
            plan, descriptors = {**plan, "spool": descriptor}, (descriptor,)
        held = () if self._held is None else (self._held,)
        process = subprocess.Popen(
            [sys.executable, "-P", str(Path(self._folder, "llm_magics", "cluster", "tenant.py")), self._folder, module],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=(*descriptors, *held),
            start_new_session=True, cwd=self._folder,
            env={**{k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}, **env},
        )  # fmt: skip
        for descriptor in descriptors:
            os.close(descriptor)
        self._stdin = process.stdin
        self._open = 2
        for name, stream in (("out", process.stdout), ("err", process.stderr)):
            threading.Thread(target=self._read, args=(name, stream), daemon=True).start()
        process.wait()  # the tenant has forked away
        self.say(json.dumps(plan).encode() + b"\n")
        self._asked = time.monotonic()  # not earlier: who waits for a slow start asks for no words meanwhile
        threading.Thread(target=self._watch, daemon=True).start()

    def say(self, data: bytes) -> None:
        """More for its stdin."""
        with self._talking, contextlib.suppress(OSError, ValueError):
            if self._stdin is not None:
                self._stdin.write(data)
                self._stdin.flush()

    def hush(self) -> None:
        """Close its stdin: it ends."""
        with self._talking, contextlib.suppress(OSError, ValueError):
            if self._stdin is not None:
                self._stdin.close()

    def follow(self, seconds: float) -> dict[str, Any]:
        """What was said since the last call, waited for; `ended` when there will be no more."""
        self._asked = time.monotonic()
        until = self._asked + seconds
        with self._news:
            while True:
                ended = not self._open
                self._tail()
                if ended or any(self._said.values()) or time.monotonic() >= until:
                    break
                self._news.wait(min(0.05 if self._rows is not None else seconds, max(0.0, until - time.monotonic())))
            said = {name: bytes(data) for name, data in self._said.items()}
            for data in self._said.values():
                data.clear()
        self._asked = time.monotonic()
        return {**said, "ended": ended}

    def clear(self) -> None:
        """Remove what was unpacked."""
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
        if self._held is not None:
            os.close(self._held)
            self._held = None

    def _sweep(self) -> None:
        for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
            with contextlib.suppress(OSError):  # another user's, or removed meanwhile
                about = folder.lstat()
                if about.st_uid != os.getuid() or not folder.is_dir() or time.time() - about.st_mtime < _FRESH:
                    continue
                handle = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW)
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder, ignore_errors=True)
                finally:
                    os.close(handle)

    def _tail(self) -> None:
        if self._rows is not None:
            while data := os.read(self._rows, 1 << 20):
                self._said["rows"] += data

    def _read(self, name: str, stream: IO[bytes]) -> None:
        while data := os.read(stream.fileno(), 1 << 16):
            with self._news:
                self._said[name] += data
                self._news.notify_all()
        with self._news:
            self._open -= 1
            self._news.notify_all()

    def _watch(self) -> None:
        """End the process when whoever wanted it asks no more."""
        while self._open:
            if time.monotonic() - self._asked > self._lease:
                self.hush()
                return
            time.sleep(min(1.0, self._lease / 4))
