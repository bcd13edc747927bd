"""How far off is a load generator? Ours and its peers against a server with known latencies, side by side.

    python benchmarks/load_generator.py [--streams 1,64,256,512] [--vllm PATH/TO/vllm --tokenizer DIR] [--out FILE.md]

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
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

HERE = Path(__file__).parent
SERVER_CORE, CLIENT_CORE = "0", "1"
TTFT, ITL, TOKENS = 50, 10, 128
OURS = """
import json, sys
from pathlib import Path
from llm_magics.load.endpoint import Endpoint
from llm_magics.load.measure import measure
from llm_magics.spec.workload import Workload
url, streams, requests, tokens, spool, length = sys.argv[1:]
work = Workload(
    concurrency=int(streams), requests=int(requests), input_tokens=int(length), output_tokens=int(tokens), warmup=0
)
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


def vllm_bench(
    paced: Paced, prefix: list[str], streams: int, requests: int, folder: Path, vllm: str, tokenizer: str
) -> dict[str, Any]:
    """`vllm bench serve`, its defaults for a chat endpoint."""
    command = [
        *prefix, vllm, "bench", "serve", "--backend", "openai-chat", "--base-url", paced.url,
        "--endpoint", "/v1/chat/completions", "--model", "paced", "--tokenizer", tokenizer,
        "--dataset-name", "random", "--random-input-len", "64", "--random-output-len", str(TOKENS),
        "--num-prompts", str(requests), "--max-concurrency", str(streams), "--ignore-eos",
        "--percentile-metrics", "ttft,tpot", "--save-result",
        "--result-dir", str(folder), "--result-filename", "v.json",
    ]  # fmt: skip
    tree = run(command, folder)
    result = json.loads((folder / "v.json").read_text())
    return {
        "client": "vllm bench serve",
        "done": result["completed"],
        "ttft": result["mean_ttft_ms"],
        "p99": result["p99_ttft_ms"],
        "tpot": result["mean_tpot_ms"],
        "tree": tree,
        "truth": paced.get("/truth"),
        "note": "",
    }


def run(command: list[str], folder: Path) -> Tree:
    """Run a client to its end, watching its process tree."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    with (folder / "client.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
        tree = Tree(process.pid)
        try:
            code = process.wait(400)
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


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", default="1,64,256,512")
    parser.add_argument("--vllm", help="the vllm command of another environment, to compare with")
    parser.add_argument("--tokenizer", help="directory of a tokenizer, which vllm bench needs")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    server, client, room = quiet_room()
    columns = (
        "streams", "client", "true TTFT mean / p99 (ms)", "TTFT error mean (ms)", "p99", "TPOT error", "CPU µs/chunk",
        "core", "streams held", "peak MB", "server late p99 (ms)",
    )  # fmt: skip
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        binary = folder / "paced_server"
        subprocess.run(["cc", "-O2", "-o", str(binary), str(HERE / "paced_server.c")], check=True)
        for streams in [int(each) for each in options.streams.split(",")]:
            requests = max(8, 3 * streams)
            for _ in range(options.rounds):
                clients = [lambda p, s=streams, r=requests: ours(p, client, s, r, folder)]
                if options.vllm:
                    clients.append(
                        lambda p, s=streams, r=requests: vllm_bench(
                            p, client, s, r, folder, options.vllm, options.tokenizer
                        )
                    )
                for each in clients:
                    paced = Paced(binary, server, "--ttft-ms", str(TTFT), "--itl-ms", str(ITL))
                    try:
                        found = each(paced)
                        lines.append(row(streams, found))
                        print(lines[-1], found["note"], flush=True)
                    finally:
                        paced.stop()
    peer = " --vllm … --tokenizer …" if options.vllm else ""
    report = f"""# Load generators against a server with known latencies, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC

True TTFT {TTFT} ms, TPOT {ITL} ms, {TOKENS} tokens an answer, prompts of 64 tokens, closed loop, requests = 3 x streams
(at least 8). Errors are against what the server itself stamped.

- Machine: {os.cpu_count()} x {cpu_name()}, {platform.system()} {platform.release().split("-")[0]}, Python \
{platform.python_version()}; {room}. Load average when it ended: {os.getloadavg()[0]:.1f} (other work ran here).
- Command: `python benchmarks/load_generator.py --streams {options.streams} --rounds {options.rounds}{peer}`
- Peer: vLLM {version(options.vllm) if options.vllm else "not measured"}

"""
    report += "\n".join(lines) + "\n"
    if options.out:
        options.out.write_text(report)
    print(report)


def cpu_name() -> str:
    """The processor's model."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def version(vllm: str) -> str:
    """What the vllm command says it is."""
    done = subprocess.run([vllm, "--version"], capture_output=True, text=True, check=False)
    return (done.stdout.strip().splitlines() or ["?"])[-1]


if __name__ == "__main__":
    main()
