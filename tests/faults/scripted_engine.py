"""The adapter of `scripted_server.py`, an engine that misbehaves on request: `args` of the spec say how."""

from __future__ import annotations

import sys
from pathlib import Path

from llm_magics.engines.base import Command, Engine, Failure, Metrics, Sleep, Stage

SERVER = Path(__file__).with_name("scripted_server.py").resolve()


class ScriptedEngine(Engine):
    """The adapter; `metrics` stays unset, so that idleness is judged by CPU time."""

    key = "scripted"
    title = "Scripted"
    key_env = "SCRIPTED_API_KEY"
    grace = 1.5
    stages = (Stage(r"loading weights (\d+)/(\d+)", "loading weights {0}/{1}"), Stage(r"compiling", "compiling"))
    failures = (Failure(r"out of memory on device (\d+)", "device {0} has too little memory", "use a smaller model"),)


class SleepyEngine(ScriptedEngine):
    """One that can sleep; it says what it is doing."""

    sleep = Sleep(("/sleep?level=1", {}), ("/wake_up", {"model": "{model}"}))
    metrics = Metrics("/metrics", {"running": ("scripted:running",)})


engine = ScriptedEngine()
sleepy = SleepyEngine()
REFERENCE = "scripted_engine:engine"


def command(port: int, *args: str) -> Command:
    """The process for a port."""
    return Command([sys.executable, str(SERVER), "--port", str(port), *args])
