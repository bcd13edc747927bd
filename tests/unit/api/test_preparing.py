"""A spec made ready: the GPUs that a server will be on, and what is refused before a process exists."""

from __future__ import annotations

import pytest

from llm_magics import engines
from llm_magics.api import preparing, serving
from llm_magics.engines import environments, images
from llm_magics.errors import SpecError
from llm_magics.runtime import containers, gpus, identity
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry
from llm_magics.spec import ServerSpec

GIB = 1 << 30


def machine(monkeypatch: pytest.MonkeyPatch, *sizes: int, held: dict[int, str] | None = None) -> None:
    """A machine with GPUs of so many GiB; `held`: those that a process fills, of the server so named."""
    cards = []
    for number, size in enumerate(sizes):
        running = [gpus.GpuProcess(99, size * GIB, "python", held[number])] if number in (held or {}) else []
        used = sum(each.memory or 0 for each in running)
        cards.append(gpus.Gpu(number, f"u{number}", "Card", "1", size * GIB, used, processes=running))
    monkeypatch.setattr(gpus, "gpus", lambda registry=None: cards)


def chosen(name: str = "new", **options: object) -> tuple[int, ...]:
    spec = ServerSpec(name=name, engine="vllm", model="m", gpus="auto", **options)
    return preparing.gpus_of(spec, engines.get("vllm"))


def test_auto_takes_the_freest_of_two_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, 24, 80)
    assert chosen() == (1,)
    assert chosen(tensor_parallel_size=2) == (0, 1)
    machine(monkeypatch, 24, 80, held={1: "qwen"})
    assert chosen() == (0,)


def test_auto_takes_as_many_as_the_model_is_split_over(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, 24, 80, 80, 24, 80, 80)
    assert chosen(tensor_parallel_size=2, pipeline_parallel_size=2) == (1, 2, 4, 5)
    assert chosen(data_parallel_size=2) == (1, 2)


def test_auto_is_refused_where_too_few_are_free_with_who_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, 80, 80, held={0: "qwen"})
    with pytest.raises(SpecError, match="2 free GPUs are needed, 1 of 2 are free") as error:
        chosen(tensor_parallel_size=2)
    assert error.value.why == "the others are held by qwen (80.0 GiB)"
    machine(monkeypatch, 80, held={0: ""})
    with pytest.raises(SpecError, match="1 free GPU is needed, 0 of 1 are free") as error:
        chosen()
    assert error.value.why == "the others are held by python 99 (80.0 GiB)"
    assert "gpus: [0]" in error.value.then


def test_a_second_server_takes_the_next_gpu_before_the_first_ones_engine_is_on_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine(monkeypatch, 80, 80)
    registry = Registry()
    record = Record(
        "first", "llamacpp", "m", "starting", 1.0, "h", "k", {}, identity.current().to_json(), id="i", gpus=[0]
    )
    registry.write(record)
    try:
        assert chosen() == (1,)
        with pytest.raises(SpecError, match="2 free GPUs are needed, 1 of 2 are free") as error:
            chosen(tensor_parallel_size=2)
        assert error.value.why == "the others are held by first, which was given it"
        assert chosen("first") == (0,), "the cell that started it is run again"
    finally:
        (registry.directory / "first.json").unlink()


@pytest.mark.parametrize("engine", ["tgi", "tensorrt_llm"])
@pytest.mark.parametrize("on", ["local", "docker"])
def test_an_engine_for_gpus_says_that_there_is_none_before_anything_is_looked_for(
    engine: str, on: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the answer is to install it first, or the daemon brings an image of many GiB that cannot serve here."""
    machine(monkeypatch)
    monkeypatch.setattr(environments, "locate", lambda *_, **__: pytest.fail("the engine was looked for"))
    monkeypatch.setattr(images, "executable", lambda *_, **__: pytest.fail("an image was chosen"))
    monkeypatch.setattr(containers, "check", lambda *_, **__: pytest.fail("the daemon was asked"))
    for options in ({}, {"gpus": "none"}):
        with pytest.raises(SpecError, match="needs a GPU and this machine has none") as error:
            serving.serve("new", engine=engine, model="Qwen/Qwen3-0.6B", on=on, **options)
        assert "engine: llamacpp" in error.value.then
