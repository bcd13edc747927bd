"""What an adapter is given to make a command of, and the command: a program that was found, a place to run, a process.

The seam between adapters and what starts processes: on this machine, in a container, in a pod, on a cluster's node.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Executable:
    """An engine found on this machine: a Python that imports it, or a binary; `origin` says where it was found.

    `flags` are the options that its own help lists, where it was asked (see `flags_of`).
    """

    version: str
    python: str | None = None
    binary: str | None = None
    origin: str = ""
    flags: frozenset[str] | None = None

    @property
    def for_cpus(self) -> bool:
        """Whether it is a build for CPUs, which sees no GPU: its version says so (`asking.version_of`)."""
        return "cpu" in self.version


@dataclass(frozen=True)
class Place:
    """Where a server is about to run: what `Engine.command` needs beside the spec."""

    executable: Executable
    host: str
    port: int
    model: str  # the model as this engine wants it: a directory, a file or a hub id
    gpus: Sequence[int] = ()
    contained: bool = False  # in a container that sees none of this machine's folders
    threads: int | None = None  # CPUs that are reserved for it; None: as `hardware.threads` says


@dataclass(frozen=True)
class Command:
    """A process to start: arguments and what its environment needs beyond the allow-list; never a secret in argv.

    Attributes
    ----------
    files
        Configuration files it reads, path -> text; written before it starts, for the user's eyes only.
    ready_path
        The page that answers 200 when this very server is ready; "" for the engine's usual one.
    container
        `{"tool": "docker", "name": …}` where the process is the client of a container.
    scratch
        Folders, beside the temporary one, in which its launcher makes something that goes with the server.
    host
        Where it answers, when that is not the spec's address.
    node
        `{"on": "ray://…", "ip": …}` where the process is the client of an engine on a cluster's node.
    margin
        s beyond the engine's grace that its end may take.
    """

    argv: list[str]
    env: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    ready_path: str = ""
    container: dict[str, str] | None = None
    scratch: list[str] = field(default_factory=list)
    host: str = ""
    node: dict[str, str] | None = None
    margin: float = 0.0
