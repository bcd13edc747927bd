"""What is told while somebody looks: news and nothing else, in the order in which it became true."""

from __future__ import annotations

import contextlib
import time
import types
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from llm_magics.runtime import gpu_watch, identity, looking
from llm_magics.runtime.gpus import Gpu
from llm_magics.runtime.looking import Last, Looks, Pulse
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry


def record(**changes: Any) -> Record:
    values = {
        "id": "1", "name": "s", "engine": "e", "model": "m", "state": "loading", "created": 1.0, "host": "h",
        "reuse_key": "k", "spec": {}, "supervisor": identity.current().to_json(), **changes,
    }  # fmt: skip
    return Record(**values)


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    return Registry()


@pytest.fixture
def heard() -> SimpleQueue[dict[str, Any]]:
    return SimpleQueue()


@pytest.fixture
def looks(registry: Registry, heard: SimpleQueue[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> Iterator[Looks]:
    """Looks that are wanted, on a machine without GPUs; they leave off at the end."""
    monkeypatch.setattr("llm_magics.runtime.gpu_watch.GpuWatch.look", lambda *_: [])
    found = Looks(heard.put)
    found.wanted(True)
    yield found
    found.wanted(False)


def hear(heard: SimpleQueue[dict[str, Any]], kind: str) -> Any:
    """The next message of a kind."""
    while True:
        message = heard.get(timeout=30)
        if kind in message:
            return message[kind]


def test_what_was_said_last_is_not_said_again() -> None:
    said: list[dict[str, Any]] = []
    last = Last(said.append)
    last.tell("work", {"work": 0})  # nobody looks
    last.keep(True)
    for number in (1, 1, 2, 1):
        last.tell("work", {"work": number})
    last.tell("trouble", {"trouble": ""})
    assert said == [{"work": 1}, {"work": 2}, {"work": 1}, {"trouble": ""}]
    assert last.messages() == [{"work": 1}, {"trouble": ""}]
    last.keep(False)
    last.tell("work", {"work": 3})  # a look that was under way
    last.keep(True)
    assert last.messages() == []
    last.tell("work", {"work": 1})
    assert said[-1] == {"work": 1}


def test_looks_that_find_nothing_new_say_nothing(
    registry: Registry, looks: Looks, heard: SimpleQueue[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "_STATES", 0.01)
    taken = []
    look = looks._states._look
    looks._states._look = lambda: taken.append(1) or look()  # type: ignore[func-returns-value]
    first = {next(iter(heard.get(timeout=30))) for _ in range(5)}
    assert first == {"engines", "load", "gpus", "work", "trouble"}
    taken.clear()
    while len(taken) < 20:
        time.sleep(0.01)
    assert heard.empty()
    registry.write(record())
    assert [engine["name"] for engine in hear(heard, "engines")] == ["s"]


def test_a_pause_is_as_long_as_the_look_says(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    class Ended(BaseException):
        pass

    def wait(pause: float) -> None:
        waited.append(pause)
        raise Ended

    pulse = Pulse("test", lambda: 0.25)
    pulse._wanted.set()
    monkeypatch.setattr(pulse._soon, "wait", wait)
    with pytest.raises(Ended):
        pulse.run()
    assert waited == [0.25]


def test_a_change_is_seen_within_the_second_that_is_promised(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pauses, not times: what stands in docs/sidebar.md. The rest of the second is the way to the screen."""
    looks = Looks(lambda _: None)
    assert looks._states._look() <= 0.5
    registry.write(record())
    assert looks._states._look() <= 0.5
    assert [each.name for each in looks._records] == ["s"]
    work = looks._pulses[-1]
    assert (work.name, work._look() <= 1.0) == ("llm-magics work", True)
    monkeypatch.setattr("llm_magics.runtime.watching.Watch.look", lambda _: (_ for _ in ()).throw(OSError("away")))
    assert looks._states._look() <= 1.0  # that it is over has to be seen, too


def test_engines_are_asked_every_second_while_they_work_and_less_often_while_they_do_not(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: dict[str, float] = {}
    monkeypatch.setattr("llm_magics.runtime.load_now.load_now", lambda *_: dict(said))
    monkeypatch.setattr("llm_magics.runtime.gpu_watch.GpuWatch.look", lambda *_: [])
    looks = Looks(lambda _: None)
    assert looks._loads._look() >= 60.0  # until there is one
    assert looks._gpus._look() >= 30.0
    looks._records = [record(state="ready")]
    for said, pause in [
        ({"output_tokens": 7.0}, 1.0), ({"output_tokens": 7.0}, 4.0), ({"output_tokens": 8.0}, 1.0),
        ({"output_tokens": 8.0, "running": 1.0}, 1.0), ({"output_tokens": 8.0, "waiting": 1.0}, 1.0),
        ({"output_tokens": 8.0, "running": 0.0, "waiting": 0.0}, 4.0),
    ]:  # fmt: skip
        assert looks._loads._look() == pause, said
    card = Gpu(0, "GPU-0", "H100", "580", 80, 1)
    monkeypatch.setattr("llm_magics.runtime.gpu_watch.GpuWatch.look", lambda *_: [card])
    assert looks._gpus._look() == 2.0


def test_an_engine_that_comes_is_asked_at_once_though_nobody_was_asked_before(
    registry: Registry, looks: Looks, heard: SimpleQueue[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "_LONG", 1e6)
    assert hear(heard, "load") == {}
    registry.write(record())
    assert set(hear(heard, "load")) == {"s"}
    (registry.directory / "s.json").unlink()
    assert hear(heard, "load") == {}


def test_who_comes_later_hears_what_is_so(registry: Registry, looks: Looks, heard: SimpleQueue[dict[str, Any]]) -> None:
    registry.write(record())
    while not hear(heard, "engines"):
        pass
    kinds = {kind: message[kind] for message in looks.said() for kind in message}
    assert [engine["name"] for engine in kinds["engines"]] == ["s"]
    looks.wanted(False)
    assert looks.said() == []
    looks.wanted(True)
    assert [engine["name"] for engine in hear(heard, "engines")] == ["s"]


def test_a_directory_that_does_not_answer_is_told_once(
    looks: Looks, heard: SimpleQueue[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert hear(heard, "trouble") == ""
    assert 0 < looks.see_to_it() <= looking._HUNG
    monkeypatch.setattr(looking, "_HUNG", -1.0)
    looks.see_to_it()
    assert "does not answer" in hear(heard, "trouble")
    assert hear(heard, "trouble") == ""  # and that it does again


def test_gpus_are_held_open_while_somebody_looks_and_no_longer(
    registry: Registry,
    heard: SimpleQueue[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    """What an idle card draws, to the fraction of a watt, is no news; a server that comes is looked for at once."""
    taken: list[list[str]] = []
    opened: list[str] = []

    @contextlib.contextmanager
    def library() -> Iterator[Any]:
        opened.append("open")
        yield types.SimpleNamespace(NVMLError=OSError)
        opened.append("closed")

    def seen(nvml: Any, records: list[Record]) -> list[Gpu]:
        taken.append([each.name for each in records])
        part = len(taken) % 2
        return [
            Gpu(0, "GPU-0", "H100", "580", 80, 1 + 2**20, power=70.0 + 0.4 * part),
            Gpu(1, "GPU-1", "GB10", "580", 2**37, 2**30 + part, unified=True),
        ]

    monkeypatch.setattr(gpu_watch, "library", library)
    monkeypatch.setattr(gpu_watch, "seen", seen)
    monkeypatch.setattr(looking, "_GPUS", (0.001, 0.001))
    looks = Looks(heard.put)
    request.addfinalizer(lambda: looks.wanted(False))
    looks.wanted(True)
    shown = hear(heard, "gpus")
    assert [gpu["power"] for gpu in shown] == [70, None]
    assert [gpu["memory_used"] for gpu in shown] == [1 + 2**20, 2**30]
    while len(taken) < 20:
        time.sleep(0.01)
    assert not any("gpus" in heard.get() for _ in range(heard.qsize()))
    assert opened == ["open"]
    looks.wanted(False)
    while opened != ["open", "closed"]:
        time.sleep(0.01)

    monkeypatch.setattr(looking, "_GPUS", (1e6, 1e6))
    looks.wanted(True)
    hear(heard, "gpus")
    registry.write(record())
    while taken[-1] != ["s"]:
        time.sleep(0.01)
    assert opened == ["open", "closed", "open"]
