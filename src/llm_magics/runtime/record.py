"""The record of a server: the one JSON file that notebook, sidebar, terminal and VS Code share.

It holds facts, no classes, no code and no secret. Unknown keys are kept out of the way, missing ones make the record
invalid; a record is believed only after its identity was verified (see `identity`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

SCHEMA = 1

State = Literal["starting", "loading", "ready", "stopping", "stopped", "failed", "lost", "elsewhere"]
ALIVE: tuple[State, ...] = ("starting", "loading", "ready", "stopping")


@dataclass(frozen=True)
class Record:
    """One server. Times are seconds since the epoch.

    Attributes
    ----------
    name, engine, engine_version, model, served_model
        What runs; `served_model` is what a client puts in `model`.
    state, stage
        `stage` is the engine's own progress while loading ("loading weights 3/5"). `lost` and `elsewhere` (it runs on
        another host that shares the directory, see `host`) are what readers find; no record says so itself.
    url
        Base URL without `/v1`; "" until a port is known.
    supervisor, process
        Identities (see `identity.Identity`) of the supervisor and of the engine, as mappings.
    starter
        The kernel (or script) that started it, as one of `owners`; empty where an older version wrote the record.
    owners
        Kernels (or scripts) this server belongs to: identity plus `kernel_id`, `notebook`. Who uses it becomes one.
    keep, idle, grace
        Lifetime: "kernel", "detached" or "cell"; s of idleness after which it stops; s an orphan waits for adoption.
    asleep
        It is ready, but has given its GPU memory back and answers nothing until it is woken.
    stops_at, stops_why
        When it will be stopped unless something happens, and why; None while nothing is planned.
    keep_until
        Somebody asked that it is not stopped for want of work or owners before this time.
    reuse_key, spec
        Digest and content of the spec's identity.
    command
        The exact shell line, secrets left out.
    expected, timeout
        s that this spec took to be ready the last time, and s that it may take at most; or None.
    recoveries
        How many times a server of this name was started again after the one before had failed or was lost.
    container
        `{"tool": …, "name": …}` while there is one to be removed by name.
    node
        `{"on": "ray://…", "ip": …}` where the engine is on a node of a cluster.
    scratch, shared
        Folders in which there may be something named after this server, and names of the shared memory that its
        processes were seen to use: to be removed with it (see `scratch`).
    exit, diagnosis
        Exit status and {cause, line, remedy} of a failed server.
    """

    name: str
    engine: str
    model: str
    state: State
    created: float
    host: str
    reuse_key: str
    spec: dict[str, Any]
    supervisor: dict[str, Any]
    id: str = ""
    engine_version: str = ""
    served_model: str = ""
    stage: str = ""
    url: str = ""
    process: dict[str, Any] | None = None
    ready_at: float | None = None
    ended_at: float | None = None
    gpus: list[int] = field(default_factory=list)
    starter: dict[str, Any] = field(default_factory=dict)
    owners: list[dict[str, Any]] = field(default_factory=list)
    keep: str = "kernel"
    idle: float | None = None
    grace: float = 600.0
    asleep: bool = False
    stops_at: float | None = None
    stops_why: str = ""
    keep_until: float | None = None
    command: str = ""
    log: str = ""
    expected: float | None = None
    timeout: float | None = None
    recoveries: int = 0
    container: dict[str, str] | None = None
    node: dict[str, str] | None = None
    scratch: list[str] = field(default_factory=list)
    shared: list[str] = field(default_factory=list)
    exit: int | None = None
    diagnosis: dict[str, str] | None = None
    schema: int = SCHEMA

    @property
    def alive(self) -> bool:
        """Whether the record claims a running server (readers verify identity first)."""
        return self.state in ALIVE

    def to_json(self) -> dict[str, Any]:
        """The record as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Any) -> Record:
        """A record from JSON values; unknown keys are ignored.

        Raises
        ------
        ValueError
            When it is no mapping, a required key is missing, a value has the wrong type, or its schema is newer.
        """
        if not isinstance(data, dict):
            raise ValueError("a record is a mapping")
        if not isinstance(data.get("schema"), int) or data["schema"] > SCHEMA:
            raise ValueError(f"schema {data.get('schema')!r} is not one this version reads")
        kinds: dict[str, type | tuple[type, ...]] = {
            "str": str, "float": (int, float), "int": int, "State": str,
            "float | None": (int, float, type(None)), "int | None": (int, type(None)),
            "dict[str, Any]": dict, "dict[str, Any] | None": (dict, type(None)),
            "dict[str, str] | None": (dict, type(None)), "list[int]": list, "list[dict[str, Any]]": list,
            "list[str]": list, "bool": bool,
        }  # fmt: skip
        values = {}
        for item in fields(cls):
            if item.name not in data:
                continue
            if not isinstance(data[item.name], kinds[str(item.type)]):
                raise ValueError(f"{item.name} has the wrong type")
            values[item.name] = data[item.name]
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(str(error)) from None
