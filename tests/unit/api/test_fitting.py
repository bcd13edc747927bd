"""The check before a launch: it stops what surely fails, lets the rest through, and never asks a network."""

from __future__ import annotations

import pytest

from llm_magics import engines
from llm_magics.api.fitting import check, fit
from llm_magics.api.serving import Prepared
from llm_magics.engines.base import Executable
from llm_magics.errors import SpecError
from llm_magics.runtime import gpus
from llm_magics.spec import ServerSpec

GIB = 1 << 30


def machine(monkeypatch: pytest.MonkeyPatch, *sizes: float) -> None:
    """A machine with GPUs of so many GiB."""
    cards = [gpus.Gpu(number, f"u{number}", "Card", "1", round(size * GIB), 0) for number, size in enumerate(sizes)]
    monkeypatch.setattr(gpus, "gpus", lambda registry=None: cards)


def prepared(version: str = "0.33.0", engine: str = "vllm", **options: object) -> Prepared:
    spec = ServerSpec(name="a", engine=engine, **options)
    chosen = tuple(spec.gpus) if isinstance(spec.gpus, list) else ()
    return Prepared(spec, engines.get(engine), Executable(version, python="python"), spec.model, chosen)


def test_model_that_is_too_large_is_stopped_with_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, 24)
    with pytest.raises(SpecError, match="does not fit on one Card") as error:
        check(prepared(model="meta-llama/Llama-3.1-70B"))
    assert "the weights are 131.4 GiB" in error.value.why
    assert "--force" in error.value.then


def test_context_that_is_too_long_is_stopped_with_one_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, 24)
    with pytest.raises(SpecError, match="131,072 tokens") as error:
        check(prepared(model="meta-llama/Llama-3.1-8B"))
    length = int(error.value.then.split("max_model_len: ")[1].split(";")[0])
    check(prepared(model="meta-llama/Llama-3.1-8B", max_model_len=length))


@pytest.mark.parametrize(
    "options",
    [
        {"model": "meta-llama/Llama-3.1-8B", "max_model_len": 8192},
        {"model": "meta-llama/Llama-3.1-8B", "max_model_len": "auto"},
        {"model": "meta-llama/Llama-3.1-70B", "gpus": "none"},
        {"model": "meta-llama/Llama-3.1-70B", "args": ["--cpu-offload-gb", "200"]},
        {"model": "meta-llama/Llama-3.1-70B", "version": "0.32.0+cpu"},
        {"model": "meta-llama/Llama-3.1-70B", "engine": "transformers"},  # offloads by itself
        {"model": "meta-llama/Llama-3.1-70B", "tensor_parallel_size": 4},  # more than there are: not this check's
        {"model": "somebody/unknown"},
    ],
)
def test_silent_where_it_fits_or_is_not_known(monkeypatch: pytest.MonkeyPatch, options: dict) -> None:
    machine(monkeypatch, 24)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr("urllib.request.OpenerDirector.open", lambda *_, **__: pytest.fail("asked the network"))
    check(prepared(**options))


def test_silent_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch)
    check(prepared(model="meta-llama/Llama-3.1-70B"))


def test_gpus_that_are_given_count_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, 80, 16)
    check(prepared(model="Qwen/Qwen2.5-7B-Instruct", gpus=[0]))
    with pytest.raises(SpecError, match="does not fit"):
        check(prepared(model="Qwen/Qwen2.5-7B-Instruct", gpus=[1]))


def test_asked_options_change_the_answer_and_others_are_refused() -> None:
    plain = fit("Qwen/Qwen2.5-7B-Instruct", gpu="H100", max_model_len=8192)
    small = fit("Qwen/Qwen2.5-7B-Instruct", gpu="H100", max_model_len=8192, kv_cache_dtype="fp8")
    assert small.balance.tokens_in_cache == pytest.approx(2 * plain.balance.tokens_in_cache, abs=2)
    half = fit("Qwen/Qwen2.5-7B-Instruct", gpu="H100", quantization="fp8")
    assert half.balance.weights < plain.balance.weights * 0.65
    with pytest.raises(SpecError, match="seed"):
        fit("tiny", seed=1)
