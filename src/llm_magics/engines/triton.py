"""Triton Inference Server: a model repository with one language model, spoken to in Triton's own way.

The vLLM backend where this tritonserver has it, else the Python backend of ours (`launchers/triton_model.py`), which
answers in the same words. Sources: triton-inference-server's server and vllm_backend, nvidia-pytriton 0.7.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_magics import models
from llm_magics.engines import hardware
from llm_magics.engines.base import (
    Diagnosis,
    Engine,
    Failure,
    Flag,
    Image,
    Install,
    Memory,
    Metrics,
    Option,
    Place,
    Stage,
    Switch,
    Words,
)
from llm_magics.errors import SpecError

if TYPE_CHECKING:
    from llm_magics.spec.server import ServerSpec

LAUNCHER = Path(__file__).parent / "launchers" / "triton_server.py"
METRICS_BESIDE = 2  # Triton's metrics have a port of their own; as usual with Triton, two above the other


def _traces(address: str) -> list[str]:
    """Every request is traced: Triton's own rate is one in a thousand, and its level none at all."""
    return [
        "--trace-config=mode=opentelemetry", f"--trace-config=opentelemetry,url={address}",
        "--trace-config=level=TIMESTAMPS", "--trace-config=rate=1",
    ]  # fmt: skip


def _lora(modules: Mapping[str, str]) -> list[str]:
    return ["--lora-modules", json.dumps(dict(modules))]


class Triton(Engine):
    """No OpenAI front end: requests go to `/v2/models/NAME/generate_stream`, as plain text."""

    key = "triton"
    title = "Triton"
    url = "https://docs.nvidia.com/deeplearning/triton-inference-server"
    releases = "https://github.com/triton-inference-server/server/releases"
    install = Install(
        modules=("pytriton", "torch", "transformers"),
        distributions=("nvidia-pytriton",),
        binary="tritonserver",
        gpu=(("nvidia-pytriton==0.7.0", "torch", "transformers>=5.20"),),
        cpu=(("nvidia-pytriton==0.7.0", "torch==2.13.0", "transformers>=5.20"),),
        hint="%llm install triton (Python backend), or NVIDIA's container tritonserver:<YY.MM>-vllm-python-py3",
        python=((3, 11), (3, 14)),
    )
    image = Image(
        gpu="nvcr.io/nvidia/tritonserver:26.07-vllm-python-py3",
        program="python3",
        options=("--ipc=host", "--ulimit=memlock=-1", "--ulimit=stack=67108864"),
        carried=(str(LAUNCHER.parent),),
    )
    protocol = "kserve"
    memory = Memory()
    usage = "never"
    ready_path = "/v2/health/ready"  # of a repository it is 200 only when every model in it is loaded
    alive_path = "/v2/health/live"
    grace = 8.0

    options: Mapping[str, Option] = {
        "revision": Flag("--revision"),
        "tokenizer": Flag("--tokenizer"),
        "served_model_name": Flag("--name"),
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
        "load_format": Flag("--load-format"),
        "seed": Flag("--seed"),
        "trust_remote_code": Switch("--trust-remote-code", ""),
        "traces": Words(_traces),
    }
    own_default: Mapping[str, Any] = {"max_model_len": "auto"}  # the model's own context
    metrics = Metrics(
        "/metrics",
        {
            "running": ("llm_requests_running",),
            "waiting": ("llm_requests_waiting",),
            "prompt_tokens": ("vllm:prompt_tokens_total", "llm_prompt_tokens_total"),
            "output_tokens": ("vllm:generation_tokens_total", "llm_generation_tokens_total"),
            "ttft_sum": ("vllm:time_to_first_token_seconds_sum",),
            "ttft_count": ("vllm:time_to_first_token_seconds_count",),
            "tpot_sum": ("vllm:time_per_output_token_seconds_sum",),
            "tpot_count": ("vllm:time_per_output_token_seconds_count",),
        },
        beside=METRICS_BESIDE,
        watched={
            "steps": ("vllm:generation_tokens_total", "llm_generation_tokens_total"),
            "requests": ("nv_inference_request_success + nv_inference_request_failure",),
            "failed": ('nv_inference_request_failure{reason!="CANCELED"}',),
        },
    )
    log_prefix = r"^[IWEF]\d{4} [\d:.]+ \d+ \S+\] \"?"
    stages = (
        Stage(r"^starting \S+ with the (\w+) backend", "starting with the {0} backend"),
        Stage(r"Loading weights:\s+(\d+)%", "loading weights {0} %"),
        Stage(r'"?loading: (\S+?):\d+', "loading the model {0}"),
        Stage(r"^the model is loaded, context (\d+) tokens", "the model is loaded, {0} tokens of context"),
        Stage(r"Started HTTPService at", "answering"),
    )
    failures = (
        Failure(
            r"max_model_len (\d+) is longer than the model's context, (\d+)",
            "max_model_len {0} is longer than the model's context, {1} tokens",
            "max_model_len: {1}",
        ),
        Failure(
            r"the Python backend has no option (\w+)",
            "this tritonserver has no vLLM backend, and the Python backend has no {0}",
            "leave {0} out, or run tritonserver from NVIDIA's container with vLLM",
        ),
        Failure(
            r"Socket '(\S+)' already in use|failed to start (?:HTTP|Metrics) service",
            "the port, or the one two above it for metrics, is taken",
            "leave port: out so that a free one is chosen",
        ),
        Failure(
            r"there is no tritonserver",
            "tritonserver is not installed here",
            "%llm install triton",
        ),
        Failure(
            r"has no Python backend for Python (\S+)",
            "nvidia-pytriton has no Python backend for Python {0}",
            "install it with another Python: put python3.11 or python3.12 on PATH",
        ),
        Failure(
            r"(?:[Ff]ailed|[Uu]nable) to (?:create|initialize|increase).*shared memory",
            "there is no shared memory left",
            "free /dev/shm, or give the container more (--shm-size)",
        ),
        Failure(
            r"boost::interprocess::lock_exception",
            "tritonserver broke off over its own shared memory, a known fault of its Python backend",
            "start it again (triton-inference-server/server#8882)",
        ),
        Failure(
            r"unrecognized option '(\S+)'",
            "tritonserver does not know the option {0}",
            "see what the installed version takes: run tritonserver --help",
        ),
    )

    def program(self, place: Place, spec: ServerSpec) -> list[str]:
        """Our launcher, which needs the standard library only: a tritonserver without Python beside it gets ours."""
        found = place.executable
        inside = Path(found.binary or "").name.startswith("python")  # a container's: tritonserver is on its PATH
        start = [found.binary if found.binary and inside else found.python or sys.executable, str(LAUNCHER)]
        if found.binary and not inside:
            start += ["--tritonserver", found.binary]
        named = [] if spec.served_model_name else ["--name", self.served_name(spec, place.model)]
        return [
            *start, "--model", place.model, *named, "--host", place.host, "--port", str(place.port),
            "--metrics-port", str(place.port + METRICS_BESIDE),
        ]  # fmt: skip

    def environment(self, place: Place, spec: ServerSpec) -> dict[str, str]:
        """No hub for the shipped model; threads that leave others their cores."""
        env = {"HF_HUB_OFFLINE": "1"} if models.is_shipped(spec.model) else {}
        if spec.gpus == "none" or not hardware.has_gpu():
            env["OMP_NUM_THREADS"] = str(hardware.threads())
        return env

    def served_name(self, spec: ServerSpec, model: str) -> str:
        """A name that can be a folder of the repository and a part of a path."""
        return spec.served_model_name or Path(spec.model).name

    def check(self, place: Place, spec: ServerSpec) -> None:
        """The name becomes a folder and a part of every request's path."""
        name = self.served_name(spec, place.model)
        if not name or not all(letter.isascii() and (letter.isalnum() or letter in "._-") for letter in name):
            raise SpecError(
                f"Triton cannot serve a model under the name {name!r}.",
                why="the name is a folder of its repository and a part of its URL",
                then="served_model_name: letters, digits, '.', '_' and '-'",
            )
        super().check(place, spec)

    def diagnose(self, log: Sequence[str]) -> Diagnosis | None:
        """Where nothing better is known, the exception with which the backend did not load the model."""
        return super().diagnose(log) or next(
            (
                Diagnosis("Triton could not load the model", found[1], "check model: and the options")
                for line in log
                if (found := re.search(r"failed to load '\S+' version \d+: (.*?)(?:\\n|\"?$)", line))
            ),
            None,
        )

    def body(self) -> dict[str, Any]:
        """The counts and the finish reason, which Triton's backends send only when asked."""
        return {
            "exclude_input_in_output": True,
            "return_finish_reason": True,
            "return_num_input_tokens": True,
            "return_num_output_tokens": True,
        }

    def fixed_length(self, tokens: int) -> dict[str, Any]:
        """Exactly `tokens`."""
        return {"max_tokens": tokens, "min_tokens": tokens, "ignore_eos": True}


engine = Triton()
