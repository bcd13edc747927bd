"""vLLM, Transformers and DeepSpeed one after another on one GPU, with one model of 7 to 8 billion random weights.

    python tools/random_model.py FOLDER        # by a Python that has torch and transformers
    python benchmarks/engines_on_a_gpu.py --model FOLDER --out RESULTS

The guide's two charts, throughput and memory efficiency (requests held at once), measured; beside them the memory that
`%llm fit` predicts against what the engine says and the driver counts, and what a token costs in joules. An engine
that does not start is left out with its reason, and what was measured before it stays.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from machine import system

from llm_magics import api, engines
from llm_magics.advice.fit import fit
from llm_magics.errors import LaunchError, LLMMagicsError
from llm_magics.results.run import Run
from llm_magics.runtime import gpus
from llm_magics.runtime.server import Server

CONTEXT = 4096
SLO = {"ttft": "2s", "tpot": "50ms"}
GIB = 1 << 30
# Each as its own page recommends for serving many: vLLM compiled and with CUDA graphs, which is its default.
SETTINGS: dict[str, list[dict[str, Any]]] = {
    "vllm": [{"max_model_len": CONTEXT}, {"max_model_len": CONTEXT, "args": ["--enforce-eager"]}],
    "transformers": [{}],
    "deepspeed": [{"max_model_len": CONTEXT, "max_num_seqs": 64}],
}


def main() -> None:
    """Measures, and writes `engines-on-a-gpu.md`, `.html` and `.json` after each engine."""
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--model", required=True)
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--engines", default=",".join(SETTINGS))
    options.add_argument("--concurrency", default="1,16,64,128")
    options.add_argument("--seconds", type=float, default=12.0, help="how long each point sends")
    options.add_argument("--dummy", action="store_true", help="engines that can make their own random weights do")
    options.add_argument("--timeout", type=float, default=150.0, help="longest start, seconds")
    asked = options.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    runs: list[Run] = []
    facts: list[dict[str, Any]] = []
    for engine in asked.engines.split(","):
        try:
            run, fact = measured(engine, asked)
            runs.append(run)
        except LLMMagicsError as error:
            fact = {"engine": engine, "failed": str(error)}
        print(json.dumps(fact, default=str), flush=True)
        facts.append(fact)
        save(asked, runs, facts)


def measured(engine: str, asked: argparse.Namespace) -> tuple[Run, dict[str, Any]]:
    """One engine's run and what it held of the GPU."""
    before = gpus.gpus()[0]
    server, given, took = started(engine, asked)
    try:
        held = gpus.gpus()[0].memory_used - before.memory_used
        load = {"input_tokens": 512, "output_tokens": 128, "warmup": 4, "slo": SLO, "duration": asked.seconds}
        streams = [int(each) for each in asked.concurrency.split(",")]
        run = api.bench(server, label=engine, concurrency=streams, **load)
        log = server.logs(4000)
    finally:
        server.stop()
    predicted = fit(asked.model, demand=None if engine != "vllm" else vllms(given)).balance
    tokens = re.findall(r"KV cache size: ([\d,]+) tokens", log)
    loaded = re.findall(r"[Mm]odel loading took ([\d.]+) GiB", log)
    return run, {
        "engine": engine, "version": run.header["engine_version"], "settings": given, "start_s": round(took, 1),
        "left_after_stop_gib": round((gpus.gpus()[0].memory_used - before.memory_used) / GIB, 3),
        "held_when_ready_gib": round(held / GIB, 2),
        "held_at_most_gib": round(max(point["max_gpu_memory"] or 0 for point in run.points) / GIB, 2),
        "weights_predicted_gib": round(predicted.weights / GIB, 2), "weights_said_gib": loaded[0] if loaded else None,
        "cache_tokens_predicted": predicted.tokens_in_cache if engine == "vllm" else None,
        "cache_tokens_said": int(tokens[0].replace(",", "")) if tokens else None,
    }  # fmt: skip


def vllms(given: dict[str, Any]) -> Any:
    """The demand as the check before a launch reads it from these options."""
    from llm_magics.api.fitting import demand_of
    from llm_magics.spec import ServerSpec

    return demand_of(ServerSpec(name="s", engine="vllm", **given))


def started(engine: str, asked: argparse.Namespace) -> tuple[Server, dict[str, Any], float]:
    """The engine by the first of its settings that starts."""
    made = {"load_format": "dummy"} if asked.dummy and "load_format" in engines.get(engine).options else {}
    for settings in SETTINGS[engine]:
        given = settings | made
        begun = time.monotonic()
        try:
            server = api.serve(engine, engine=engine, model=asked.model, keep="cell", timeout=asked.timeout, **given)
            return server, given, time.monotonic() - begun
        except LaunchError as error:
            if settings is SETTINGS[engine][-1]:
                raise
            print(f"{engine} with {given}: {error}", flush=True)
    raise AssertionError


def save(asked: argparse.Namespace, runs: list[Run], facts: list[dict[str, Any]]) -> None:
    """What there is so far."""
    gpu = gpus.gpus()[0]
    compared = api.compare(runs) if len(runs) > 1 else None
    if compared:
        compared.report(asked.out / "engines-on-a-gpu.html")
    columns = ["engine", "version", "start_s", "held_when_ready_gib", "held_at_most_gib", "left_after_stop_gib",
               "weights_predicted_gib", "weights_said_gib", "cache_tokens_predicted", "cache_tokens_said"]  # fmt: skip
    rows = [f"| {' | '.join(str(fact.get(column, '')) for column in columns)} |" for fact in facts]
    points = [
        {"engine": run.label, **{key: point[key] for key in point if not isinstance(point[key], (dict, list))}}
        for run in runs
        for point in run.points
    ]
    settings = "; ".join(f"{fact['engine']} {fact.get('settings', fact.get('failed'))}" for fact in facts)
    (asked.out / "engines-on-a-gpu.json").write_text(json.dumps({"facts": facts, "points": points}, default=str))
    text = (
        f"# Engines on a GPU, with one model of 7 billion random weights\n\n"
        f"`python benchmarks/engines_on_a_gpu.py --concurrency {asked.concurrency} --seconds {asked.seconds:g}`, "
        f"{datetime.now(UTC):%Y-%m-%d}: one {gpu.name} ({gpu.memory_total / GIB:.1f} GiB), driver {gpu.driver}, "
        f"{system()}. 512 tokens in, 128 out, each point "
        f"{asked.seconds:g} s; SLO {SLO}.\n\n"
        f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}\n" + "\n".join(rows) + "\n\n"
        f"Settings: {settings}.\n"
        f"\n```\n{compared or (runs[0] if runs else 'nothing was measured')}\n```\n"
    )
    (asked.out / "engines-on-a-gpu.md").write_text(text)


if __name__ == "__main__":
    main()
