"""DeepSpeed: `init_inference`, and ZeRO-Inference for models larger than memory, behind a small server of ours.

DeepSpeed has no server of its own, and DeepSpeed-MII, which was one, is dormant (docs/engines.md). What serves is
`launchers/deepspeed_server.py`: static batches, no more than the library does by itself. Its options are the flags.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_magics import models
from llm_magics.engines import hardware
from llm_magics.engines.base import (
    Engine,
    Executable,
    Failure,
    Flag,
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

LAUNCHER = Path(__file__).parent / "launchers" / "deepspeed_server.py"


class DeepSpeed(Engine):
    """`args: [--offload, cpu]` or `[--offload, nvme, --nvme-path, FOLDER]` is ZeRO-Inference."""

    key = "deepspeed"
    title = "DeepSpeed"
    url = "https://www.deepspeed.ai/inference"
    releases = "https://github.com/deepspeedai/DeepSpeed/releases"
    install = Install(
        modules=("deepspeed", "torch", "transformers"),
        distributions=("deepspeed",),
        # In two steps, because DeepSpeed's own build looks at the torch that is there.
        gpu=(("torch", "transformers>=5.20", "accelerate", "setuptools", "wheel", "ninja"), ("deepspeed>=0.19",)),
        cpu=(
            ("torch==2.13.0", "transformers>=5.20", "accelerate", "setuptools", "wheel", "ninja"),
            ("deepspeed>=0.19",),
        ),
        hint="%llm install deepspeed",
        python=((3, 11), (3, 14)),
    )
    key_env = "DEEPSPEED_API_KEY"
    memory = Memory()
    grace = 3.0  # the launcher ends at once
    tested = ("0.19",)

    options: Mapping[str, Option] = {
        "revision": Flag("--revision"),
        "tokenizer": Flag("--tokenizer"),
        "served_model_name": Flag("--served-model-name"),
        "dtype": Flag("--dtype", choices=("auto", "half", "float16", "bfloat16", "float", "float32")),
        "max_model_len": Flag("--max-model-len"),
        "max_num_seqs": Flag("--max-num-seqs"),
        "load_format": Flag("--load-format", choices=("auto", "dummy")),
        "seed": Flag("--seed"),
        "trust_remote_code": Switch("--trust-remote-code", ""),
    }
    own_default: Mapping[str, Any] = {"max_model_len": "auto"}  # the model's own context
    lacking: Mapping[str, tuple[str, str]] = {
        "lora_modules": (
            "init_inference takes one set of weights and has no adapters",
            "merge the adapter into the model (PEFT's merge_and_unload) and serve that folder",
        )
    }
    metrics = Metrics(
        "/metrics",
        {
            "running": ("deepspeed:requests_running",),
            "waiting": ("deepspeed:requests_waiting",),
            "prompt_tokens": ("deepspeed:prompt_tokens_total",),
            "output_tokens": ("deepspeed:generation_tokens_total",),
        },
        watched={"steps": ("deepspeed:generation_tokens_total",)},
    )
    tokenize_path = "/tokenize"
    log_prefix = r"^\[rank\d+\]:\s*|^\[[\d\-: ,]+\] \[\w+\] (?:\[\S+\] )*(?:\[Rank -?\d+\] )?"
    stages = (
        Stage(r"^loading the model", "loading the model"),
        Stage(r"Fetching \d+ files|Downloading", "downloading"),
        Stage(r"Loading weights:\s+(\d+)%", "loading weights {0} %"),
        Stage(r"Loading checkpoint shards:\s+(\d+)%", "loading weights {0} %"),
        Stage(r"^weights are loaded", "weights are loaded"),
        Stage(
            r"^compiling DeepSpeed's operator|Using .* as PyTorch extensions root|Emitting ninja build file",
            "compiling DeepSpeed's operators",
        ),
        Stage(r"^\[(\d+)/(\d+)\] ", "compiling DeepSpeed's operators, {0} of {1}"),
        Stage(r"^listening on .*context (\d+) tokens", "answering, {0} tokens of context"),
    )
    failures = (
        Failure(
            r"max_model_len (\d+) is longer than the model's context, (\d+)",
            "max_model_len {0} is longer than the model's context, {1} tokens",
            "max_model_len: {1}",
        ),
        Failure(r"float16 is not computed on a CPU", "a CPU does not compute in float16", "dtype: bfloat16"),
        Failure(
            r"--offload nvme needs --nvme-path",
            "offloading to a disk needs a folder on it",
            "args: [--offload, nvme, --nvme-path, /folder/on/the/disk]",
        ),
        Failure(
            r"No such file or directory: '(.*)/llm-magics-(?:\w+-)?zero-",
            "the folder {0} to offload to does not exist",
            "make it, or name another with --nvme-path",
        ),
        Failure(
            r"[Uu]nable to JIT load the (\S+) op|Unable to pre-compile (\S+)|libaio",
            "an operator of DeepSpeed's cannot be built here",
            "install what it names (for --offload nvme: libaio's headers, a C++ compiler, ninja), or --offload cpu",
        ),
        Failure(
            r"Error building extension '(\w+)'",
            "DeepSpeed's operator {0} could not be compiled",
            "install a C++ compiler (and on a GPU the CUDA toolkit of torch's version)",
        ),
        Failure(
            r"CUDA_HOME does not exist|MissingCUDAException",
            "DeepSpeed found no CUDA toolkit to compile its operators with",
            "install the toolkit of torch's CUDA version and set CUDA_HOME",
        ),
    )

    def help_command(self, executable: Executable) -> list[str] | None:
        """The launcher's."""
        return [executable.python, str(LAUNCHER), "--help"] if executable.python else None

    def program(self, place: Place, spec: ServerSpec) -> list[str]:
        """Our launcher, by the Python that has DeepSpeed."""
        named = [] if spec.served_model_name else ["--served-model-name", self.served_name(spec, place.model)]
        return [
            str(place.executable.python), str(LAUNCHER), "--model", place.model,
            "--host", place.host, "--port", str(place.port), *named,
        ]  # fmt: skip

    def environment(self, place: Place, spec: ServerSpec) -> dict[str, str]:
        """A folder of its own for compiled operators: another program's stale lock there would halt it for ever."""
        python = Path(str(place.executable.python))
        version = re.sub(r"[^\w.]", "_", place.executable.version) or "unknown"
        env = {"TORCH_EXTENSIONS_DIR": str(python.parent.parent / f"torch_extensions_{version}")}
        if models.is_shipped(spec.model):
            env["HF_HUB_OFFLINE"] = "1"
        if spec.gpus == "none" or not hardware.has_gpu():
            env |= {"OMP_NUM_THREADS": str(hardware.threads()), "DS_ACCELERATOR": "cpu"}
        return env

    def check(self, place: Place, spec: ServerSpec) -> None:
        """One server is one process on one GPU."""
        if len(place.gpus) > 1:
            raise SpecError(
                f"DeepSpeed is served by one process on one GPU here, and {len(place.gpus)} were given.",
                then="give it one; for more than one take vllm or sglang, for more memory args: [--offload, cpu]",
            )
        super().check(place, spec)

    def scratch(self, spec: ServerSpec) -> list[str]:
        """The folder that weights are offloaded to."""
        found = [word.partition("=")[2] for word in spec.args if word.startswith("--nvme-path=")]
        found += [after for word, after in pairwise(spec.args) if word == "--nvme-path"]
        return [str(Path(folder).expanduser().absolute()) for folder in found]

    def fixed_length(self, tokens: int) -> dict[str, Any]:
        """Exactly `tokens`."""
        return {"max_tokens": tokens, "min_tokens": tokens, "ignore_eos": True}


engine = DeepSpeed()
