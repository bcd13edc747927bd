"""The monitor's own process: parent of Prometheus and Alertmanager, eyes on the registry, inbox of the alerts.

It is started detached and told its plan on stdin, as a server's supervisor is. When it ends, for whatever reason, the
two end with it. When one of the two ends, it stays and says so: whoever asks decides what is done (`%llm monitor up`).
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import sys
import threading
import time
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from llm_magics import engines
from llm_magics.engines.base import Engine
from llm_magics.errors import LLMMagicsError
from llm_magics.monitor import config
from llm_magics.monitor.child import Child
from llm_magics.monitor.home import Home
from llm_magics.monitor.inbox import Inbox
from llm_magics.monitor.page import Page
from llm_magics.monitor.targets import Targets, keys, targets
from llm_magics.runtime import containers
from llm_magics.runtime.engine_process import become_subreaper
from llm_magics.runtime.private_files import write_whole
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry
from llm_magics.runtime.watching import Watch

_TICK = 0.5  # s between two looks at the registry: the price of a directory listing
_GRACE = 10.0  # s for Prometheus to write its head down


@dataclass(frozen=True)
class Plan:
    """What the process is told.

    Attributes
    ----------
    home, registry
        Folders.
    commands
        Program -> its command.
    containers
        Program -> the container it runs in.
    env
        The programs' environment.
    ports
        `prometheus`, `alertmanager`, `inbox`.
    token
        Of the inbox.
    every
        s between two looks at the servers.
    """

    home: str
    registry: str
    commands: dict[str, list[str]]
    containers: dict[str, dict[str, str]]
    env: dict[str, str]
    ports: dict[str, int]
    token: str
    every: float

    def dump(self) -> bytes:
        """As a document."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def load(cls, source: IO[bytes]) -> Plan | None:
        """The plan in a stream, or None when whoever wrote it died before it was whole."""
        try:
            return cls(**json.loads(source.read()))
        except (ValueError, TypeError):
            return None


class Monitor:
    """The life of one monitor."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.home = Home(Path(plan.home))
        self.registry = Registry(Path(plan.registry))
        self.watch = Watch(self.registry)
        self.selector = selectors.DefaultSelector()
        self.page, self.text = Page(self.home.path, self.registry.get), ""
        self.records: list[Record] = []
        self.written: dict[str, str] = {}
        self.keys: frozenset[str] | None = None  # names of the servers with a key that the configuration has
        self.children: dict[str, Child] = {}
        self.asked = threading.Event()

    def run(self) -> None:
        """Start both and stay until asked to end."""
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(signum, lambda *_: self.asked.set())
        try:
            self._discover()
            for name, argv in self.plan.commands.items():
                child = Child(name, argv, self.plan.env, self.home.log(name))
                self.children[name] = child
                self.selector.register(child.output, selectors.EVENT_READ, child)
            inbox = Inbox(self.plan.ports["inbox"], self.plan.token, self.home.inbox, lambda: self.text)
            threading.Thread(target=self._keep_looking, name="look", daemon=True).start()
            while not self.asked.is_set():
                for key, _ in self.selector.select(_TICK):
                    if not key.data.drain():
                        self.selector.unregister(key.fd)
                with contextlib.suppress(OSError):  # a full disk leaves it as it was; the next look tries again
                    self._discover()
            inbox.close()
        finally:
            for child in self.children.values():
                child.end(_GRACE)
            for container in self.plan.containers.values():
                containers.remove(container, self.plan.env)

    def _discover(self) -> None:
        """Bring Prometheus' service discovery up to the registry; OSError when a file cannot be written."""
        self.records = self.watch.look()
        found = targets(self.records, adapter, lambda name: self.registry.key_path(name).exists())
        self._write_targets(found)
        if (named := frozenset(found.keyed)) != self.keys:
            self._write_config(found)
            self.keys = named

    def _write_targets(self, found: Targets) -> None:
        files = found.files()
        for name, text in files.items():
            if self.written.get(name) != text:
                write_whole(self.home.targets / name, text)
        for name in self.written.keys() - files.keys():
            (self.home.targets / name).unlink(missing_ok=True)
        self.written = files

    def _write_config(self, found: Targets) -> None:
        at = {name: f"127.0.0.1:{port}" for name, port in self.plan.ports.items()}
        text = config.prometheus(self.home, **at, every=self.plan.every, keys=keys(found, self.registry.key_path))
        write_whole(self.home.config / "prometheus.yml", text)
        if (child := self.children.get("prometheus")) is not None:
            child.send(signal.SIGHUP)  # a container's client hands it on

    def _keep_looking(self) -> None:
        """Servers are asked apart from the loop whether they are ready: one that hangs takes its time."""
        while not self.asked.is_set():
            began = time.monotonic()
            try:
                self.text = self._look()
            except Exception:  # noqa: BLE001 - a page that stays as it was says of a dead server that it is up
                self.text = ""
                traceback.print_exc()
            self.asked.wait(max(0.1, self.plan.every - (time.monotonic() - began)))

    def _look(self) -> str:
        records = list(self.records)
        asked = {
            record.name: (engine.ready_path, self.registry.key(record.name))
            for record in records
            if (engine := adapter(record.engine)) is not None
        }
        return self.page.look(records, asked)


def adapter(key: str) -> Engine | None:
    """The engine of a key; None for one of a package that is not installed here."""
    try:
        return engines.get(key)
    except LLMMagicsError:
        return None


def main() -> None:
    """Read the plan from stdin and carry it out."""
    plan = Plan.load(sys.stdin.buffer)
    if plan is None:
        return
    os.umask(0o077)  # what Prometheus writes is the user's alone
    become_subreaper()
    Monitor(plan).run()


if __name__ == "__main__":
    main()
