"""Ours and `vllm bench serve` in turn against one real vLLM server: do two clients see the same server?

    python benchmarks/real_server.py [--rounds 5] [--streams 1,8] [--out FILE.md]

vLLM must be installed (`llm-magics install vllm`). Both clients ask for as many tokens, in turns whose order turns
round. A small machine drifts by up to a fifth from turn to turn, which no number of turns averages down to two in a
hundred; so the server is asked before and after each turn what it has seen itself, and each client is held against the
server's own account of the very same requests: no client warms up or asks whether it is there within its turn.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import NamedTuple

from machine import cores_and_system
from peers import TINY, VLLM, environment

from llm_magics import bench, engines, serve
from llm_magics.engines import environments, metrics
from llm_magics.runtime.server import Server

TOKENS_IN, TOKENS_OUT = 64, 64
REQUESTS = 40  # a stream of one; more streams share four times as many
COLUMNS = ("output_throughput", "mean_tpot_ms", "mean_ttft_ms")


class Turn(NamedTuple):
    """A client's turn: what it says, and what the server's own times of these requests come to, by the same names."""

    streams: int
    client: str
    said: dict[str, float]
    own: dict[str, float]

    def apart(self, name: str) -> float:
        """What the client says over what the server's times say."""
        return self.said[name] / self.own[name]


def ours(server: Server, streams: int, requests: int) -> dict[str, float]:
    """A turn of ours: throughput (tokens/s), TPOT and TTFT (ms)."""
    run = bench(
        server, concurrency=streams, requests=requests, input_tokens=TOKENS_IN, output_tokens=TOKENS_OUT, warmup=0
    )
    return {name: float(run.points[0][name]) for name in COLUMNS}


def theirs(server: Server, streams: int, requests: int, python: str, folder: Path) -> dict[str, float]:
    """A turn of `vllm bench serve`."""
    # its own prompts come out without the chat template's tokens; the template adds the same to both
    command = [
        python, "-c", VLLM, "bench", "serve", "--backend", "openai-chat", "--base-url", server.url,
        "--endpoint", "/v1/chat/completions", "--model", server.model, "--tokenizer", str(TINY),
        "--dataset-name", "random", "--random-input-len", str(TOKENS_IN), "--random-output-len", str(TOKENS_OUT),
        "--num-prompts", str(requests), "--max-concurrency", str(streams), "--num-warmups", "0",
        "--ready-check-timeout-sec", "0", "--ignore-eos", "--temperature", "0", "--percentile-metrics", "ttft,tpot",
        "--save-result", "--result-dir", str(folder),
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


def seen(before: Mapping[str, float], after: Mapping[str, float], streams: int, requests: int) -> dict[str, float]:
    """What the server's own times between two accounts come to.

    Its TPOT is the time it decoded over the tokens after the first; requests of one token, with which ours looks for
    the length of its prompts, add nothing to it. Streams that never idle get `streams` answers every TTFT + decoding.
    """
    ttft = (after["ttft_sum"] - before["ttft_sum"]) / (after["ttft_count"] - before["ttft_count"])
    tpot = (after["tpot_sum"] - before["tpot_sum"]) / requests
    throughput = streams * TOKENS_OUT / (ttft + (TOKENS_OUT - 1) * tpot)
    return dict(zip(COLUMNS, (throughput, tpot * 1e3, ttft * 1e3), strict=True))


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
    rows: list[Turn] = []
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
                    said = turns[client](streams, requests)
                    rows.append(Turn(streams, client, said, seen(before, account(server), streams, requests)))
                    print(rows[-1], flush=True)
    server.stop()
    text = table(rows, asked.rounds, found.version)
    print(text)
    if asked.out:
        asked.out.write_text(text)


def table(rows: list[Turn], rounds: int, version: str) -> str:
    """Medians over the rounds, and how far each client is from the server's own account of its turns."""
    when = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    busy = f"load average {os.getloadavg()[0]:.1f} when it ended"
    lines = [
        "# One real vLLM server, two clients\n",
        f"`python benchmarks/real_server.py --rounds {rounds}`, {when}: {cores_and_system()}; vLLM {version}, {busy}.",
        f"{TOKENS_IN} tokens in, {TOKENS_OUT} out; medians of {rounds} turns each. Beside each figure what the",
        "server's own times of the same requests come to, and the median of how far the two are apart in each turn.\n",
        "| streams | client | output tok/s | server's | apart | TPOT ms | server's | apart | TTFT ms | server's |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for streams in dict.fromkeys(row.streams for row in rows):
        ratios = {}
        for client in dict.fromkeys(row.client for row in rows):
            mine = [row for row in rows if (row.streams, row.client) == (streams, client)]
            ratios[client] = [median(row.apart(name) for row in mine) for name in COLUMNS[:2]]
            cells = []
            for name, form in zip(COLUMNS, (".1f", ".3f", ".1f"), strict=True):
                cells += [f"{median(row.said[name] for row in mine):{form}}"]
                cells += [f"{median(row.own[name] for row in mine):{form}}"]
                cells += [f"{median(row.apart(name) for row in mine) - 1:+.1%}"]
            lines.append(f"| {streams} | {client} | {' | '.join(cells[:-1])} |")
        pairs = zip(*ratios.values(), ("output tok/s", "TPOT"), strict=True)
        apart = ", ".join(f"{title} {ours / theirs - 1:+.1%}" for ours, theirs, title in pairs)
        lines.append(f"| {streams} | ours against theirs, each against the server: {apart} |" + " |" * 8)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
