"""How far off is a load generator? Ours and its peers against a server with known latencies, side by side.

    python benchmarks/load_generator.py [--streams 1,64,256,512,1024] [--peers all --peers-in DIR] [--out FILE.md]

The paced server (`paced_server.c`, compiled here) keeps its own truth, so a client is compared with what the server
really did. Where the system permits, the server runs on the first core with real-time priority and the client on the
second, as in a quiet room: on a shared machine the figures then say something about the client and not about its
neighbours. A client's CPU is that of its whole process tree between the server's first and last request.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import peers
import psutil
from peers import PEERS, Load, Peer

HERE = Path(__file__).parent
SERVER_CORE, CLIENT_CORE = "0", "1"
TTFT, ITL, TOKENS = 50, 10, 128
LONGEST = 150.0  # s that a client may take
OURS = """
import sys, time
from pathlib import Path
from llm_magics.load.endpoint import Endpoint
from llm_magics.load.measure import measure
from llm_magics.spec.workload import Workload
url, streams, requests, tokens, spool, length = sys.argv[1:]
work = Workload(
    concurrency=int(streams), requests=int(requests), input_tokens=int(length), output_tokens=int(tokens), warmup=0
)
print(time.monotonic_ns(), flush=True)
measure(Endpoint(url, "paced"), work, Path(spool), header={})
"""


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
    """CPU time and memory of a process and all its children, looked at 20 times a second."""

    def __init__(self, pid: int) -> None:
        self.root = psutil.Process(pid)
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
            try:
                tree = [self.root, *self.root.children(recursive=True)]
            except psutil.Error:
                return
            for process in tree:
                try:
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


def quiet_room() -> tuple[list[str], list[str], str]:
    """Prefixes that put server and client on cores of their own with real-time priority, and words for the report."""
    server = ["taskset", "-c", SERVER_CORE, "chrt", "-f", "30"]
    client = ["taskset", "-c", CLIENT_CORE, "chrt", "-r", "10"]
    for prefix in (server, client):
        try:
            subprocess.run([*prefix, "true"], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            return [], [], "shared cores, normal priority (taskset and chrt are not permitted here)"
    return server, client, "server on core 0 (chrt -f 30), the client's process tree on core 1 (chrt -r 10)"


def ours(paced: Paced, prefix: list[str], streams: int, requests: int, folder: Path) -> dict[str, Any]:
    """Our generator, through the same door that `%%bench` uses."""
    spool = folder / "spool.jsonl"
    arguments = [paced.url, str(streams), str(requests), str(TOKENS), str(spool), "64"]
    tree = run([*prefix, sys.executable, "-c", OURS, *arguments], folder)
    truth = paced.get("/truth")
    rows = [json.loads(line) for line in spool.read_text().splitlines()]
    done = [row for row in rows if row["kind"] == "request" and row["status"] == "ok"]
    ttfts = sorted((row["first_token"] - row["intended"]) * 1e3 for row in done)
    tpots = [(row["last_token"] - row["first_token"]) * 1e3 / (row["output_tokens"] - 1) for row in done]
    audit = next(row for row in rows if row["kind"] == "audit")
    return {
        "client": "llm-magics",
        "done": len(done),
        "ttft": sum(ttfts) / len(ttfts),
        "p99": ttfts[min(len(ttfts) - 1, int(0.99 * len(ttfts)))],
        "tpot": sum(tpots) / len(tpots),
        "tree": tree,
        "truth": truth,
        "note": f"loop lag p99 {audit['loop_lag_p99'] * 1e3:.2f} ms, priority {audit['priority']}",
    }


def other(peer: Peer, place: Path, paced: Paced, prefix: list[str], load: Load) -> dict[str, Any]:
    """A peer, its defaults for a chat endpoint."""
    tree = run([*prefix, *peer.command(load, place / "bin")], load.folder, load.folder.parent)
    return {"client": peer.name, **peer.read(load), "tree": tree, "truth": paced.get("/truth"), "note": ""}


def run(command: list[str], folder: Path, home: Path | None = None) -> Tree:
    """Run a client to its end, watching its process tree."""
    environment = peers.environment(home or folder)
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


def row(streams: int, found: dict[str, Any]) -> str:
    """One line of the table."""
    truth = found["truth"]
    cpu = found["tree"].cpu_between(truth["first_ns"], truth["last_ns"])
    window = (truth["last_ns"] - truth["first_ns"]) / 1e9
    return (
        f"| {streams} | {found['client']} | {truth['ttft_ms']:.2f} / {truth['ttft_p99_ms']:.2f} "
        f"| {found['ttft'] - truth['ttft_ms']:+.2f} | {found['p99'] - truth['ttft_p99_ms']:+.2f} "
        f"| {100 * (found['tpot'] / truth['tpot_ms'] - 1):+.3f} % | {cpu / truth['chunks'] * 1e6:.1f} "
        f"| {cpu / window:.0%} | {truth['most_active']} | {found['tree'].peak / 1e6:.0f} | {truth['late_p99_ms']:.2f} |"
    )


def burst(paced: Paced, prefix: list[str], folder: Path) -> str:
    """Requests of one token, unpaced, 64 streams."""
    spool = folder / "spool.jsonl"
    run([*prefix, sys.executable, "-c", OURS, paced.url, "64", "30000", "1", str(spool), "16"], folder)
    truth = paced.get("/truth")
    return f"{truth['requests'] / (truth['last_ns'] - truth['first_ns']) * 1e9:,.0f} requests/s"


def capacity(paced: Paced, prefix: list[str], folder: Path) -> str:
    """Chunks that come as fast as they are read, 64 streams."""
    spool = folder / "spool.jsonl"
    run([*prefix, sys.executable, "-c", OURS, paced.url, "64", "512", "1000", str(spool), "16"], folder)
    truth = paced.get("/truth")
    return f"{truth['chunks'] / (truth['last_ns'] - truth['first_ns']) * 1e9:,.0f} chunks/s"


def memory(paced: Paced, prefix: list[str], folder: Path) -> str:
    """1,024 streams of 1,000 tokens each at 50 tokens/s: the whole tree, the calling process included."""
    spool = folder / "spool.jsonl"
    tree = run([*prefix, sys.executable, "-c", OURS, paced.url, "1024", "1024", "1000", str(spool), "16"], folder)
    return f"{tree.peak / 1e6:.0f} MB, {paced.get('/truth')['most_active']} streams held"


def start(paced: Paced, prefix: list[str], folder: Path) -> str:
    """From the call of `measure` to the first measured request at the server, the mean of five."""
    found = []
    for _ in range(5):
        paced.get("/reset")
        spool = folder / "spool.jsonl"
        run([*prefix, sys.executable, "-c", OURS, paced.url, "1", "1", "2", str(spool), "16"], folder)
        called = int((folder / "client.log").read_text().split()[0])
        found.append((paced.get("/truth")["first_ns"] - called) / 1e9)
    return f"{sum(found) / len(found):.2f} s"


ALONE = {
    "burst of one-token requests, 64 streams (target 50,000 requests/s)": (burst, ("--unpaced",)),
    "capacity, 64 streams unpaced (target 80,000 chunks/s)": (capacity, ("--unpaced",)),
    "memory, 1,024 streams x 1,000 tokens (target 100 MB)": (memory, ("--ttft-ms", "50", "--itl-ms", "20")),
    "from the call to the first request (target 0.3 s)": (start, ("--ttft-ms", "1", "--itl-ms", "1")),
}


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", default="1,64,256,512,1024", help="of our own rows")
    parser.add_argument("--peer-streams", default="64,256,512", help="of the peers' rows")
    parser.add_argument("--peers", default="", help=f"any of {','.join(PEERS)}; `all`; `installed`")
    parser.add_argument("--peers-in", type=Path, default=Path(".cache/peers"), help="folder of their environments")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    places = {name: place_of(peer, options.peers_in.resolve()) for name, peer in PEERS.items()}
    names = [name for name in options.peers.split(",") if name]
    if options.peers in ("all", "installed"):
        names = [name for name in PEERS if options.peers == "all" or places[name].exists()]
    server, client, room = quiet_room()
    columns = (
        "streams", "client", "true TTFT mean / p99 (ms)", "TTFT error mean (ms)", "p99", "TPOT error", "CPU µs/chunk",
        "core", "streams held", "peak MB", "server late p99 (ms)",
    )  # fmt: skip
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    alone = ["| what | measured |", "|---|---|"]
    ours_at, peers_at = ([int(each) for each in text.split(",")] for text in (options.streams, options.peer_streams))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "client"
        folder.mkdir()
        binary = Path(name) / "paced_server"
        subprocess.run(["cc", "-O2", "-o", str(binary), str(HERE / "paced_server.c")], check=True)

        def one(label: str, streams: int, measured: Callable[[Paced], dict[str, Any]]) -> None:
            paced = Paced(binary, server, "--ttft-ms", str(TTFT), "--itl-ms", str(ITL))
            try:
                found = measured(paced)
                lines.append(row(streams, found))
                print(lines[-1], found["note"], flush=True)
            except (RuntimeError, OSError, KeyError, ValueError, IndexError, TypeError) as error:
                why = " ".join(str(error).split())[-160:]
                lines.append(f"| {streams} | {label} | did not run: {type(error).__name__}: {why} |" + " |" * 8)
                print(lines[-1], flush=True)
            finally:
                paced.stop()

        for streams in sorted({*ours_at, *(peers_at if names else [])}):
            requests = max(8, 3 * streams)
            for _ in range(options.rounds):
                if streams in ours_at:
                    one("llm-magics", streams, lambda p, s=streams, r=requests: ours(p, client, s, r, folder))
                for each in names if streams in peers_at else []:
                    shutil.rmtree(folder)
                    folder.mkdir()
                    work = partial(Load, streams=streams, requests=requests, tokens=TOKENS, folder=folder)
                    peer, place = PEERS[each], places[each]
                    one(peer.name, streams, lambda p, w=work, x=peer, y=place: other(x, y, p, client, w(url=p.url)))
        for what, (measure, arguments) in ALONE.items():
            paced = Paced(binary, server, *arguments)
            try:
                alone.append(f"| {what} | {measure(paced, client, folder)} |")
            except (RuntimeError, OSError) as error:
                alone.append(f"| {what} | failed: {' '.join(str(error).split())[-160:]} |")
            finally:
                paced.stop()
            print(alone[-1], flush=True)
    versions = ", ".join(f"{PEERS[each].name} {version(PEERS[each], places[each])}" for each in names)
    command = f"python benchmarks/load_generator.py --streams {options.streams}"
    if names:
        command += f" --peers {options.peers} --peer-streams {options.peer_streams}"
    report = f"""# Load generators against a server with known latencies, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC

True TTFT {TTFT} ms, TPOT {ITL} ms, {TOKENS} tokens an answer, prompts of 64 tokens, closed loop, requests = 3 x streams
(at least 8). Errors are against what the server itself stamped.

- Machine: {os.cpu_count()} x {cpu_name()}, {platform.system()} {platform.release().split("-")[0]}, Python \
{platform.python_version()}; {room}. Load average when it ended: {os.getloadavg()[0]:.1f}.
- Command: `{command}`
- Peers: {versions or "not measured"}

"""
    report += "\n".join(lines) + "\n\nOurs alone, on one core:\n\n" + "\n".join(alone) + "\n"
    if options.out:
        options.out.write_text(report)
    print(report)


def place_of(peer: Peer, folder: Path) -> Path:
    """The peer's environment; vLLM's is the engine's own where there is none among the peers."""
    place = folder / peer.place
    engines = Path(os.environ.get("LLM_MAGICS_ENVS", ".cache/envs")).resolve() / peer.place
    return place if place.exists() or not engines.exists() else engines


def cpu_name() -> str:
    """The processor's model."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def version(peer: Peer, place: Path) -> str:
    """What is installed in a peer's environment."""
    code = f"from importlib.metadata import version; print(version({peer.version!r}))"
    try:
        done = subprocess.run([str(place / "bin" / "python"), "-c", code], capture_output=True, text=True, check=False)
    except OSError:
        return "(not installed)"
    return (done.stdout.strip().splitlines() or ["(not installed)"])[-1]


if __name__ == "__main__":
    main()
