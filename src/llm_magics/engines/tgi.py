"""Text Generation Inference: Hugging Face's server, in maintenance since December 2025; comes as a container image.

Flags: launcher/src/main.rs, routes and metrics: router/src/server.rs, both at db931fc (3.3.7 and one commit).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from llm_magics.engines.base import (
    Engine,
    Executable,
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
    Variable,
    Words,
)
from llm_magics.errors import SpecError

if TYPE_CHECKING:
    from llm_magics.spec.server import ServerSpec


def _speculation(value: Mapping[str, Any]) -> list[str]:
    """TGI guesses by n-grams, or by the heads of a model that brings some: it only takes how many tokens."""
    if value.get("method") not in ("ngram", "medusa", "mlp_speculator"):
        raise ValueError(f"method {value.get('method')!r} is not one of ngram, medusa, mlp_speculator")
    if unknown := sorted(set(value) - {"method", "num_speculative_tokens"}):
        raise ValueError(f"{unknown[0]} cannot be set there")
    return ["--speculate", str(value.get("num_speculative_tokens", 2))]


def _lora(modules: Mapping[str, str]) -> list[str]:
    if wrong := [path for path in modules.values() if "," in path]:
        raise ValueError(f"{wrong[0]!r} holds a comma, at which TGI would cut it")
    return ["--lora-adapters", ",".join(f"{name}={path}" for name, path in modules.items())]


class Tgi(Engine):
    """Ready when its router is: the shards come first."""

    key = "tgi"
    title = "Text Generation Inference"
    url = "https://huggingface.co/docs/text-generation-inference"
    releases = "https://github.com/huggingface/text-generation-inference/releases"
    install = Install(
        binary="text-generation-launcher",
        hint="there is no wheel of it: add on: docker, or put text-generation-launcher on PATH",
    )
    image = Image(
        gpu="ghcr.io/huggingface/text-generation-inference:3.3.7",
        program="text-generation-launcher",
        entry="program",
        port=80,
        hub="/data",
        options=("--shm-size=1g",),
        asks=("curl", "--silent", "--fail", "--max-time", "20", "--output", "/dev/null", "{page}"),
    )
    needs_gpu = True
    key_env = "API_KEY"
    # launcher/src/main.rs: --cuda-memory-fraction, default 1.0, of the whole GPU; utils/import_utils.py: free - (1 -
    # fraction) x total. Its cache takes but 0.9 of that fraction (TGI_WIGGLE_ROOM, models/flash_causal_lm.py), on top
    # of the blocks of one batch, for which all of it serves: what a refusal may rest on is the fraction itself.
    memory = Memory(1.0, "left")
    grace = 95.0  # the launcher itself waits up to 90 s for what is being answered

    options: Mapping[str, Option] = {
        "revision": Flag("--revision"),
        "dtype": Flag("--dtype", {"half": "float16"}, ("float16", "bfloat16")),
        "quantization": Flag(
            "--quantize",
            {"bnb": "bitsandbytes", "bnb-4bit": "bitsandbytes-nf4"},
            (
                "awq", "compressed-tensors", "eetq", "exl2", "gptq", "marlin", "bitsandbytes", "bitsandbytes-nf4",
                "bitsandbytes-fp4", "fp8",
            ),
        ),
        "kv_cache_dtype": Flag(
            "--kv-cache-dtype", {"fp8": "fp8_e4m3fn", "fp8_e4m3": "fp8_e4m3fn"}, ("fp8_e4m3fn", "fp8_e5m2")
        ),
        "max_model_len": Flag("--max-total-tokens"),
        "gpu_memory_utilization": Flag("--cuda-memory-fraction"),
        "tensor_parallel_size": Flag("--num-shard"),
        "max_num_seqs": Flag("--max-batch-size"),
        "max_num_batched_tokens": Flag("--max-batch-prefill-tokens"),
        "enable_prefix_caching": Variable("PREFIX_CACHING"),
        "speculative": Words(_speculation),
        "lora_modules": Words(_lora),
        "trust_remote_code": Switch("--trust-remote-code", ""),
        "traces": Flag("--otlp-endpoint"),
    }  # fmt: skip
    metrics = Metrics(
        "/metrics",
        {
            "running": ("tgi_batch_current_size",),
            "waiting": ("tgi_queue_size",),
            "prompt_tokens": ("tgi_request_input_length_sum",),
            "output_tokens": ("tgi_request_generated_tokens_sum",),
            "tpot_sum": ("tgi_request_mean_time_per_token_duration_sum",),
            "tpot_count": ("tgi_request_mean_time_per_token_duration_count",),
            "queue_sum": ("tgi_request_queue_duration_sum",),
            "queue_count": ("tgi_request_queue_duration_count",),
        },
        watched={
            "steps": ("tgi_batch_inference_count",),
            "requests": ("tgi_request_count",),
            # Not the server's failures: a wrong request or template (422), too many at once (429), a client that left.
            "failed": ('tgi_request_failure{err!~"validation|template|overloaded|dropped"}',),
        },
    )
    log_prefix = r"^\S+Z\s+(?:INFO|WARN|ERROR)\s+(?:[\w:]+: )?(?:\S+\.rs:\d+: )?"
    stages = (
        Stage(r"Starting check and download process", "downloading"),
        Stage(r"Successfully downloaded weights", "the model is there"),
        Stage(r"Starting shard", "loading the model"),
        Stage(r"Shard ready in (\S+)", "shard ready in {0}"),
        Stage(r"Starting Webserver", "starting the server"),
        Stage(r"Warming up model", "warming up"),
        Stage(r"Connected", "answering"),
    )
    failures = (
        Failure(
            r"Not enough memory to handle (\d+) prefill tokens",
            "the KV cache has no room for {0} tokens of prompts at once",
            "lower max_num_batched_tokens or max_model_len, or take more GPUs with tensor_parallel_size",
        ),
        Failure(
            r"`max_input_tokens`\((\d+)\) must be < `max_total_tokens`\((\d+)\)",
            "the longest prompt leaves no room for an answer",
            "raise max_model_len",
        ),
        Failure(
            r"`sharded` is true but|NotEnoughCUDADevices|`num_shard`",
            "fewer GPUs can be seen than shards were asked for",
            "lower tensor_parallel_size, or give more gpus",
        ),
        Failure(
            r"Download encountered an error|DownloadError",
            "the model could not be fetched",
            "check the model's name; for a gated one accept its licence and set HF_TOKEN",
        ),
        Failure(r"text-generation-(?:server|router) not found in PATH", "the installation is not whole", "on: docker"),
        Failure(
            r"Shard \d+ failed to start|Shard \d+ crashed|Shard process was signaled",
            "a shard ended while it loaded the model; most often it ran out of memory",
            "look above that line in the log; lower max_model_len, or take a quantized model",
        ),
        Failure(r"Webserver Crashed", "its router ended", "look above that line in the log: %llm logs NAME"),
    )

    def help_command(self, executable: Executable) -> list[str] | None:
        """Of the launcher."""
        return [str(executable.binary), "--help"]

    def program(self, place: Place, spec: ServerSpec) -> list[str]:
        """The launcher; a socket folder of its own, so that two can run on one machine, and no usage statistics."""
        start = [
            str(place.executable.binary), "--model-id", place.model,
            "--hostname", place.host, "--port", str(place.port),
            "--shard-uds-path", f"/tmp/text-generation-server-{place.port}",  # noqa: S108 - sockets, as TGI's own default
            "--usage-stats", "off",
        ]  # fmt: skip
        if isinstance(spec.max_model_len, int):
            start += ["--max-input-tokens", str(max(1, spec.max_model_len - 1))]
        return start

    def check(self, place: Place, spec: ServerSpec) -> None:
        """Beside the context: `auto` is the default there, and a type cannot go with a quantization."""
        if spec.max_model_len == "auto":
            raise SpecError(
                f"{self.title} has no max_model_len: auto.", why="left out, it is the model's", then="leave it out"
            )
        if spec.dtype and spec.quantization:
            raise SpecError(f"{self.title} takes dtype or quantization, not both.", then="leave dtype out")
        super().check(place, spec)

    def json_answer(self, schema: dict[str, Any]) -> dict[str, Any]:
        """TGI's own dialect (router/src/lib.rs, `GrammarType`): the schema stands under `value`.

        OpenAI's `json_schema` has no `value` and is refused (422); `json` is the word that older versions know too.
        """
        return {"response_format": {"type": "json", "value": schema}}

    def served_name(self, spec: ServerSpec, model: str) -> str:
        """What it was given as model; it has no option for another name."""
        return model


engine = Tgi()
