"""A quiet room for a client and the server it is measured against: cores of their own, before all other work.

The server keeps its own truth (`paced_server.c`); the client's process tree is watched for CPU and memory.
"""

from __future__ import annotations

import json
import platform
import subprocess
import threading
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

SERVER_CORE, CLIENT_CORE = "0", "1"
LONGEST = 150.0  # s that a client may take


class Paced:
    """The paced server, alone on its core when that is permitted."""

    def __init__(self, binary: Path, quiet: list[str], *options: str) -> None:
        self.process = subprocess.Popen([*quiet, str(binary), *options], stdout=subprocess.PIPE, text=True)
        if self.process.stdout is None:
            raise RuntimeError("the paced server has no output")
        self.url = f"http://127.0.0.1:{int(self.process.stdout.readline())}"

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return json.load(answer)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


class Tree:
    """CPU time and memory of a process and all its children, looked at 20 times a second.

    The kernel's own list of a process's children is read: a walk through all of /proc, 20 times a second, is a tenth
    of a core of the very machine that is measured.
    """

    def __init__(self, pid: int) -> None:
        self.known = {pid: psutil.Process(pid)}
        self.root = pid
        self.seen: list[tuple[int, float]] = []
        self.peak = 0
        self.each: dict[int, float] = {}
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def _watch(self) -> None:
        looks = 0
        while not self.over.wait(0.05):
            memory = 0
            looks += 1
            for pid in [self.root, *_below(self.root)]:
                try:
                    process = self.known.get(pid) or self.known.setdefault(pid, psutil.Process(pid))
                    times = process.cpu_times()
                    self.each[process.pid] = times.user + times.system
                    if looks % 20 == 0:  # reading smaps stops a process for a moment
                        memory += process.memory_full_info().pss
                except psutil.Error:
                    continue
            self.peak = max(self.peak, memory)
            self.seen.append((time.monotonic_ns(), sum(self.each.values())))

    def cpu_between(self, first: int, last: int) -> float:
        """CPU seconds used between two monotonic times (ns), between looks by straight line."""

        def at(when: int) -> float:
            before = [item for item in self.seen if item[0] <= when]
            after = [item for item in self.seen if item[0] > when]
            if not before or not after:
                return (before or after)[-1 if before else 0][1]
            (t0, c0), (t1, c1) = before[-1], after[0]
            return c0 + (c1 - c0) * (when - t0) / (t1 - t0)

        return at(last) - at(first)


def _below(pid: int) -> list[int]:
    found: list[int] = []
    with suppress(OSError):  # it ended meanwhile
        for listed in Path(f"/proc/{pid}/task").glob("*/children"):
            found += map(int, listed.read_text().split())
    return found + [each for child in found for each in _below(child)]


def quiet_room() -> tuple[list[str], list[str], str]:
    """Prefixes that put server and client on cores of their own with real-time priority, and words for the report."""
    server = ["taskset", "-c", SERVER_CORE, "chrt", "-f", "30"]
    client = ["taskset", "-c", CLIENT_CORE, "nice", "-n", "-20"]
    for prefix in (server, client):
        try:
            subprocess.run([*prefix, "true"], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            return [], [], "shared cores, normal priority (taskset, chrt and nice are not permitted here)"
    return server, client, "server on core 0 (chrt -f 30), the client's process tree on core 1 (nice -20)"


class Host:
    """What the host of a guest keeps for others: the largest share of a core's time, of the two, since this was made.

    A client that stands still because its core is another guest's for 40 ms is as late as one that is too slow.
    """

    def __init__(self) -> None:
        self._began = self._times()

    def took(self) -> float:
        """0 to 1; 0 where the system does not tell."""
        shares = []
        for (stolen, every), (stolen_then, every_then) in zip(self._times(), self._began, strict=True):
            shares.append((stolen - stolen_then) / max(every - every_then, 1))
        return max(shares, default=0.0)

    @staticmethod
    def _times() -> list[tuple[int, int]]:
        try:
            lines = Path("/proc/stat").read_text().splitlines()
        except OSError:
            return []
        cores = [line.split() for line in lines if line.split(" ", 1)[0] in (f"cpu{SERVER_CORE}", f"cpu{CLIENT_CORE}")]
        return [(int(each[8]), sum(map(int, each[1:9]))) for each in cores]


def run(command: list[str], folder: Path, environment: dict[str, str]) -> Tree:
    """Run a client to its end, watching its process tree."""
    with (folder / "client.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment, cwd=folder)
        tree = Tree(process.pid)
        try:
            code = process.wait(LONGEST)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
    tree.over.set()
    tree.thread.join()
    if code:
        raise RuntimeError(f"{command[0]} ended with {code}: {(folder / 'client.log').read_text()[-2000:]}")
    return tree


def cpu_name() -> str:
    """The processor's model."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()
