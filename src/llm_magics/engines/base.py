"""What an engine adapter is: facts about one engine, and the few rules that turn a spec into its command line.

An adapter is one small file, mostly declarative, found through the entry-point group `llm_magics.engines`. It starts
nothing and shows nothing. The supervisor loads it for `stages`, `failures` and `ready`, so this module and every
adapter import only the standard library.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from llm_magics.engines import cluster_messages, container_messages
from llm_magics.engines.command import Command, Executable, Place
from llm_magics.engines.common_failures import COMMON_FAILURES
from llm_magics.engines.facts import (
    Diagnosis,
    Entry,
    Failure,
    Flag,
    Image,
    Install,
    Memory,
    Metrics,
    Option,
    Sleep,
    Stage,
    Switch,
    Variable,
    Words,
)
from llm_magics.errors import SpecError
from llm_magics.paths import runtime_dir

if TYPE_CHECKING:
    from llm_magics.spec.server import ServerSpec


__all__ = [
    "Command",
    "Diagnosis",
    "Engine",
    "Entry",
    "Executable",
    "Failure",
    "Flag",
    "Image",
    "Install",
    "Memory",
    "Metrics",
    "Option",
    "Place",
    "Sleep",
    "Stage",
    "Switch",
    "Variable",
    "Words",
]


class Engine:
    """Base of all adapters. Subclasses set class attributes and, where declaring is not enough, override a method."""

    key: str
    title: str
    url: str = ""
    releases: str = ""  # where its makers say what changed
    install: Install = Install()
    image: Image | None = None  # None: there is no official one

    model_format: Literal["safetensors", "gguf"] = "safetensors"
    needs_gpu: bool = False
    memory: Memory | None = None  # how it takes memory at its start; None: not known, and nothing is refused for it

    # Command line. `options` maps each portable option the engine has to how it is said.
    options: Mapping[str, Option] = {}
    tested: Sequence[str] = ()  # versions, or beginnings of them, whose options these are; others are asked
    renamed: Mapping[str, Sequence[str]] = {}  # option -> its names in other versions
    replaced: Mapping[str, Mapping[str, Sequence[str]]] = {}  # option that is gone -> value -> the words for it now
    gone: Mapping[str, str] = {}  # option that is gone -> what to do instead
    lacking: Mapping[str, tuple[str, str]] = {}  # portable option it has not -> why, and what does the same
    own_default: Mapping[str, Any] = {}  # portable option -> the value that it means by saying nothing
    said_otherwise: Sequence[str] = ()  # portable options that `program`, `launcher` or `served_name` say, not a flag
    config_flag: str = ""  # says where the configuration file is, for engines with options of the kind `Entry`
    across_nodes: Sequence[str] = ()  # the words that let it use GPUs of several nodes of a Ray cluster; (): it cannot
    key_env: str | None = None  # the environment variable the engine reads its API key from; None: it has no key

    # Life.
    ready_path: str = "/health"
    alive_path: str = ""  # answers 200 while the process is well, busy or not; "": `ready_path`
    log_prefix: str = ""  # pattern of what stands before the message in the engine's log lines
    stages: Sequence[Stage] = ()
    failures: Sequence[Failure] = ()
    grace: float = 10.0  # s between TERM and KILL
    sleep: Sleep | None = None  # None: it cannot give its memory back while it runs

    # Protocol.
    metrics: Metrics | None = None
    tokenize_path: str | None = None
    usage: Literal["asked", "always", "never"] = "asked"
    protocol: Literal["openai", "kserve"] = "openai"  # the API it speaks, a key of `load.protocol.PROTOCOLS`

    def program(self, place: Place, spec: ServerSpec) -> list[str]:
        """The command without options: program, subcommand, model, host and port."""
        raise NotImplementedError

    def launcher(self, place: Place, spec: ServerSpec) -> list[str]:
        """A program of ours on this machine that starts the engine (its command follows after `--`); [] for none."""
        return []

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

    def json_answer(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Fields of a request body that ask for an answer which keeps a JSON schema; OpenAI's unless overridden."""
        answer = {"name": "answer", "schema": schema, "strict": True}
        return {"response_format": {"type": "json_schema", "json_schema": answer}}

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
        from llm_magics.engines.flags_of import fitted

        words, variables, config = self.said(spec)
        argv = [*self.program(place, spec), *words]
        self.check(place, spec)
        files = {}
        if config:
            path = str(runtime_dir() / f"{spec.name}.engine.yaml")
            files[path] = json.dumps(config, indent=1) + "\n"  # which is YAML too
            argv += [self.config_flag, path]
        env = {**self.devices(place, spec), **self.environment(place, spec), **variables, **spec.env}
        argv = fitted(self, [*argv, *spec.args], place.executable)
        return Command(argv, env, files, self.ready_page(spec, place.model), scratch=self.scratch(spec))

    def said(self, spec: ServerSpec) -> tuple[list[str], dict[str, str], dict[str, Any]]:
        """The spec's portable options as arguments, variables, and the configuration file; nothing is asked for it.

        Raises
        ------
        SpecError
            For an option or a value that this engine lacks.
        """
        argv, variables, config = list[str](), dict[str, str](), self.configuration(spec)
        for name, value in self.translated(spec).items():
            option = self.options[name]
            try:
                argv += option.argv(value)
                if isinstance(option, Variable):
                    variables |= option.env(value)
                elif isinstance(option, Entry):
                    option.put(config, value)
            except ValueError as error:
                raise SpecError(f"{self.title} does not take this {name}: {error}.", then=f"change {name}") from None
        return argv, variables, config

    def help_command(self, executable: Executable) -> list[str] | None:
        """What makes the installed engine list all its options; None where nothing does."""
        return None

    def configuration(self, spec: ServerSpec) -> dict[str, Any]:
        """What every configuration file of this engine says, whatever the spec; the options of kind `Entry` follow."""
        return {}

    def scratch(self, spec: ServerSpec) -> list[str]:
        """Folders in which our launcher makes something named after the server, to be removed with it."""
        return []

    def ready_page(self, spec: ServerSpec, model: str) -> str:
        """The page that answers 200 when this very server is ready; "": `ready_path`."""
        return ""

    def translated(self, spec: ServerSpec) -> dict[str, Any]:
        """The spec's portable options that become flags.

        Raises
        ------
        SpecError
            For an option that this engine lacks; it names the engines that have it.
        """
        options = {key: value for key, value in spec.options.items() if key != "model"}
        for name in options:
            if name not in self.options:
                raise self._lacks(name)
        return {
            name: value
            for name, value in options.items()
            if name not in self.said_otherwise and not (name in self.own_default and value == self.own_default[name])
        }

    def served_name(self, spec: ServerSpec, model: str) -> str:
        """The name a client must put in `model`; `model` is the resolved one, as in `Place`."""
        return spec.served_model_name or spec.model

    def stage(self, line: str) -> str | None:
        """What a log line says about the start's progress."""
        stages = (*container_messages.STAGES, *cluster_messages.STAGES, *self.stages)
        return next((word for stage in stages if (word := stage.match(line))), None)

    def diagnose(self, log: Sequence[str]) -> Diagnosis | None:
        """The first signature (in the adapter's order: most specific first) that the log shows."""
        first = (*cluster_messages.FAILURES, *container_messages.FAILURES)
        for failure in (*first, *self.failures, *COMMON_FAILURES):
            for line in log:
                if found := re.search(failure.pattern, line):
                    groups = found.groups()
                    message = re.sub(self.log_prefix, "", line).strip() if self.log_prefix else line.strip()
                    return Diagnosis(failure.cause.format(*groups), message, failure.remedy.format(*groups))
        return None

    def _lacks(self, option: str) -> SpecError:
        from llm_magics import engines

        having = ", ".join(each.title for each in map(engines.get, engines.names()) if option in each.options)
        others = f"engines that have it: {having}" if having else "no engine here has it"
        why, then = self.lacking.get(option, ("", f"pass an option of {self.title}'s own through args: [...]"))
        said, why = f"{self.title} has no option for {option}.", "; ".join(filter(None, [why, others]))
        return SpecError(said, why=why, then=f"leave {option} out, or {then}")
