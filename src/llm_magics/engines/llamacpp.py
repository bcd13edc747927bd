"""llama.cpp: the embedded default, for CPUs and every GPU; by the `xllamacpp` wheel or a `llama-server` binary.

Flags and messages: llama.cpp common/arg.cpp and tools/server, and the servers themselves (docs/engines.md).
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_magics import models
from llm_magics.engines import hardware
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
    Words,
)
from llm_magics.engines.models import context_length
from llm_magics.errors import SpecError

if TYPE_CHECKING:
    from llm_magics.spec.server import ServerSpec

LAUNCHER = Path(__file__).parent / "launchers" / "xllamacpp_server.py"
SLOTS = 4  # llama-server's own choice
CONNECTIONS = 128  # a thread each while it is open; with the default, six on two cores, a seventh client starves
USUAL_CONTEXT = 8192  # tokens a request may have when nothing is said: the model's own, but no more memory than this


def _speculation(value: Mapping[str, Any]) -> list[str]:
    """vLLM's words in the binary's: `--spec-type` and what goes with it."""
    names = {
        "ngram": {
            "num_speculative_tokens": "--spec-ngram-simple-size-m",
            "prompt_lookup_max": "--spec-ngram-simple-size-n",
        },
        "draft_model": {"num_speculative_tokens": "--spec-draft-n-max", "model": "--model-draft"},
        "eagle3": {"num_speculative_tokens": "--spec-draft-n-max", "model": "--model-draft"},
        "mtp": {"num_speculative_tokens": "--spec-draft-n-max"},
    }
    kinds = {"ngram": "ngram-simple", "draft_model": "draft-simple", "eagle3": "draft-eagle3", "mtp": "draft-mtp"}
    method = value.get("method")
    if method not in kinds:
        raise ValueError(f"method {method!r} is not one of {', '.join(kinds)}")
    rest = {key: each for key, each in value.items() if key != "method"}
    if unknown := sorted(set(rest) - set(names[method])):
        raise ValueError(f"{unknown[0]} is not one of {', '.join(names[method])}")
    return [
        "--spec-type",
        kinds[method],
        *(word for key, each in rest.items() for word in (names[method][key], str(each))),
    ]


def _lora(modules: Mapping[str, str]) -> list[str]:
    """llama.cpp applies every adapter it loads to every request; a request's `model` chooses none."""
    if len(modules) > 1:
        raise ValueError("llama.cpp applies all adapters at once to every request; give one, or serve each by itself")
    for path in modules.values():  # that it is there, `models.beside` knows: this one may be a path inside a container
        if not path.endswith(".gguf") or Path(path).expanduser().is_dir():
            raise ValueError(f"{path!r} is no .gguf file, as which llama.cpp takes adapters (convert_lora_to_gguf.py)")
    return [word for path in modules.values() for word in ("--lora", str(Path(path).expanduser().absolute()))]


def _prefix_caching(on: bool) -> list[str]:
    """There are two caches: a slot's own, and one of finished prompts in the machine's memory, 8 GiB by default."""
    return ["--cache-prompt"] if on else ["--no-cache-prompt", "--cache-ram", "0"]


class LlamaCpp(Engine):
    """Context is per request in our words and shared by all slots in llama.cpp's: this adapter multiplies."""

    key = "llamacpp"
    title = "llama.cpp"
    url = "https://github.com/ggml-org/llama.cpp"
    releases = "https://github.com/ggml-org/llama.cpp/releases"
    install = Install(
        modules=("xllamacpp",),
        distributions=("xllamacpp",),
        binary="llama-server",
        gpu=(("xllamacpp>=2026.10",),),
        cpu=(("xllamacpp>=2026.10",),),
        hint="pip install xllamacpp, or put a llama-server binary on PATH",
        python=((3, 10), (3, 15)),
    )
    image = Image(
        gpu="ghcr.io/ggml-org/llama.cpp:server-cuda",
        cpu="ghcr.io/ggml-org/llama.cpp:server",
        program="/app/llama-server",
        entry="program",
        port=8080,
        options=(),
        asks=("curl", "--silent", "--fail", "--max-time", "20", "--output", "/dev/null", "{page}"),
    )
    tested = ("2026.10", "2026.11")
    # A llama-server from before October 2025 keeps no finished prompts.
    replaced: Mapping[str, Mapping[str, Sequence[str]]] = {"--cache-ram": {"0": ()}}
    gone: Mapping[str, str] = {
        "--draft": "use --spec-draft-n-max",
        "--draft-max": "use --spec-draft-n-max",
        "--draft-min": "use --spec-draft-n-min",
    }
    model_format = "gguf"
    key_env = "LLAMA_API_KEY"
    memory = Memory(spills=True)
    grace = 5.0

    options: Mapping[str, Option] = {
        "served_model_name": Flag("--alias"),
        "max_model_len": Flag("--ctx-size"),
        "max_num_seqs": Flag("--parallel"),
        "max_num_batched_tokens": Flag("--batch-size"),
        "kv_cache_dtype": Flag(
            ("--cache-type-k", "--cache-type-v"),
            {"auto": "f16", "float16": "f16", "bfloat16": "bf16", "float32": "f32"},
            ("f16", "bf16", "f32", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"),
        ),
        "enable_prefix_caching": Words(_prefix_caching),
        "speculative": Words(_speculation),
        "lora_modules": Words(_lora),
        "seed": Flag("--seed"),
    }
    said_otherwise = ("served_model_name", "max_model_len", "max_num_seqs")  # in `program`: they need the model
    metrics = Metrics(
        "/metrics",
        {
            "running": ("llamacpp:requests_processing",),
            "waiting": ("llamacpp:requests_deferred",),
            "prompt_tokens": (
                "llamacpp:prompt_tokens_total + llamacpp:prompt_tokens_cached_total",
                "llamacpp:prompt_tokens_total",
            ),
            "output_tokens": ("llamacpp:tokens_predicted_total",),
            "cached_tokens": ("llamacpp:prompt_tokens_cached_total",),
            "kv_usage": ("llamacpp:kv_cache_usage_ratio",),
            "tpot_sum": ("llamacpp:tokens_predicted_seconds_total",),
            "tpot_count": ("llamacpp:tokens_predicted_total",),
        },
        watched={"steps": ("llamacpp:n_decode_total",)},
    )
    tokenize_path = "/tokenize"
    log_prefix = r"^\d+\.\d\d\.\d{3}\.\d{3} [A-Z] "
    stages = (
        Stage(r"load_model: loading model", "loading weights"),
        Stage(r"n_slots = (\d+), n_ctx_slot = (\d+)", "warming up {0} slots of {1} tokens"),
        Stage(r"listening on http", "answering"),
    )
    failures = (
        Failure(
            r"invalid magic characters|failed to read magic",
            "the file is no GGUF model",
            "give the path of a .gguf file; download or convert it again if it should be one",
        ),
        Failure(
            r"not within the file bounds|model is corrupted or incomplete|failed to read key-value pairs",
            "the GGUF file is cut off or corrupt",
            "download or convert it again",
        ),
        Failure(
            r"failed to open GGUF file '(.*)' \((.*)\)",
            "the model's file cannot be opened: {1}",
            "check the path {0} and who may read it",
        ),
        Failure(
            r"unknown model architecture: '(.+)'|unknown pre-tokenizer type: '(.+)'",
            "this version of llama.cpp does not know the model",
            "upgrade it: pip install -U xllamacpp",
        ),
        Failure(
            r"has wrong shape; expected|missing tensor",
            "the GGUF file contradicts itself",
            "convert it again, with the newest conversion script",
        ),
        Failure(
            r"allocating ([\d.]+) MiB on device (\d+): cudaMalloc failed: out of memory",
            "GPU {1} has no room for {0} MiB more",
            "lower max_model_len or max_num_seqs, set kv_cache_dtype: q8_0, or args: [--n-gpu-layers, N]",
        ),
        Failure(
            r"cudaMalloc failed: out of memory|unable to allocate .* buffer|failed to allocate .*buffer",
            "there is not enough memory for the model and this context",
            "lower max_model_len or max_num_seqs, set kv_cache_dtype: q8_0, or take a smaller quantization",
        ),
        Failure(
            r"couldn't bind HTTP server socket.*port: (\d+)",
            "port {0} is taken",
            "leave port: out so that a free one is chosen",
        ),
        Failure(
            r"[Ff]ailed to (?:load|apply) (?:lora )?adapter|llama_adapter_lora_init(?:_impl)?: failed",
            "the LoRA adapter could not be loaded",
            "check that it is a .gguf made for this very model (convert_lora_to_gguf.py)",
        ),
        Failure(r"failed to load model", "the model could not be loaded", "read the log: %llm logs NAME"),
    )

    def program(self, place: Place, spec: ServerSpec) -> list[str]:
        """The binary or our launcher, the model, and what every server of ours has."""
        found = place.executable
        start = [found.binary] if found.binary else [str(found.python), str(LAUNCHER)]
        source = "--model" if Path(place.model).is_file() else "--hf-repo"
        threads = str(place.threads or hardware.threads())
        return [
            *start, source, place.model, "--alias", self.served_name(spec, place.model),
            "--host", place.host, "--port", str(place.port), *self._context(place.model, spec), "--metrics",
            "--threads", threads, "--threads-batch", threads, "--threads-http", str(CONNECTIONS),
            *(["--n-gpu-layers", "0"] if spec.gpus == "none" else []),
        ]  # fmt: skip

    def help_command(self, executable: Executable) -> list[str] | None:
        """The binary's; our launcher takes what the wheel takes and says so at once."""
        return [executable.binary, "--help"] if executable.binary else None

    def served_name(self, spec: ServerSpec, model: str) -> str:
        """The adapter's name where there is one: what answers is the model with it."""
        return spec.served_model_name or next(iter(spec.lora_modules or ()), spec.model)

    def check(self, place: Place, spec: ServerSpec) -> None:
        """Beside the context: the wheel's server cannot fetch a model from a hub, the binary can."""
        if not place.executable.binary and not Path(place.model).is_file():
            from llm_magics.spec.reading import nearest

            repository = spec.model.partition(":")[0]
            if "gguf" not in repository.lower():
                repository += "-GGUF"
            tool = "" if shutil.which("hf") else "; `pip install huggingface_hub` brings hf"
            raise SpecError(
                f"The xllamacpp wheel serves local files, and {spec.model} is none"
                f"{nearest(spec.model, models.names())}.",
                why="GGUF files mostly lie in a repository of their own, the model's name with -GGUF",
                then=f"look for it on the hub (`hf download {repository} --include '*.gguf' --local-dir .`{tool}) "
                "and give the file's path, or put a llama-server binary on PATH",
            )
        if spec.speculative and not place.executable.binary:
            raise SpecError(
                "The xllamacpp wheel does no speculative decoding here.",
                why="only the llama-server binary has the options for it",
                then="put a llama-server binary on PATH (or --bin PATH), or leave speculative out",
            )
        super().check(place, spec)

    def fixed_length(self, tokens: int) -> dict[str, Any]:
        """Exactly `tokens`: the end-of-text token is given no chance."""
        return {"max_tokens": tokens, "ignore_eos": True}

    @staticmethod
    def _context(model: str, spec: ServerSpec) -> list[str]:
        slots = spec.max_num_seqs or SLOTS
        own = context_length(model)
        if spec.max_model_len == "auto" or (spec.max_model_len is None and own is None):
            return ["--ctx-size", "0", "--kv-unified", "--parallel", str(slots)]  # the model's, shared by the slots
        length = spec.max_model_len or min(int(own or 0), USUAL_CONTEXT)
        return ["--ctx-size", str(int(length) * slots), "--parallel", str(slots)]


engine = LlamaCpp()
