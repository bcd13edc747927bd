"""`Server`: what `%%serve NAME` binds in the notebook, and what every other part of the project calls a target.

It holds a name, nothing else. Every attribute is read from the registry when it is asked for, so that two notebooks
that hold the same server see the same truth.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from llm_magics.errors import LaunchError, TargetError
from llm_magics.runtime.elsewhere import WHY
from llm_magics.runtime.logs import tail
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry
from llm_magics.runtime.stop import stop

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI


class Server:
    """A server of this machine, by name.

    Parameters
    ----------
    name
        Its name.
    registry
        Where its record is.
    reused
        Whether it ran already when it was asked for.
    lived
        Until when it would have lived, in words, where it was taken as it ran and lives longer now.
    """

    def __init__(self, name: str, registry: Registry | None = None, *, reused: bool = False, lived: str = "") -> None:
        self.reused = reused
        self.lived = lived
        self._name = name
        self._registry = registry or Registry()
        self._clients: dict[tuple[str, str, str], OpenAI | AsyncOpenAI] = {}

    @property
    def name(self) -> str:
        """The name it was started with."""
        return self._name

    @property
    def record(self) -> Record:
        """All that is known about it now.

        Raises
        ------
        TargetError
            When its record is gone.
        """
        record = self._registry.get(self._name)
        if record is None:
            raise TargetError(f"There is no server named {self._name} any more.", then=f"%serve {self._name}")
        return record

    @property
    def state(self) -> str:
        """`starting`, `loading`, `ready`, `stopping`, `stopped`, `failed` or `lost`."""
        return self.record.state

    @property
    def asleep(self) -> bool:
        """Whether it has given its GPU memory back (`sleep`) and answers nothing until it is woken."""
        return self.record.asleep

    @property
    def stage(self) -> str:
        """How far its start is, in the engine's own terms."""
        return self.record.stage

    @property
    def url(self) -> str:
        """Base URL, without `/v1`."""
        return self.record.url

    @property
    def model(self) -> str:
        """What a request puts in `model`."""
        return self.record.served_model

    @property
    def engine(self) -> str:
        """The engine's key, `vllm` for example."""
        return self.record.engine

    @property
    def command(self) -> str:
        """The exact shell line that runs it, without secrets."""
        return self.record.command

    @property
    def api_key(self) -> str | None:
        """The key that requests need; None for an engine without one."""
        return self._registry.key(self._name)

    @property
    def client(self) -> OpenAI:
        """A client that is set up for this server.

        Raises
        ------
        TargetError
            When the server does not run.
        """
        from openai import OpenAI

        url, key = self._door()
        found = self._clients.get(("sync", url, key))
        if not isinstance(found, OpenAI):
            found = self._clients["sync", url, key] = OpenAI(base_url=url, api_key=key)
        return found

    @property
    def async_client(self) -> AsyncOpenAI:
        """The same for `async` code.

        Raises
        ------
        TargetError
            When the server does not run.
        """
        from openai import AsyncOpenAI

        url, key = self._door()
        found = self._clients.get(("async", url, key))
        if not isinstance(found, AsyncOpenAI):
            found = self._clients["async", url, key] = AsyncOpenAI(base_url=url, api_key=key)
        return found

    def logs(self, n: int = 50) -> str:
        """The last `n` lines of its log; also after it ended."""
        return "\n".join(tail(self._registry.log_path(self._name), n))

    def metrics(self) -> dict[str, float]:
        """The engine's own metrics under portable names: `running`, `waiting`, `kv_usage` …; empty without any.

        Raises
        ------
        TargetError
            When the server does not run.
        """
        from llm_magics import engines
        from llm_magics.engines.metrics import read

        record = self._running()
        return dict(read(record.url, engines.get(record.engine), self.api_key))

    def wait(self, timeout: float = 900.0) -> Server:
        """Wait until it is ready.

        Raises
        ------
        LaunchError
            When it ends first, or is not ready within `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while (record := self.record).state != "ready":
            if not record.alive:
                raise LaunchError(
                    f"{self._name} is {record.state}.", why=reason(record), then=f"%llm logs {self._name}"
                )
            if time.monotonic() > deadline:
                raise LaunchError(
                    f"{self._name} is not ready after {timeout:g} s.",
                    why=record.stage or record.state,
                    then=f"%llm logs {self._name}",
                )
            time.sleep(0.05)
        return self

    def sleep(self) -> Server:
        """Let it give its GPU memory back and keep its process.

        Raises
        ------
        TargetError
            When its engine cannot, it was not started with `enable_sleep_mode`, or it is answering.
        """
        from llm_magics.runtime.sleeping import sleep

        sleep(self._name, self._registry)
        return self

    def wake(self) -> Server:
        """Let it take its GPU memory again; errors as for `sleep`."""
        from llm_magics.runtime.sleeping import wake

        wake(self._name, self._registry)
        return self

    def stop(self) -> Server:
        """Stop it and wait until nothing of it runs."""
        stop(self._name, registry=self._registry)
        return self

    def __repr__(self) -> str:
        record = self._registry.get(self._name)
        if record is None:
            return f"<Server {self._name}: gone>"
        state = f"{record.state} ({record.stage})" if record.stage else record.state
        state = f"{state}, asleep" if record.asleep and record.alive else state
        where = f" at {record.url}" if record.alive else ""
        return f"<Server {self._name}: {record.engine} with {record.model}, {state}{where}>"

    def _running(self) -> Record:
        record = self.record
        if not record.alive:
            raise TargetError(f"{self._name} is {record.state}.", why=reason(record), then=f"%serve {self._name}")
        return record

    def _door(self) -> tuple[str, str]:
        from llm_magics import engines

        record = self._running()
        if record.asleep:
            raise TargetError(f"{self._name} is asleep.", then=f"%llm wake {self._name}")
        engine = engines.get(record.engine)
        if engine.protocol != "openai":
            raise TargetError(
                f"{engine.title} does not speak OpenAI's API, so {self._name} has no OpenAI client.",
                why=f"its own API is at {record.url}; the model is {record.served_model}",
                then=f"`%%compare {self._name}` asks it, `%%bench {self._name}` loads it; or post to .url yourself",
            )
        return f"{record.url}/v1", self.api_key or "none"


def again(record: Record) -> str:
    """What to type of a server that runs no more: the remedy that its end has, its start, its log."""
    remedy = (record.diagnosis or {}).get("remedy", "")
    steps = "; ".join(dict.fromkeys(filter(None, (remedy, "start it again"))))
    return f"{steps}: `%serve {record.name} …`; what it said: `%llm logs {record.name}`"


def reason(record: Record) -> str:
    """Why a server runs no more, or here not: the cause and the engine's own line, as far as they are known."""
    if record.diagnosis:
        return "\n".join(filter(None, (record.diagnosis.get("cause"), record.diagnosis.get("line"))))
    if record.state == "lost":
        return "its supervisor was killed"
    if record.state == "elsewhere":
        return f"it runs on {record.host}: {WHY}"
    return record.stops_why or (f"the engine ended with status {record.exit}" if record.exit is not None else "")
