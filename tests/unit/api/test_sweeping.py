"""A sweep around its measurements: one bad setting costs the others nothing, and the server it is about comes back."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llm_magics.api import again, bench, sweeping, turns
from llm_magics.errors import LaunchError, SpecError, TargetError
from llm_magics.results.run import Run
from llm_magics.results.sweep import Sweep
from llm_magics.runtime import gpus, identity
from llm_magics.runtime.gpus import Gpu, GpuProcess
from llm_magics.runtime.record import Record

sys.path.insert(0, str(Path(__file__).parents[1] / "results"))

from synthetic import synthetic_run

GIB = 2**30


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Settings are not started: each gives a run; `max_num_seqs=3` does not start, `=5` is interrupted."""
    seen: list[str] = []

    def run(prepared: Any, work: Any, label: str, title: str, salt: int) -> Run:
        seen.append(label)
        if prepared.spec.max_num_seqs == 3:
            raise LaunchError("llama.cpp ended before it was ready (exit status 1).")
        if prepared.spec.max_num_seqs == 5:
            raise KeyboardInterrupt
        return synthetic_run(name=label, concurrency=[1, 4], requests=20)

    monkeypatch.setattr(sweeping, "_measured", run)
    return seen


def test_every_setting_is_measured_under_its_name(measured: list[str]) -> None:
    found = bench(engine="llamacpp", sweep={"max_num_seqs": [1, 2], "max_model_len": [256, 512], "seed": 7})
    assert isinstance(found, Sweep)
    assert list(found.runs) == [
        "max_num_seqs=1, max_model_len=256", "max_num_seqs=1, max_model_len=512",
        "max_num_seqs=2, max_model_len=256", "max_num_seqs=2, max_model_len=512",
    ]  # fmt: skip
    assert found.settings["max_num_seqs=2, max_model_len=256"] == {"max_num_seqs": 2, "max_model_len": 256, "seed": 7}
    assert measured[0] == "llamacpp max_num_seqs=1, max_model_len=256"


def test_one_that_does_not_start_costs_the_others_nothing(measured: list[str]) -> None:
    found = bench(engine="llamacpp", sweep={"max_num_seqs": [1, 3, 4]})
    assert list(found.runs) == ["max_num_seqs=1", "max_num_seqs=4"]
    assert "exit status 1" in found.failed["max_num_seqs=3"]


def test_one_that_cannot_work_is_known_before_the_first_starts(measured: list[str]) -> None:
    found = bench(engine="llamacpp", sweep={"max_model_len": [256, 999_999_999]})
    assert list(found.runs) == ["max_model_len=256"]
    assert list(found.failed) == ["max_model_len=999999999"]


def test_when_none_works_the_reason_is_raised(measured: list[str]) -> None:
    with pytest.raises(LaunchError, match="exit status 1"):
        bench(engine="llamacpp", sweep={"max_num_seqs": 3})
    with pytest.raises(SpecError):
        bench(engine="llamacpp", sweep={"max_model_len": [999_999_998, 999_999_999]})


def test_an_interrupt_keeps_the_settings_before_it(measured: list[str]) -> None:
    found = bench(engine="llamacpp", sweep={"max_num_seqs": [1, 5, 6]})
    assert list(found.runs) == ["max_num_seqs=1"]
    assert any("interrupted at max_num_seqs=5" in note for note in found.notes)


@pytest.mark.parametrize(
    ("sweep", "says"),
    [
        ({"max_num_seq": [1]}, "max_num_seqs"), ({"engine": ["vllm"]}, "no option 'engine'"),
        ({"max_num_seqs": []}, "values"), ({"max_num_seqs": [2, 2]}, "each once"), ({}, "options and their values"),
        ({"max_num_seqs": list(range(1, 80))}, "too many"), ({"max_num_seqs": ["many"]}, "max_num_seqs: many"),
    ],
)  # fmt: skip
def test_what_is_written_wrong_is_refused_before_anything_starts(
    measured: list[str], sweep: dict[str, Any], says: str
) -> None:
    with pytest.raises(SpecError, match=says):
        bench(engine="llamacpp", sweep=sweep)
    assert measured == []


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(SpecError, match="engine goes with a sweep"):
        bench(engine="llamacpp")
    with pytest.raises(SpecError, match="Bench what"):
        bench()
    with pytest.raises(SpecError, match="not both"):
        bench("tiny", engine="llamacpp", sweep={"seed": 1})
    with pytest.raises(SpecError, match="cannot be swept"):
        bench("http://127.0.0.1:1", sweep={"seed": 1})
    with pytest.raises(TargetError, match="no server 'nobody'"):
        bench("nobody", sweep={"seed": 1})


def running(**more: Any) -> Record:
    process = identity.of(os.getpid())
    assert process
    spec = {"engine": "llamacpp", "model": "tiny", "max_model_len": 256, **more.pop("spec", {})}
    return Record("mine", "llamacpp", "tiny", "ready", time.time(), "h", "k", spec, process.to_json(), **more)


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was stopped, and the specs that were launched, of a server which holds the machine's one GPU."""
    found: list[Any] = []
    monkeypatch.setattr("llm_magics.runtime.stop.end", lambda record: found.append(f"stop {record.name}"))
    monkeypatch.setattr("llm_magics.api.serving.launched", lambda prepared, **_: found.append(prepared.spec))
    monkeypatch.setattr(sweeping, "_record", lambda target: running(keep="detached"))
    card = Gpu(0, "u", "H100", "580", 80 * GIB, GIB, processes=[GpuProcess(1, GIB, "llama", "mine")])
    monkeypatch.setattr(gpus, "gpus", lambda registry=None: [card])
    return found


def test_a_server_without_gpus_goes_on_and_one_with_them_is_started_again(
    measured: list[str], done: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = bench("mine", sweep={"max_num_seqs": [1, 2]})
    stopped, spec = done
    assert stopped == "stop mine"
    assert (spec.name, spec.keep, spec.max_model_len) == ("mine", "detached", 256)
    assert "stopped for the sweep and started again" in found.notes[0]
    assert measured[-1] == "mine max_num_seqs=2"
    done.clear()
    monkeypatch.setattr(gpus, "gpus", lambda registry=None: [])
    found = bench("mine", sweep={"max_num_seqs": [1, 2]})
    assert done == []
    assert "went on running" in found.notes[0]


def test_it_comes_back_on_the_gpus_that_it_had() -> None:
    assert again.as_it_was(running(gpus=[1], idle=60.0), "").gpus == [1]


def test_an_interrupt_while_it_stops_starts_it_again(
    measured: list[str], done: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(record: Record) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("llm_magics.runtime.stop.end", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bench("mine", sweep={"max_num_seqs": [1, 2]})
    assert [spec.name for spec in done] == ["mine"]
    assert measured == []


@pytest.mark.parametrize("error", [LaunchError("it ended"), OSError("no space"), KeyboardInterrupt()])
def test_a_server_that_does_not_come_back_costs_the_sweep_nothing(
    measured: list[str], done: list[Any], monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fails(prepared: Any, **_: Any) -> None:
        raise error

    monkeypatch.setattr("llm_magics.api.serving.launched", fails)
    found = bench("mine", sweep={"max_num_seqs": [1, 2]})
    assert len(found.runs) == 2
    assert "did not start again" in found.notes[0]
    assert str(getattr(error, "what", error)) in found.notes[0]


def test_an_interrupt_while_a_setting_stops_does_not_leave_it(monkeypatch: pytest.MonkeyPatch) -> None:
    did: list[str] = []

    def stops() -> None:
        did.append("stop")
        if len(did) == 1:
            raise KeyboardInterrupt

    server = SimpleNamespace(name="s", stop=stops)
    monkeypatch.setattr("llm_magics.api.serving.launched", lambda prepared: server)
    monkeypatch.setattr("llm_magics.api.targets.resolve", lambda server: server)
    monkeypatch.setattr("llm_magics.runtime.stop.dismiss", lambda name: did.append(f"dismiss {name}"))
    prepared: Any = None
    with pytest.raises(KeyboardInterrupt), turns.started(prepared):
        pass
    assert did == ["stop", "stop", "dismiss s"]


def test_secrets_that_no_record_keeps_are_not_guessed(measured: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "_record", lambda target: running(spec={"env": {"HF_TOKEN": "***"}}))
    with pytest.raises(SpecError, match="secrets"):
        bench("mine", sweep={"max_num_seqs": [1]})


def test_settings_take_the_gpus_that_the_server_has() -> None:
    assert sweeping._options(running(gpus=[1]))["gpus"] == [1]
    assert "port" not in sweeping._options(running(spec={"port": 9000}))
