"""Sleep and wake: an engine gives its GPU memory back and keeps its process, and takes it again in a moment.

What is asked of which engine stands in its adapter (`Engine.sleep`); whether a server sleeps stands in its record, for
everybody who looks.
"""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from llm_magics import engines
from llm_magics.engines.base import Engine, Sleep
from llm_magics.engines.metrics import read
from llm_magics.errors import TargetError
from llm_magics.runtime.elsewhere import out_of_reach
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry
from llm_magics.runtime.unknown import no_server

_PATIENCE = 300.0  # s for one step: weights go to the machine's memory and back


def sleep(name: str, registry: Registry | None = None) -> Record:
    """Let a server give back its GPU memory; nothing happens to one that sleeps.

    Raises
    ------
    TargetError
        When it does not run, its engine has no sleep, it was not started for it, it is answering, or it refuses.
    """
    registry = registry or Registry()
    record, engine, how = _able(registry, name)
    if record.asleep:
        return record
    running = 0.0
    with suppress(OSError, ValueError):
        running = read(record.url, engine, registry.key(name)).get("running", 0.0)
    if running:
        raise TargetError(
            f"{name} is answering {running:g} request{'s' if running != 1 else ''}.",
            why=f"{engine.title} would break them off",
            then=f"`%llm sleep {name}` when they are through",
        )
    _ask(record, registry.key(name), engine, how.fall, "sleep")
    return _note(registry, record, asleep=True)


def wake(name: str, registry: Registry | None = None) -> Record:
    """Let a server take its GPU memory again; nothing happens to one that is awake. Errors as for `sleep`."""
    registry = registry or Registry()
    record, engine, how = _able(registry, name)
    if not record.asleep:
        return record
    _ask(record, registry.key(name), engine, how.wake, "wake")
    return _note(registry, record, asleep=False)


def _able(registry: Registry, name: str) -> tuple[Record, Engine, Sleep]:
    record = registry.get(name)
    if record is None:
        raise no_server(name, registry)
    if record.state == "elsewhere":
        raise out_of_reach(record, "asked", TargetError)
    if record.state != "ready":
        raise TargetError(f"{name} is {record.state}.", then="%llm list")
    engine = engines.get(record.engine)
    if engine.sleep is None:
        having = [found.title for key in engines.names() if (found := engines.get(key)).sleep is not None]
        raise TargetError(
            f"{engine.title} cannot sleep.", why=f"engines that can: {', '.join(having)}", then=f"%llm stop {name}"
        )
    option = engine.sleep.option
    if option and not record.spec.get(option):
        raise TargetError(
            f"{name} was not started so that it can sleep.",
            why=f"{engine.title} has to be told so at its start",
            then=f"%serve {name} … --{option.replace('_', '-')} --replace",
        )
    return record, engine, engine.sleep


def _ask(record: Record, key: str | None, engine: Engine, asked: tuple[str, Mapping[str, Any]], what: str) -> None:
    path, body = asked
    data = json.dumps({name: record.served_model if value == "{model}" else value for name, value in body.items()})
    request = urllib.request.Request(record.url + path, data.encode(), {"Content-Type": "application/json"})  # noqa: S310 - loopback
    if key:
        request.add_header("Authorization", f"Bearer {key}")
    # No proxy: the server listens on the loopback interface, and its key is nobody else's.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_PATIENCE) as answer:
            answer.read()
    except urllib.error.HTTPError as error:
        said = " ".join(error.read(2000).decode("utf-8", "replace").split())
        raise TargetError(
            f"{record.name} did not {what}: {engine.title} answers {error.code}.",
            why=said or f"to POST {path}",
            then=f"%llm logs {record.name}",
        ) from None
    except (OSError, http.client.HTTPException) as error:
        raise TargetError(f"{record.name} did not {what}.", why=str(error), then=f"%llm logs {record.name}") from None


def _note(registry: Registry, seen: Record, *, asleep: bool) -> Record:
    def change(record: Record) -> Record:
        return replace(record, asleep=asleep) if record.id == seen.id else record

    with suppress(KeyError):
        return registry.update(seen.name, change)
    return replace(seen, asleep=asleep)
