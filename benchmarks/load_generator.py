"""How far off is a load generator? Ours and its peers against a server with known latencies, side by side.

    python benchmarks/load_generator.py [--streams 1,64,256,512,1024] [--peers all --peers-in DIR] [--out FILE.md]

The paced server (`paced_server.c`, compiled here) keeps its own truth, so a client is compared with what the server
really did. Where the system permits, the server runs on the first core with real-time priority and the client on the
second before all others, as in a quiet room: on a shared machine the figures then say something about the client and
not about its neighbours. A client's CPU is that of its whole process tree between the server's first and last request.
On a guest the host may keep the cores for others: a row in which it kept more than a hundredth of one is measured
again, whichever client's it is, and the try stands in the table in which it kept least (`--tries`).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from machine import system
from peers import PEERS, Load, Peer, environment
from quiet_room import Host, Paced, cpu_name, quiet_room, run

HERE = Path(__file__).parent
TTFT, TOKENS = 50, 128
CALM = 0.01  # share of a core that the host may keep
UNPACED_STREAMS = 64
UNPACED = [(1, 3_000), (1_000, 128)]  # (tokens, requests); ten times as many for a client that is done within SHORT
SHORT = 4.0  # s
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


def ours(paced: Paced, prefix: list[str], streams: int, requests: int, folder: Path) -> dict[str, Any]:
    """Our generator, through the same door that `%%bench` uses."""
    spool = folder / "spool.jsonl"
    arguments = [paced.url, str(streams), str(requests), str(TOKENS), str(spool), "64"]
    tree = run([*prefix, sys.executable, "-c", OURS, *arguments], folder, dict(os.environ))
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
    tree = run([*prefix, *peer.command(load, place / "bin")], load.folder, environment(load.folder.parent))
    return {"client": peer.name, **peer.read(load), "tree": tree, "truth": paced.get("/truth"), "note": ""}


def fetch(peer: Peer | None, place: Path | None, prefix: list[str], load: Load) -> None:
    """One client's requests, whatever it says of them."""
    if peer is None or place is None:
        arguments = [
            load.url,
            str(load.streams),
            str(load.requests),
            str(load.tokens),
            str(load.folder / "spool.jsonl"),
            "64",
        ]
        run([*prefix, sys.executable, "-c", OURS, *arguments], load.folder, dict(os.environ))
    else:
        run([*prefix, *peer.command(load, place / "bin")], load.folder, environment(load.folder.parent))


def row(streams: int, found: dict[str, Any]) -> str:
    """One line of the table."""
    truth = found["truth"]
    cpu = found["tree"].cpu_between(truth["first_ns"], truth["last_ns"])
    window = (truth["last_ns"] - truth["first_ns"]) / 1e9
    return (
        f"| {streams} | {found['client']} | {truth['ttft_ms']:.2f} / {truth['ttft_p99_ms']:.2f} "
        f"| {found['ttft'] - truth['ttft_ms']:+.2f} | {found['p99'] - truth['ttft_p99_ms']:+.2f} "
        f"| {100 * (found['tpot'] / truth['tpot_ms'] - 1):+.3f} % | {cpu / truth['chunks'] * 1e6:.1f} "
        f"| {cpu / window:.0%} | {truth['most_active']} | {found['tree'].peak / 1e6:.0f} | {truth['late_p99_ms']:.2f} "
        f"| {found['stolen']:.1%} |"
    )


def memory(paced: Paced, prefix: list[str], folder: Path) -> str:
    """1,024 streams of 1,000 tokens each at 50 tokens/s: the whole tree, the calling process included."""
    spool = folder / "spool.jsonl"
    tree = run(
        [*prefix, sys.executable, "-c", OURS, paced.url, "1024", "1024", "1000", str(spool), "16"],
        folder,
        dict(os.environ),
    )
    return f"{tree.peak / 1e6:.0f} MB, {paced.get('/truth')['most_active']} streams held"


def start(paced: Paced, prefix: list[str], folder: Path) -> str:
    """From the call of `measure` to the first measured request at the server, the mean of five."""
    found = []
    for _ in range(5):
        paced.get("/reset")
        spool = folder / "spool.jsonl"
        run([*prefix, sys.executable, "-c", OURS, paced.url, "1", "1", "2", str(spool), "16"], folder, dict(os.environ))
        called = int((folder / "client.log").read_text().split()[0])
        found.append((paced.get("/truth")["first_ns"] - called) / 1e9)
    return f"{sum(found) / len(found):.2f} s"


ALONE = {
    "memory, 1,024 streams x 1,000 tokens (target 100 MB)": (memory, ("--ttft-ms", "50", "--itl-ms", "20")),
    "from the call to the first request (target 0.3 s)": (start, ("--ttft-ms", "1", "--itl-ms", "1")),
}


class Table:
    """Lines of a Markdown table, printed as they come."""

    def __init__(self, *columns: str) -> None:
        self.lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]

    def add(self, line: str, note: str = "") -> None:
        self.lines.append(line)
        print(line, note, flush=True)

    def __str__(self) -> str:
        return "\n".join(self.lines)


class Bench:
    """The tables of one run.

    `names` are the peers', `places` their environments; a row has so many `tries`; `itl` ms lie between two tokens.
    """

    def __init__(self, folder: Path, names: list[str], places: dict[str, Path], tries: int, itl: float) -> None:
        self.folder = folder
        self.tries = tries
        self.itl = itl
        self.names = names
        self.places = places
        self.server, self.client, self.room = quiet_room()
        self.binary = folder / "paced_server"
        subprocess.run(["cc", "-O2", "-o", str(self.binary), str(HERE / "paced_server.c")], check=True)

    def paced(self, streams: list[int], peer_streams: list[int], rounds: int) -> Table:
        """Errors, cost and streams held, client beside client."""
        table = Table(
            "streams", "client", "true TTFT mean / p99 (ms)", "TTFT error mean (ms)", "p99", "TPOT error",
            "CPU µs/chunk", "core", "streams held", "peak MB", "server late p99 (ms)", "host kept",
        )  # fmt: skip
        for at in sorted({*streams, *(peer_streams if self.names else [])}):
            for _ in range(rounds):
                for name in [*([""] if at in streams else []), *(self.names if at in peer_streams else [])]:
                    try:
                        found = self._calmest(name, at)
                        table.add(row(at, found), found["note"])
                    except BROKEN as error:
                        table.add(f"| {at} | {called(name)} | did not run: {said(error)} |" + " |" * 9)
        return table

    def _calmest(self, name: str, streams: int) -> dict[str, Any]:
        """A row, again while the host keeps too much: which try stands does not depend on what the client measured."""
        tried: list[dict[str, Any]] = []
        while len(tried) < self.tries and all(each["stolen"] > CALM for each in tried):
            host = Host()
            found = self._with_server(partial(self._one, name, streams), "--ttft-ms", TTFT, "--itl-ms", self.itl)
            tried.append({**found, "stolen": host.took()})
        best = min(tried, key=lambda each: each["stolen"])
        kept = ", ".join(f"{each['stolen']:.1%}" for each in tried)
        return {**best, "note": f"{best['note']}, host kept {kept}".removeprefix(", ")}

    def _one(self, name: str, streams: int, paced: Paced) -> dict[str, Any]:
        requests, folder = max(8, 3 * streams), self._fresh()
        if not name:
            return ours(paced, self.client, streams, requests, folder)
        load = Load(url=paced.url, streams=streams, requests=requests, tokens=TOKENS, folder=folder)
        return other(PEERS[name], self.places[name], paced, self.client, load)

    def unpaced(self) -> Table:
        """What each client takes from a server that answers at once."""
        table = Table("client", "answers of one token/s", "chunks/s, answers of 1,000 tokens")
        for name in ["", *self.names]:
            cells = [self._rate(name, tokens, many) for tokens, many in UNPACED]
            table.add(f"| {called(name)} | {' | '.join(cells)} |")
        return table

    def _rate(self, name: str, tokens: int, requests: int) -> str:
        more = False

        def measured(paced: Paced) -> str:
            load = Load(url=paced.url, streams=UNPACED_STREAMS, requests=requests, tokens=tokens, folder=self._fresh())
            fetch(PEERS.get(name), self.places.get(name), self.client, load)
            truth = paced.get("/truth")
            if truth["requests"] < requests:
                raise RuntimeError(f"{truth['requests']} of {requests} requests answered")
            if truth["last_ns"] - truth["first_ns"] < SHORT * 1e9 and not more:
                return ""
            return f"{truth['answers_per_s'] * tokens:,.0f}"

        try:
            if found := self._with_server(measured, "--unpaced"):
                return str(found)
            more = True
            requests *= 10
            return str(self._with_server(measured, "--unpaced"))
        except BROKEN as error:
            return f"did not run: {said(error)}"

    def alone(self) -> Table:
        """What nobody else is asked for."""
        table = Table("what", "measured")
        for what, (measure, arguments) in ALONE.items():
            try:
                found = self._with_server(lambda p, m=measure: m(p, self.client, self._fresh()), *arguments)
            except BROKEN as error:
                found = f"failed: {said(error)}"
            table.add(f"| {what} | {found} |")
        return table

    def _with_server(self, measured: Callable[[Paced], Any], *arguments: object) -> Any:
        paced = Paced(self.binary, self.server, *map(str, arguments))
        try:
            return measured(paced)
        finally:
            paced.stop()

    def _fresh(self) -> Path:
        folder = self.folder / "client"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder


BROKEN = (RuntimeError, OSError, KeyError, ValueError, IndexError, TypeError)


def called(name: str) -> str:
    """A client's name in the tables."""
    return PEERS[name].name if name else "llm-magics"


def said(error: Exception) -> str:
    """The end of what went wrong, on one line of a table."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[-160:]}".replace("|", "/")


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", default="1,64,256,512,1024", help="of our own rows")
    parser.add_argument("--peer-streams", default="64,256,512", help="of the peers' rows")
    parser.add_argument("--peers", default="", help=f"any of {','.join(PEERS)}; `all`; `installed`")
    parser.add_argument("--peers-in", type=Path, default=Path(".cache/peers"), help="folder of their environments")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--itl-ms", type=float, default=10, help="between two tokens of a stream; 10: 100 tokens/s")
    parser.add_argument("--tries", type=int, default=3, help="of a row in which the host kept too much of a core")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    places = {name: place_of(peer, options.peers_in.resolve()) for name, peer in PEERS.items()}
    names = [name for name in options.peers.split(",") if name]
    if options.peers in ("all", "installed"):
        names = [name for name in PEERS if options.peers == "all" or places[name].exists()]
    ours_at, peers_at = ([int(each) for each in text.split(",")] for text in (options.streams, options.peer_streams))
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), names, places, max(1, options.tries), options.itl_ms)
        tables = bench.paced(ours_at, peers_at, options.rounds), bench.unpaced(), bench.alone()
    versions = ", ".join(f"{PEERS[each].name} {version(PEERS[each], places[each])}" for each in names)
    command = f"python benchmarks/load_generator.py --streams {options.streams} --rounds {options.rounds}"
    command += f" --tries {options.tries} --itl-ms {options.itl_ms:g}"
    if names:
        command += f" --peers {options.peers} --peer-streams {options.peer_streams}"
    report = f"""# Load generators against a server with known latencies, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC

True TTFT {TTFT} ms, TPOT {options.itl_ms:g} ms, {TOKENS} tokens an answer, prompts of 64 tokens, closed loop,
requests = 3 x streams (at least 8). Errors are against what the server itself stamped.
Host kept: the largest share of a core, of the two, that the host of this machine kept for others; a row with more than
{CALM:.0%} was tried up to {options.tries} times, and the try with least stands.

- Machine: {os.cpu_count()} x {cpu_name()}, {system()}; {bench.room}. \
Load average when it ended: {os.getloadavg()[0]:.1f}.
- Command: `{command}`
- Peers: {versions or "not measured"}

{tables[0]}

A server that answers at once, {UNPACED_STREAMS} streams, between the first tenth of the answers and the last tenth:

{tables[1]}

Ours alone, on one core:

{tables[2]}
"""
    if options.out:
        options.out.write_text(report)
    print(report)


def place_of(peer: Peer, folder: Path) -> Path:
    """The peer's environment; vLLM's is the engine's own where there is none among the peers."""
    place = folder / peer.place
    engines = Path(os.environ.get("LLM_MAGICS_ENVS", ".cache/envs")).resolve() / peer.place
    return place if place.exists() or not engines.exists() else engines


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
