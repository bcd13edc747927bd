"""What an engine adapter is: facts about one engine, and the few rules that turn a spec into its command line.

An adapter is one small file, mostly declarative, found through the entry-point group `llm_magics.engines`. It starts
nothing and shows nothing. The supervisor loads it for `stages`, `failures` and `ready`, so this module and every
adapter import only the standard library.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from llm_magics.errors import SpecError

if TYPE_CHECKING:
    from llm_magics.spec.server import ServerSpec


@dataclass(frozen=True)
class Flag:
    """`--name VALUE`, for each name where one portable option is said twice.

    `values` maps portable words to the engine's own; `choices` are the engine's own words where it takes no others
    and would say so only after a long start.
    """

    name: str | tuple[str, ...]
    values: Mapping[str, str] = field(default_factory=dict)
    choices: Sequence[str] = ()

    def argv(self, value: Any) -> list[str]:
        """The option as arguments.

        Raises
        ------
        ValueError
            For a value that the engine does not take; the message lists those it takes.
        """
        text = json.dumps(value) if isinstance(value, (dict, list)) else str(value)
        text = self.values.get(text, text)
        if self.choices and text not in self.choices:
            raise ValueError(f"{text!r} is not one of {', '.join(dict.fromkeys([*self.values, *self.choices]))}")
        names = (self.name,) if isinstance(self.name, str) else self.name
        return [word for name in names for word in (name, text)]


@dataclass(frozen=True)
class Switch:
    """`--on` or `--off` for a boolean; an empty string where the engine needs no flag to be so."""

    on: str
    off: str

    def argv(self, value: Any) -> list[str]:
        """The option as arguments."""
        return [flag] if (flag := self.on if value else self.off) else []


@dataclass(frozen=True)
class Stage:
    """A line of the engine's log that says how far its start is. `word` may use the pattern's groups as {0}, {1}."""

    pattern: str
    word: str

    def match(self, line: str) -> str | None:
        """The stage that a log line announces."""
        found = re.search(self.pattern, line)
        return self.word.format(*found.groups()) if found else None


@dataclass(frozen=True)
class Failure:
    """A failure's signature in the log: why it failed, what to do. Texts may use the pattern's groups as {0}, {1}."""

    pattern: str
    cause: str
    remedy: str


@dataclass(frozen=True)
class Diagnosis:
    """A failure recognized in a log: the cause, the engine's own line, the remedy."""

    cause: str
    line: str
    remedy: str


@dataclass(frozen=True)
class Metrics:
    """Where the engine publishes metrics and under which names.

    `names` maps portable names (`running`, `waiting`, `kv_usage`, `prompt_tokens`, `output_tokens`, `cached_tokens`,
    `prefix_queries`, `preemptions`) to the engine's, newest first: the first one that is exported counts. A name
    `a + b` is the sum of both. `prompt_tokens` are all of them, found in the cache or not, as a client counts them.
    """

    path: str
    names: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Install:
    """How the engine is found and installed.

    It is there where a Python finds all of `modules` (top-level names: finding them imports nothing); `distributions`
    are asked for the version, the first that is there; `binary` is looked for on PATH. `gpu` and `cpu` are pip's
    arguments for a machine with and without a GPU, one step after the other: requirements to install, or
    `("uninstall", …)`, names to uninstall. `python` is the first version of Python the engine runs on and the first
    it does not.
    """

    modules: Sequence[str] = ()
    distributions: Sequence[str] = ()
    binary: str | None = None
    gpu: Sequence[Sequence[str]] = ()
    cpu: Sequence[Sequence[str]] = ()
    hint: str = ""
    python: tuple[tuple[int, int], tuple[int, int]] = ((3, 11), (3, 14))


@dataclass(frozen=True)
class Executable:
    """An engine found on this machine: a Python that imports it, or a binary; `origin` says where it was found."""

    version: str
    python: str | None = None
    binary: str | None = None
    origin: str = ""


@dataclass(frozen=True)
class Place:
    """Where a server is about to run: what `Engine.command` needs beside the spec."""

    executable: Executable
    host: str
    port: int
    model: str  # the model as this engine wants it: a directory, a file or a hub id
    gpus: Sequence[int] = ()


@dataclass(frozen=True)
class Command:
    """A process to start: arguments and what its environment needs beyond the allow-list; never a secret in argv."""

    argv: list[str]
    env: dict[str, str] = field(default_factory=dict)


class Engine:
    """Base of all adapters. Subclasses set class attributes and, where declaring is not enough, override a method."""

    key: str
    title: str
    url: str = ""
    install: Install = Install()

    model_format: Literal["safetensors", "gguf"] = "safetensors"
    needs_gpu: bool = False

    # Command line. `options` maps each portable option the engine has to how it is said.
    options: Mapping[str, Flag | Switch] = {}
    key_env: str | None = None  # the environment variable the engine reads its API key from; None: it has no key

    # Life.
    ready_path: str = "/health"
    log_prefix: str = ""  # pattern of what stands before the message in the engine's log lines
    stages: Sequence[Stage] = ()
    failures: Sequence[Failure] = ()
    grace: float = 10.0  # s between TERM and KILL

    # Protocol.
    metrics: Metrics | None = None
    tokenize_path: str | None = None
    usage: Literal["asked", "always", "never"] = "asked"

    def program(self, place: Place, spec: ServerSpec) -> list[str]:
        """The command without options: program, subcommand, model, host and port."""
        raise NotImplementedError

    def environment(self, place: Place, spec: ServerSpec) -> dict[str, str]:
        """Environment variables this engine needs."""
        return {}

    def devices(self, place: Place, spec: ServerSpec) -> dict[str, str]:
        """Environment variables that give the server its GPUs, and only these; empty while the spec says nothing.

        PCI order, because the driver library counts in it and CUDA by itself does not.
        """
        if spec.gpus == "none":
            return {"CUDA_VISIBLE_DEVICES": ""}
        if not place.gpus:
            return {}
        return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": ",".join(map(str, place.gpus))}

    def check(self, place: Place, spec: ServerSpec) -> None:
        """Refuse what this engine would refuse after a long start, or accept and silently change.

        Raises
        ------
        SpecError
            Before anything was started.
        """
        from llm_magics.engines.models import check_context

        check_context(self, place.model, spec)

    def fixed_length(self, tokens: int) -> dict[str, Any]:
        """Fields of a request body that make the answer exactly `tokens` long, as far as the engine can."""
        return {"max_tokens": tokens}

    def body(self) -> dict[str, Any]:
        """Fields every request of a measurement needs; by default a usage chunk is asked for."""
        return {"stream_options": {"include_usage": True}} if self.usage == "asked" else {}

    def command(self, place: Place, spec: ServerSpec) -> Command:
        """The exact process to start for a spec.

        Raises
        ------
        SpecError
            For an option or a value that this engine lacks, or for what `check` refuses.
        """
        argv = self.program(place, spec)
        for name, value in self.translated(spec).items():
            try:
                argv += self.options[name].argv(value)
            except ValueError as error:
                raise SpecError(f"{self.title} does not take this {name}: {error}.", then=f"change {name}") from None
        self.check(place, spec)
        env = {**self.devices(place, spec), **self.environment(place, spec), **spec.env}
        return Command([*argv, *spec.args], env)

    def translated(self, spec: ServerSpec) -> dict[str, Any]:
        """The spec's portable options that become flags; overridden where an engine combines some.

        Raises
        ------
        SpecError
            For an option that this engine lacks; it names the engines that have it.
        """
        options = {key: value for key, value in spec.options.items() if key != "model"}
        for name in options:
            if name not in self.options:
                raise self._lacks(name)
        return options

    def served_name(self, spec: ServerSpec, model: str) -> str:
        """The name a client must put in `model`; `model` is the resolved one, as in `Place`."""
        return spec.served_model_name or spec.model

    def stage(self, line: str) -> str | None:
        """What a log line says about the start's progress."""
        return next((word for stage in self.stages if (word := stage.match(line))), None)

    def diagnose(self, log: Sequence[str]) -> Diagnosis | None:
        """The first signature (in the adapter's order: most specific first) that the log shows."""
        for failure in (*self.failures, *COMMON_FAILURES):
            for line in log:
                if found := re.search(failure.pattern, line):
                    groups = found.groups()
                    message = re.sub(self.log_prefix, "", line).strip() if self.log_prefix else line.strip()
                    return Diagnosis(failure.cause.format(*groups), message, failure.remedy.format(*groups))
        return None

    def _lacks(self, option: str) -> SpecError:
        from llm_magics import engines

        having = [engine.title for key in engines.names() if option in (engine := engines.get(key)).options]
        return SpecError(
            f"{self.title} has no option for {option}.",
            why=f"engines that have it: {', '.join(having)}" if having else "no engine here has it",
            then=f"leave {option} out, or pass an option of {self.title}'s own through args: [...]",
        )


# What any engine built on PyTorch or the hub may say; tried after the engine's own (facts: docs/engines.md).
COMMON_FAILURES: tuple[Failure, ...] = (
    Failure(
        r"CUDA out of memory",
        "the GPU's memory is too small for this model and these settings",
        "lower max_model_len or max_num_seqs, use a quantized checkpoint, or free the GPU (`%llm gpus`)",
    ),
    Failure(
        r"gated repo|401 Client Error|403 Client Error",
        "the model is gated and no accepted token was found",
        "accept the licence on the model's page and set HF_TOKEN before the kernel starts",
    ),
    Failure(
        r"Repository Not Found|LocalEntryNotFoundError|couldn't connect to|Cannot find an appropriate cached snapshot",
        "the model is not in the local cache and could not be fetched",
        "check the model's name, or give the path of a local directory as model:",
    ),
    Failure(
        r"Repo id must be in the form|Repo id must use alphanumeric",
        "the model's path does not exist, and it is no hub id either",
        "check the path given as model:",
    ),
    Failure(
        r"has model type `(\S+)` but Transformers does not recognize|does not recognize this architecture",
        "the engine's version of Transformers does not know the model's architecture",
        "upgrade the engine, or set trust_remote_code: true where the model brings its own code",
    ),
    Failure(
        r"Cannot find any model weights|Error no file named|not appear to have a file named \S*(?:safetensors|bin)",
        "the model's folder has no weights",
        "download the model again",
    ),
    Failure(
        r"SafetensorError|safetensors_rust",
        "a file of the model's weights is cut off or corrupt",
        "download the model again",
    ),
    Failure(
        r"[Aa]ddress already in use|couldn't bind HTTP server socket",
        "the port is taken",
        "leave port: out so that a free one is chosen",
    ),
    Failure(
        r"unrecognized arguments?: |unknown argument: |(?:invalid|error): argument|No such option",
        "this version of the engine does not know an option it was given",
        "see what the installed version takes: run its own --help",
    ),
    Failure(r"No space left on device", "the disk is full", "free some space, or set HF_HOME to a larger disk"),
)
