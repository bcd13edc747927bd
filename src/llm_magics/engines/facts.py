"""The kinds of fact that an adapter declares: flags, stages, failures, metrics, installation.

Plain data with the one rule each kind of fact has; `base.Engine` puts them to use.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal


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
class Words:
    """An option that is said in several words; `make` turns its value into arguments, or raises ValueError."""

    make: Callable[[Any], list[str]]

    def argv(self, value: Any) -> list[str]:
        """The option as arguments.

        Raises
        ------
        ValueError
            For a value that the engine does not take.
        """
        return self.make(value)


@dataclass(frozen=True)
class Variable(Flag):
    """An option that the engine reads from its environment; `name` is the variable's."""

    name: str

    def argv(self, value: Any) -> list[str]:
        """No arguments."""
        return []

    def env(self, value: Any) -> dict[str, str]:
        """The option as a variable; raises ValueError for a value that the engine does not take."""
        said = {True: "true", False: "false"}.get(value, value) if isinstance(value, bool) else value
        return {self.name: Flag(self.name, self.values, self.choices).argv(said)[1]}


@dataclass(frozen=True)
class Entry(Flag):
    """An option that stands in the engine's configuration file; `name` is its key there, `a.b` for one inside `a`.

    `make`, where given, turns the value into what stands there, or raises ValueError.
    """

    name: str
    make: Callable[[Any], Any] | None = None

    def argv(self, value: Any) -> list[str]:
        """No arguments."""
        return []

    def put(self, config: dict[str, Any], value: Any) -> None:
        """Set the entry in a configuration; raises ValueError for a value that the engine does not take."""
        if self.make is not None:
            value = self.make(value)
        elif isinstance(value, str):
            value = Flag(self.name, self.values, self.choices).argv(value)[1]
        *outer, last = self.name.split(".")
        for key in outer:
            config = config.setdefault(key, {})
        config[last] = value


Option = Flag | Switch | Words  # and the kinds of Flag that are no argument: Variable, Entry


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
    `prefix_queries`, `preemptions`, and `_sum` (s) and `_count` of `ttft`, `tpot`, `queue`, `prefill`) to the engine's,
    newest first: the first one that is exported counts. A name `a + b` is the sum of both. `prompt_tokens` are all of
    them, found in the cache or not, as a client counts them.
    `beside` is how far above the server's own port the page's port is.
    `watched` is what only monitoring reads: `steps` (a counter that moves while anything is computed), `requests` and
    `failed` (counters of those that ended, and of those that the server failed); a name may have a `{selector}`.
    """

    path: str
    names: Mapping[str, Sequence[str]]
    beside: int = 0
    watched: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Memory:
    """How the engine takes memory when it starts: what a check before the launch may rely on, and no more.

    Attributes
    ----------
    share
        The engine's own `gpu_memory_utilization`; where it depends on the GPU, the largest it may be there: a function
        of the bytes of the GPU's memory.
    of
        What that is a share of: "total" of the GPU's memory, which must be free, or the engine refuses to start;
        "free": of what is free then; "left": all that is free but the share of the total that is not to be used;
        "cache": of what the weights leave, so that all that is free may be taken.
    bare
        Whether the share holds weights and cache alone, and activations and graphs lie outside.
    whole
        Whether one request of the full context must have room in the cache; else the engine shortens the context or
        bounds its cache by itself, and room for a short one is enough.
    spills
        Whether what does not fit on the GPU goes to the machine's memory by itself.
    """

    share: float | Callable[[int], float] = 1.0
    of: Literal["total", "free", "left", "cache"] = "cache"
    bare: bool = False
    whole: bool = False
    spills: bool = False

    def part(self, asked: float | None, total: int) -> float:
        """The share of a GPU of `total` bytes: what was asked, else the engine's own."""
        return asked or (self.share(total) if callable(self.share) else self.share)


@dataclass(frozen=True)
class Sleep:
    """How a running server gives its GPU memory back and takes it again.

    Attributes
    ----------
    fall, wake
        What is posted: path and JSON fields, where the value `{model}` is the served model's name.
    option
        The portable option that a server must have been started with; "" where none is needed.
    """

    fall: tuple[str, Mapping[str, Any]]
    wake: tuple[str, Mapping[str, Any]]
    option: str = "enable_sleep_mode"


@dataclass(frozen=True)
class Install:
    """How the engine is found and installed.

    It is there where a Python finds all of `modules` (top-level names: finding them imports nothing); `distributions`
    are asked for the version, the first that is there; `binary` is looked for on PATH. `gpu` and `cpu` are pip's
    arguments for a machine with and without a GPU, one step after the other: requirements to install, or
    `("uninstall", …)`, names to uninstall. `python` is the first version of Python the engine runs on and the first
    it does not. An installation counts when the new Python imports `modules`, or runs the arguments `proof` where
    importing them needs what only the engine's launcher does.
    """

    modules: Sequence[str] = ()
    distributions: Sequence[str] = ()
    binary: str | None = None
    gpu: Sequence[Sequence[str]] = ()
    cpu: Sequence[Sequence[str]] = ()
    hint: str = ""
    python: tuple[tuple[int, int], tuple[int, int]] = ((3, 11), (3, 14))
    proof: Sequence[str] = ()

    def commands(self, *, gpu: bool) -> int | None:
        """How many commands set it up by hand: an environment, each step of pip, the start; None where pip cannot."""
        steps = self.gpu if gpu else self.cpu
        return 1 + len(steps) + 1 if steps else None


@dataclass(frozen=True)
class Image:
    """The engine's container image (see `containers`).

    Attributes
    ----------
    gpu, cpu
        Names of the images for machines with and without a GPU; empty where there is none.
    program
        The engine's program inside: what a binary is elsewhere.
    entry
        What the image's own entry point already says: "" nothing (all arguments follow it, the program first),
        "program" (only what comes after it follows), "replace" (the program takes the entry point's place).
    port
        Where the engine listens inside.
    hub
        The folder inside where the engine looks for models of the hub.
    options
        Further options of `docker run`: shared memory between the processes of several GPUs, limits.
    volumes
        Named volumes that keep what the engine downloads by itself: name -> folder inside.
    carried
        Folders of ours that its command needs inside; mounted for reading.
    asks
        How the image asks one of the engine's own pages and fails when the answer is no 200, for a health check that
        runs inside; `{page}` is the page's URL, `{model}` the served model's name.
    """

    gpu: str = ""
    cpu: str = ""
    program: str = ""
    entry: Literal["", "program", "replace"] = "replace"
    port: int = 8000
    hub: str = "/root/.cache/huggingface/hub"
    options: Sequence[str] = ("--ipc=host",)
    volumes: Mapping[str, str] = field(default_factory=dict)
    carried: Sequence[str] = ()
    asks: Sequence[str] = (
        "python3", "-c", "import sys, urllib.request as u; u.urlopen(sys.argv[1], timeout=20)", "{page}",
    )  # fmt: skip
