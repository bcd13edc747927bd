"""TensorRT-LLM: NVIDIA's engine, by `trtllm-serve` and its PyTorch backend; comes as a container image or a wheel.

Flags: tensorrt_llm/commands/serve.py at 00209af (1.2) and 4c05a74 (2026 main); YAML: tensorrt_llm/llmapi/llm_args.py;
adapters and answers in JSON: lora_helper.py at 037d4ba, serve/openai_protocol.py at 0076e93.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_magics.engines import peft_adapters
from llm_magics.engines.base import (
    Engine,
    Entry,
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
)
from llm_magics.errors import SpecError

if TYPE_CHECKING:
    from llm_magics.spec.server import ServerSpec

USUAL_RANK = 64  # `LoraConfig.max_lora_rank`


def _speculation(value: Mapping[str, Any]) -> dict[str, Any]:
    """vLLM's words in those of `speculative_config`."""
    method, rest = value.get("method"), {key: each for key, each in value.items() if key != "method"}
    kinds = {"ngram": "NGram", "draft_model": "DraftTarget", "eagle3": "Eagle3", "mtp": "MTP"}
    if method not in kinds:
        raise ValueError(f"method {method!r} is not one of {', '.join(kinds)}")
    tokens = "num_nextn_predict_layers" if method == "mtp" else "max_draft_len"
    names = {
        "num_speculative_tokens": tokens, "model": "speculative_model", "prompt_lookup_max": "max_matching_ngram_size"
    }  # fmt: skip
    if unknown := sorted(set(rest) - set(names)):
        raise ValueError(f"{unknown[0]} is not one of {', '.join(names)}")
    return {"decoding_type": kinds[method], **{names[key]: each for key, each in rest.items()}}


def _lora(modules: Mapping[str, str]) -> dict[str, Any]:
    """Room for all adapters, and one folder, in which it reads the modules that they change; requests name the folders.

    It fetches none from a hub. Source: lora_helper.py, `LoraConfig`; lora_manager.py, `load_torch_hf_lora`, which takes
    a single `lora_dir`; serve/openai_protocol.py, `lora_request`.
    """
    folders = {name: str(Path(path).expanduser().absolute()) for name, path in modules.items()}
    found = {name: peft_adapters.read(folder) for name, folder in folders.items()}
    known = {name: adapter for name, adapter in found.items() if adapter is not None}
    if len({adapter.modules for adapter in known.values()}) > 1:
        told = "; ".join(f"{name}: {', '.join(sorted(adapter.modules))}" for name, adapter in known.items())
        raise ValueError(f"TensorRT-LLM adapts the same modules for all adapters of a server ({told})")
    rank = max((adapter.rank for adapter in known.values()), default=0)
    config = {"lora_dir": [next(iter(folders.values()))], "max_loras": len(modules), "max_cpu_loras": len(modules)}
    return {**config, "max_lora_rank": rank} if rank > USUAL_RANK else config


class TensorRTLLM(Engine):
    """Its JSON page `/metrics` empties when it is read, so the other page is switched on, and nothing reads the first.

    What the configuration file can say stands there, not on the line: in 1.2 the file wins, in newer versions the line.
    """

    key = "tensorrt_llm"
    title = "TensorRT-LLM"
    url = "https://nvidia.github.io/TensorRT-LLM"
    releases = "https://github.com/NVIDIA/TensorRT-LLM/releases"
    install = Install(
        modules=("tensorrt_llm",),
        distributions=("tensorrt_llm", "tensorrt-llm"),
        binary="trtllm-serve",
        gpu=(("tensorrt_llm",),),
        hint="add on: docker; or beside an NVIDIA GPU, CUDA's toolkit and libopenmpi-dev: %llm install tensorrt_llm",
        python=((3, 10), (3, 13)),
    )
    image = Image(
        gpu="nvcr.io/nvidia/tensorrt-llm/release:1.2.1",
        program="trtllm-serve",
        entry="",
        options=("--ipc=host", "--ulimit=memlock=-1", "--ulimit=stack=67108864"),
    )
    needs_gpu = True
    memory = Memory()
    grace = 20.0  # it gives its own children 10 s, and may have to kill them then
    config_flag = "--extra_llm_api_options"  # `--config` is a younger name for the same

    options: Mapping[str, Option] = {
        "revision": Flag("--revision"),
        "tokenizer": Flag("--tokenizer"),
        "dtype": Entry("dtype", {"half": "float16", "float": "float32"}),
        "kv_cache_dtype": Entry("kv_cache_config.dtype", {"fp8_e4m3": "fp8"}, ("auto", "fp8", "nvfp4")),
        "max_model_len": Flag("--max_seq_len"),
        "gpu_memory_utilization": Entry("kv_cache_config.free_gpu_memory_fraction"),
        "tensor_parallel_size": Flag("--tp_size"),
        "pipeline_parallel_size": Flag("--pp_size"),
        "max_num_seqs": Flag("--max_batch_size"),
        "max_num_batched_tokens": Flag("--max_num_tokens"),
        "enable_prefix_caching": Entry("kv_cache_config.enable_block_reuse"),
        "enable_chunked_prefill": Switch("--enable_chunked_prefill", ""),
        "speculative": Entry("speculative_config", make=_speculation),
        "lora_modules": Entry("lora_config", make=_lora),
        "load_format": Entry("load_format", choices=("auto", "dummy")),
        "trust_remote_code": Switch("--trust_remote_code", ""),
        "traces": Flag("--otlp_traces_endpoint"),
    }
    metrics = Metrics(
        "/prometheus/metrics",
        {
            "running": ("trtllm_num_requests_running",),
            "waiting": ("trtllm_num_requests_waiting",),
            "kv_usage": ("trtllm_kv_cache_utilization",),
            "prompt_tokens": ("trtllm_prompt_tokens_total",),
            "output_tokens": ("trtllm_generation_tokens_total",),
            "ttft_sum": ("trtllm_time_to_first_token_seconds_sum",),
            "ttft_count": ("trtllm_time_to_first_token_seconds_count",),
            "tpot_sum": ("trtllm_time_per_output_token_seconds_sum",),
            "tpot_count": ("trtllm_time_per_output_token_seconds_count",),
            "queue_sum": ("trtllm_request_queue_time_seconds_sum",),
            "queue_count": ("trtllm_request_queue_time_seconds_count",),
        },
    )
    log_prefix = r"^(?:\[\d\d/\d\d/\d{4}-[\d:]+\] )?(?:\[TRT-LLM\] )?(?:\[[A-Z]\] )?"
    stages = (
        Stage(r"Downloading|Fetching \d+ files", "downloading"),
        Stage(r"Loading safetensors weights|Prefetching", "loading weights"),
        Stage(r"Loading weights:\s+(\d+)%", "loading weights {0} %"),
        Stage(r"[Aa]utotun", "tuning kernels"),
        Stage(r"CUDA graph warmup|Creating CUDA graph", "capturing CUDA graphs"),
        Stage(r"Application startup complete", "answering"),
    )
    failures = (
        Failure(
            r"Failed to bind socket to \S+:(\d+)", "port {0} is taken", "leave port: out so that a free one is chosen"
        ),
        Failure(r"Pre SM 80 GPUs do not support bfloat16", "this GPU has no bfloat16", "dtype: float16"),
        Failure(
            r"No GPU devices found on the node",
            "no GPU can be seen",
            "check the driver (`%llm doctor`); in a container: the NVIDIA Container Toolkit",
        ),
        Failure(
            r"libmpi\S*: cannot open shared object|libmpi.*No such file",
            "its MPI library is missing",
            "install libopenmpi-dev, or add on: docker",
        ),
        Failure(
            r"extra_forbidden|Extra inputs are not permitted",
            "this version does not know a key of the configuration file",
            "leave out the option that the line names, or take another image: image: …/release:<version>",
        ),
        Failure(
            r"is too large for the KV cache|insufficient (?:GPU )?memory for (?:the )?KV cache|"
            r"max_seq_len.*(?:larger|greater) than.*KV cache",
            "the KV cache has no room for one request of this length",
            "lower max_model_len, set kv_cache_dtype: fp8, or raise gpu_memory_utilization",
        ),
    )

    def help_command(self, executable: Executable) -> list[str] | None:
        """Of the subcommand that serves."""
        start = [executable.binary] if executable.binary else [executable.python, "-m", "tensorrt_llm.commands.serve"]
        return [*map(str, start), "serve", "--help"]

    def program(self, place: Place, spec: ServerSpec) -> list[str]:
        """`trtllm-serve`, or its module in the environment that has it."""
        found = place.executable
        start = [found.binary] if found.binary else [str(found.python), "-m", "tensorrt_llm.commands.serve"]
        return [*start, place.model, "--host", place.host, "--port", str(place.port)]

    def configuration(self, spec: ServerSpec) -> dict[str, Any]:
        """The page of metrics that may be read by more than one, and a backend for answers that keep a schema.

        Without it a `response_format` constrains nothing. Not beside speculation, with whose kinds not all of it goes.
        """
        return {
            "return_perf_metrics": True,
            "enable_iter_perf_stats": True,
            **({} if spec.speculative else {"guided_decoding_backend": "xgrammar"}),
        }

    def check(self, place: Place, spec: ServerSpec) -> None:
        """Beside the context: its maximum is the default and has no word."""
        if spec.max_model_len == "auto":
            raise SpecError(
                f"{self.title} has no max_model_len: auto.", why="left out, it is the model's", then="leave it out"
            )
        super().check(place, spec)

    def served_name(self, spec: ServerSpec, model: str) -> str:
        """A folder's own name, or the hub id; the option for another name is younger than 1.2."""
        return Path(model).name if model.startswith("/") else model

    def fixed_length(self, tokens: int) -> dict[str, Any]:
        """Exactly `tokens`; no other field of another engine's, which would be refused with 400."""
        return {"max_tokens": tokens, "min_tokens": tokens, "ignore_eos": True}

    def json_answer(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Its own words: 1.2 takes the whole of OpenAI's `json_schema`, name and all, for the schema."""
        return {"response_format": {"type": "json", "schema": schema}}


engine = TensorRTLLM()
