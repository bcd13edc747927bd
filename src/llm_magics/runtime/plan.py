"""What a launch tells its supervisor: one JSON document through a pipe, so that no secret is on disk or in argv."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import IO, Any

from llm_magics import __version__


@dataclass(frozen=True)
class Attempt:
    """One way to start the engine; the second is for when another program took the port first.

    Attributes
    ----------
    argv, env
        The process: arguments and its whole environment, secrets included.
    host, port, url
        Where it will listen.
    command
        The shell line for people, without secrets.
    ready_path
        The page that says that it is ready; "" for the engine's usual one.
    container
        `{"tool": …, "name": …}` where the process is the client of a container.
    scratch
        Folders, beside the temporary one, in which its launcher makes something named after the server.
    node
        `{"on": …, "ip": …}` where the process is the client of an engine on a cluster's node.
    margin
        s beyond the engine's grace that its end may take.
    """

    argv: list[str]
    env: dict[str, str]
    host: str
    port: int
    url: str
    command: str
    ready_path: str = ""
    container: dict[str, str] | None = None
    scratch: list[str] = field(default_factory=list)
    node: dict[str, str] | None = None
    margin: float = 0.0


@dataclass(frozen=True)
class Plan:
    """Everything a supervisor needs.

    Attributes
    ----------
    directory
        The registry's.
    record
        The record as the launch wrote it.
    reference
        `module:attribute` of the engine's adapter.
    path
        The launching process's `sys.path`, where the adapter may have come from.
    key
        The API key, or None.
    cwd
        The engine's working directory: the notebook's.
    timeout
        s the engine may take to be ready.
    attempts
        Tried in turn; never empty.
    """

    directory: str
    record: dict[str, Any]
    reference: str
    path: list[str]
    key: str | None
    cwd: str
    timeout: float
    attempts: list[Attempt]

    def dump(self) -> bytes:
        """As a document."""
        return json.dumps({"version": __version__, **asdict(self)}).encode()

    @classmethod
    def load(cls, source: IO[bytes]) -> Plan | None:
        """The plan in a stream, or None when the launch died before it had said everything.

        Raises
        ------
        ValueError
            When it has another shape than here: the package was replaced under the process that launches.
        """
        try:
            data = json.loads(source.read())
        except ValueError:
            return None
        version = data.pop("version", "an earlier version")
        try:
            return cls(**{**data, "attempts": [Attempt(**attempt) for attempt in data["attempts"]]})
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"the plan of llm-magics {version} is none for {__version__}, which is installed now ({error}): "
                "restart the kernel that launches"
            ) from error
