"""Ollama: a server of many models that wraps llama.cpp. It is configured by its environment alone.

Variables: envconfig/config.go, routes: server/routes.go, OpenAI's part: middleware/openai.go, all at fb30760.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from llm_magics.engines.base import Engine, Failure, Image, Install, Memory, Option, Place, Sleep, Stage, Variable
from llm_magics.errors import SpecError
from llm_magics.paths import data_dir

if TYPE_CHECKING:
    from llm_magics.spec.server import ServerSpec

LAUNCHER = Path(__file__).parent / "launchers" / "ollama_server.py"


class Ollama(Engine):
    """Our launcher starts it and puts the model in: a hub's by `pull`, a GGUF file by `create`.

    Ready is asked of the model's own page (`/v1/models/NAME`), not of `/api/version`: that one answers before the
    model is there. The weights are loaded right after, so that the first request finds them or waits a moment.
    """

    key = "ollama"
    title = "Ollama"
    url = "https://docs.ollama.com"
    releases = "https://github.com/ollama/ollama/releases"
    install = Install(binary="ollama", hint="install it from ollama.com/download, or add on: docker")
    image = Image(
        gpu="ollama/ollama:latest",
        cpu="ollama/ollama:latest",
        program="ollama",
        entry="program",
        port=11434,
        hub="",
        options=(),
        volumes={"llm-magics-ollama": "/root/.ollama"},
        asks=("ollama", "show", "{model}"),
    )
    model_format = "gguf"
    memory = Memory(spills=True)
    sleep = Sleep(
        ("/api/generate", {"model": "{model}", "stream": False, "keep_alive": 0}),
        ("/api/generate", {"model": "{model}", "stream": False, "keep_alive": -1}),
        option="",
    )
    ready_path = alive_path = "/api/version"
    grace = 10.0

    options: Mapping[str, Option] = {
        "served_model_name": Variable(""),  # said by the launcher, which makes a copy of that name
        "max_model_len": Variable("OLLAMA_CONTEXT_LENGTH"),
        "max_num_seqs": Variable("OLLAMA_NUM_PARALLEL"),
        "lora_modules": Variable(""),  # said by the launcher, which makes a model with it
        "kv_cache_dtype": Variable(
            "OLLAMA_KV_CACHE_TYPE", {"auto": "f16", "float16": "f16"}, ("f16", "q8_0", "q4_0")
        ),
    }  # fmt: skip
    said_otherwise = ("served_model_name", "lora_modules")  # by the launcher
    log_prefix = r"^time=\S+ level=\w+ source=\S+ msg="
    stages = (
        Stage(r"\[llm-magics\] (pulling .*|importing .*|loading .*)", "{0}"),
        Stage(r"Listening on ", "starting"),
    )
    failures = (
        Failure(
            r"listen tcp \S+:(\d+): bind: address already in use",
            "port {0} is taken",
            "leave port: out so that a free one is chosen",
        ),
        Failure(
            r"pull model manifest: (?:file does not exist|404)",
            "there is no such model in Ollama's library",
            "write a name of ollama.com/library, hf.co/ORG/REPO:QUANT, or the path of a .gguf file",
        ),
        Failure(
            r"server busy, please try again\. +maximum pending requests exceeded",
            "its queue is full",
            "max_num_seqs: more at once, env: {{OLLAMA_MAX_QUEUE: 2048}}, or fewer clients",
        ),
        Failure(
            r"the input (?:length )?exceeds the context length|exceed_context_size_error",
            "a prompt is longer than the context",
            "raise max_model_len (OLLAMA_CONTEXT_LENGTH)",
        ),
        Failure(
            r'model \\?[\'"](\S+?)\\?[\'"] not found',
            "the model {0} is not in this Ollama",
            "write a name of ollama.com/library, hf.co/ORG/REPO:QUANT, or the path of a .gguf file",
        ),
        Failure(
            r"requires a newer version of Ollama|412:",
            "this Ollama is too old for the model",
            "update it: ollama.com/download, or image: ollama/ollama:latest",
        ),
        Failure(
            r"model requires more system memory \((.*?)\) than is available \((.*?)\)",
            "the model needs {0}, and {1} are free",
            "take a smaller quantization, or lower max_model_len",
        ),
        Failure(
            r"pull model manifest|dial tcp|no such host|i/o timeout",
            "the model could not be fetched",
            "check the network, or give the path of a .gguf file",
        ),
        Failure(
            r"unsupported (?:architecture|content type)|invalid file magic",
            "this is no GGUF file that Ollama reads",
            "convert or download it again",
        ),
    )

    def program(self, place: Place, spec: ServerSpec) -> list[str]:
        """Our launcher with the address, the model and its name; Ollama's own command stands behind `--`."""
        return [*self.launcher(place, spec), "--", str(place.executable.binary), "serve"]

    def launcher(self, place: Place, spec: ServerSpec) -> list[str]:
        """What waits for the server at `place` and puts the model in; a command follows after `--`."""
        name, source = self.served_name(spec, place.model), "--gguf" if place.model.startswith("/") else "--pull"
        return [
            sys.executable, str(LAUNCHER), "--host", place.host, "--port", str(place.port),
            source, place.model, "--name", name, *(["--adapter", path] if (path := self._adapter(spec)) else []),
        ]  # fmt: skip

    def environment(self, place: Place, spec: ServerSpec) -> dict[str, str]:
        """Where it listens; one model that stays loaded; nothing of the cloud; the user's models left as they are.

        A GGUF file is imported into a folder of ours, one for each state of a file, so that no name of the user's
        is taken and no older import is served.
        """
        # The cache's types need flash attention; Ollama would go on with f16 and say so in its log only.
        flash = {"OLLAMA_FLASH_ATTENTION": "1"} if spec.kv_cache_dtype else {}
        host = f"[{place.host}]" if ":" in place.host else place.host
        return {
            "OLLAMA_HOST": f"{host}:{place.port}",
            "OLLAMA_KEEP_ALIVE": "-1",
            "OLLAMA_MAX_LOADED_MODELS": "1",
            "OLLAMA_NO_CLOUD": "1",
            "OLLAMA_NOPRUNE": "1",
            **flash,
            **({} if place.contained else self._store(place.model)),
        }

    def devices(self, place: Place, spec: ServerSpec) -> dict[str, str]:
        """As everywhere; `none` is a number that no GPU has, because Ollama takes an empty list for no wish."""
        if spec.gpus == "none":
            return {"CUDA_VISIBLE_DEVICES": "-1", "HIP_VISIBLE_DEVICES": "-1", "GGML_VK_VISIBLE_DEVICES": "-1"}
        return super().devices(place, spec)

    def check(self, place: Place, spec: ServerSpec) -> None:
        """Beside the context: nothing can be said on its command line."""
        if spec.max_model_len == "auto":
            raise SpecError(
                "Ollama has no max_model_len: auto.", why="left out, it goes by the GPU's memory", then="leave it out"
            )
        if spec.args:
            raise SpecError(
                "Ollama takes no arguments.", why="it is configured by its environment", then="env: {OLLAMA_…: …}"
            )
        if len(spec.lora_modules or ()) > 1:
            raise SpecError(
                "Ollama makes a model with one LoRA adapter.", why="its ADAPTER is part of a model", then="give one"
            )
        written = next(iter((spec.lora_modules or {}).values()), "/")
        if not written.startswith(("/", "~")) and not Path(written).exists():  # the others: `models.beside`
            raise SpecError(
                f"There is no LoRA adapter {written}.",
                why="Ollama fetches none from a hub",
                then="a .gguf file, or a folder of safetensors",
            )
        super().check(place, spec)

    @staticmethod
    def _adapter(spec: ServerSpec) -> str | None:
        path = next(iter((spec.lora_modules or {}).values()), None)
        return str(Path(path).expanduser().absolute()) if path else None

    def served_name(self, spec: ServerSpec, model: str) -> str:
        """With its tag, as Ollama lists it; without a hub's address, which would not fit into a page's path."""
        adapter = next(iter(spec.lora_modules or ()), None)
        name = (spec.served_model_name or adapter or Path(spec.model).name).removesuffix(".gguf")
        return name if ":" in name else f"{name}:latest"

    def ready_page(self, spec: ServerSpec, model: str) -> str:
        """The model's own page: 404 until it is there."""
        return f"/v1/models/{quote(self.served_name(spec, model), safe=':')}"

    @staticmethod
    def _store(model: str) -> dict[str, str]:
        path = Path(model)
        if not path.is_file():
            return {"OLLAMA_MODELS": os.environ["OLLAMA_MODELS"]} if "OLLAMA_MODELS" in os.environ else {}
        state = path.stat()
        digest = hashlib.sha256(f"{path}\0{state.st_size}\0{state.st_mtime_ns}".encode()).hexdigest()[:16]
        return {"OLLAMA_MODELS": str(data_dir() / "ollama" / digest)}


engine = Ollama()
