"""Ours and `vllm bench serve` in turn against one real vLLM server: do two clients see the same server?

    python benchmarks/real_server.py [--rounds 5] [--streams 1,8] [--out FILE.md]

vLLM must be installed (`llm-magics install vllm`). Both clients ask for as many tokens, in turns whose order turns
round, and the server is asked before and after each turn what it has seen itself: where it drifts between two turns,
each client can still be held against the server's own account of the very same requests.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean, median

from peers import TINY, VLLM, environment

from llm_magics import bench, engines, serve
from llm_magics.engines import environments, metrics
from llm_magics.runtime.server import Server

TOKENS_IN, TOKENS_OUT = 64, 64
REQUESTS = 40  # a stream of one; more streams share four times as many
WARMUP = 4
COLUMNS = ("output_throughput", "mean_tpot_ms", "mean_ttft_ms")


def ours(server: Server, streams: int, requests: int) -> dict[str, float]:
    """A turn of ours: throughput (tokens/s), TPOT and TTFT (ms)."""
    run = bench(
        server, concurrency=streams, requests=requests, input_tokens=TOKENS_IN, output_tokens=TOKENS_OUT, warmup=WARMUP
    )
    return {name: float(run.points[0][name]) for name in COLUMNS}


def theirs(server: Server, streams: int, requests: int, python: str, folder: Path) -> dict[str, float]:
    """A turn of `vllm bench serve`."""
    # its own prompts come out without the chat template's tokens; the template adds the same to both
    command = [
        python, "-c", VLLM, "bench", "serve", "--backend", "openai-chat", "--base-url", server.url,
        "--endpoint", "/v1/chat/completions", "--model", server.model, "--tokenizer", str(TINY),
        "--dataset-name", "random", "--random-input-len", str(TOKENS_IN), "--random-output-len", str(TOKENS_OUT),
        "--num-prompts", str(requests), "--max-concurrency", str(streams), "--num-warmups", str(WARMUP), "--ignore-eos",
        "--temperature", "0", "--percentile-metrics", "ttft,tpot", "--save-result", "--result-dir", str(folder),
        "--result-filename", "turn.json", "--seed", str(os.getpid() + streams + len(list(folder.iterdir()))),
    ]  # fmt: skip
    known = {**environment(folder), "OPENAI_API_KEY": server.api_key or ""}
    done = subprocess.run(command, env=known, capture_output=True, text=True, timeout=900)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    found = json.loads((folder / "turn.json").read_text().splitlines()[0])
    return {name: float(found[name]) for name in COLUMNS}


def account(server: Server) -> dict[str, float]:
    """What the server has counted so far."""
    return metrics.read(server.url, engines.get("vllm"), server.api_key, timeout=10)


def seen(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """The server's own means of the requests between two accounts, ms."""
    return {
        f"mean_{name}_ms": (after[f"{name}_sum"] - before[f"{name}_sum"])
        / (after[f"{name}_count"] - before[f"{name}_count"])
        * 1e3
        for name in ("tpot", "ttft")
    }


def main() -> None:
    """Runs the turns, prints the table."""
    options = argparse.ArgumentParser()
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--streams", default="1,8")
    options.add_argument("--out", type=Path)
    asked = options.parse_args()
    found = environments.locate(engines.get("vllm"))
    if found is None or found.python is None:
        raise SystemExit("vLLM is not installed here: llm-magics install vllm")
    server = serve("beside", engine="vllm", model="tiny", keep="cell", args=["--enforce-eager"], timeout=900)
    rows: list[tuple[int, str, dict[str, float], dict[str, float]]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        turns = {
            "llm-magics": lambda streams, requests: ours(server, streams, requests),
            "vllm bench serve": lambda streams, requests: theirs(server, streams, requests, str(found.python), folder),
        }
        for streams in map(int, asked.streams.split(",")):
            requests = REQUESTS if streams == 1 else 4 * REQUESTS
            turns["llm-magics"](streams, requests)  # the server's own first requests of this shape
            for number in range(asked.rounds):
                for client in list(turns) if number % 2 == 0 else reversed(list(turns)):
                    before = account(server)
                    mine = turns[client](streams, requests)
                    rows.append((streams, client, mine, seen(before, account(server))))
                    print(streams, client, mine, rows[-1][3], flush=True)
    server.stop()
    text = table(rows, asked.rounds, found.version)
    print(text)
    if asked.out:
        asked.out.write_text(text)


def table(rows: list[tuple[int, str, dict[str, float], dict[str, float]]], rounds: int, version: str) -> str:
    """Medians over the rounds, and how far the two clients are apart."""
    machine = f"{os.cpu_count()} cores, {platform.platform()}, Python {platform.python_version()}"
    when = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    busy = f"load average {os.getloadavg()[0]:.1f} when it ended"
    lines = [
        "# One real vLLM server, two clients\n",
        f"`python benchmarks/real_server.py --rounds {rounds}`, {when}: {machine}; vLLM {version}, {busy}.",
        f"{TOKENS_IN} tokens in, {TOKENS_OUT} out; medians of {rounds} turns each.\n",
        "| streams | client | output tok/s | TPOT ms | by the server | TTFT ms | by the server |",
        "|---|---|---|---|---|---|---|",
    ]
    for streams in dict.fromkeys(row[0] for row in rows):
        medians = {}
        for client in dict.fromkeys(row[1] for row in rows):
            mine = [(said, own) for at, name, said, own in rows if (at, name) == (streams, client)]
            medians[client] = {name: median(said[name] for said, _ in mine) for name in COLUMNS}
            own = {name: mean(own[name] for _, own in mine) for name in ("mean_tpot_ms", "mean_ttft_ms")}
            lines.append(
                f"| {streams} | {client} | {medians[client]['output_throughput']:.1f} | "
                f"{medians[client]['mean_tpot_ms']:.3f} | {own['mean_tpot_ms']:.3f} | "
                f"{medians[client]['mean_ttft_ms']:.2f} | {own['mean_ttft_ms']:.2f} |"
            )
        a, b = medians["llm-magics"], medians["vllm bench serve"]
        apart = ", ".join(
            f"{title} {a[name] / b[name] - 1:+.1%}"
            for name, title in zip(COLUMNS, ("output tok/s", "TPOT", "TTFT"), strict=True)
        )
        lines.append(f"| {streams} | ours against theirs: {apart} | | | | | |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
