"""The check before a launch: it stops what surely fails, lets the rest through, and never asks a network."""

from __future__ import annotations

import os

import pytest

from llm_magics import engines
from llm_magics.advice import machine as machine_facts
from llm_magics.api.memory_check import check
from llm_magics.api.preparing import Prepared
from llm_magics.engines.base import Executable
from llm_magics.errors import SpecError
from llm_magics.runtime import gpus
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry
from llm_magics.spec import ServerSpec

GIB = 1 << 30
LARGE, MIDDLE = "meta-llama/Llama-3.1-70B", "meta-llama/Llama-3.1-8B"  # 131.4 and 15.0 GiB of weights


def machine(
    monkeypatch: pytest.MonkeyPatch, *sizes: float, ram: float = 1000, used: float = 0, server: str = ""
) -> None:
    """A machine with GPUs of so many GiB, of which the first has `used` taken by a process (of `server`)."""
    cards = []
    for number, size in enumerate(sizes):
        taken = round(used * GIB) if number == 0 else 0
        held = [gpus.GpuProcess(99, taken, "python", server)] if taken else []
        cards.append(gpus.Gpu(number, f"u{number}", "Card", "1", round(size * GIB), taken, processes=held))
    monkeypatch.setattr(gpus, "gpus", lambda registry=None: cards)
    monkeypatch.setattr(machine_facts, "memory_free", lambda: round(ram * GIB))


def prepared(version: str = "0.33.0", engine: str = "vllm", **options: object) -> Prepared:
    spec = ServerSpec(name="a", engine=engine, **options)
    chosen = tuple(spec.gpus) if isinstance(spec.gpus, list) else ()
    return Prepared(spec, engines.get(engine), Executable(version, python="python"), spec.model, chosen)


def test_model_that_is_too_large_is_stopped_with_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, 24)
    with pytest.raises(SpecError, match="does not fit on one Card") as error:
        check(prepared(model=LARGE))
    assert "the weights are 131.4 GiB" in error.value.why
    assert "--force" in error.value.then


def test_context_that_is_too_long_is_stopped_with_one_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, 24)
    with pytest.raises(SpecError, match="131,072 tokens") as error:
        check(prepared(model=MIDDLE))
    length = int(error.value.then.split("max_model_len: ")[1].split(";")[0])
    check(prepared(model=MIDDLE, max_model_len=length))


@pytest.mark.parametrize("engine", ["vllm", "sglang", "tgi", "tensorrt_llm", "deepspeed", "triton"])
def test_every_engine_that_keeps_the_model_on_the_gpu_is_spoken_for(
    monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    machine(monkeypatch, 24)
    with pytest.raises(SpecError, match="Llama") as error:
        check(prepared(engine=engine, model=LARGE, gpus=[0]))
    assert "131.4 GiB" in error.value.why
    check(prepared(engine=engine, model=MIDDLE, max_model_len=4096, gpus=[0]))


def test_sglang_is_given_no_more_than_it_takes_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 24 GiB it keeps 3.5: of 17 free ones 14.5 are left, too few for 15 GiB of weights unless it is told more."""
    machine(monkeypatch, 24, used=7)
    with pytest.raises(SpecError, match="does not fit"):
        check(prepared(engine="sglang", model=MIDDLE, max_model_len=1024))
    check(prepared(engine="sglang", model=MIDDLE, max_model_len=1024, gpu_memory_utilization=0.95))


@pytest.mark.parametrize(("gib", "share"), [(16, 0.781), (24, 0.854), (48, 0.927), (80, 0.875), (141, 0.929)])
def test_sglangs_own_share_as_its_source_computes_it(gib: int, share: float) -> None:
    """memory_hook.py of 0.5.23 with a chunk of 2,048 tokens and no graphs: 3,584 MiB, 10 GiB above 60 GiB."""
    own = engines.get("sglang").memory
    assert own is not None
    assert own.part(None, gib << 30) == pytest.approx(share, abs=0.001)
    assert own.part(0.5, gib << 30) == 0.5


@pytest.mark.parametrize("engine", ["sglang", "tgi", "tensorrt_llm", "deepspeed", "triton"])
def test_what_others_hold_of_a_gpu_counts(monkeypatch: pytest.MonkeyPatch, engine: str) -> None:
    machine(monkeypatch, 24, used=12, server="qwen")
    with pytest.raises(SpecError, match="does not fit") as error:
        check(prepared(engine=engine, model=MIDDLE, max_model_len=4096))
    assert "held by qwen (12.0 GiB)" in error.value.why


def test_share_of_the_whole_gpu_that_is_not_free_is_stopped_with_one_that_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """vLLM's own check: `Free memory on device … on startup is less than desired GPU memory utilization`."""
    machine(monkeypatch, 80, used=40)
    with pytest.raises(SpecError, match="92 % of a GPU's memory, and GPU 0 has less free") as error:
        check(prepared(model=MIDDLE, max_model_len=8192))
    assert "python 99 (40.0 GiB)" in error.value.why
    share = float(error.value.then.split("gpu_memory_utilization: ")[1].split(";")[0])
    assert 0.4 < share < 0.5
    check(prepared(model=MIDDLE, max_model_len=8192, gpu_memory_utilization=share))
    with pytest.raises(SpecError, match="less free"):
        check(prepared(model=MIDDLE, max_model_len=8192, gpu_memory_utilization=0.6))
    machine(monkeypatch, 80, 80, used=40)
    with pytest.raises(SpecError) as error:
        check(prepared(model=MIDDLE, max_model_len=8192))
    assert "gpus: [1]" in error.value.then
    check(prepared(model=MIDDLE, max_model_len=8192, gpus=[1]))


def test_server_of_ours_that_is_still_loading_counts_with_what_it_will_take(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, 80)
    check(prepared(model=MIDDLE, max_model_len=8192, gpu_memory_utilization=0.6))
    loading = Record(
        name="first", engine="vllm", engine_version="0.33.0", model="m", state="loading", created=0.0, host="h",
        reuse_key="k", spec={"gpu_memory_utilization": 0.5}, supervisor={"pid": 0},
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Registry, "list", lambda self: [loading])
        with pytest.raises(SpecError, match="less free") as error:
            check(prepared(model=MIDDLE, max_model_len=8192, gpu_memory_utilization=0.6))
        check(prepared(model=MIDDLE, max_model_len=8192, gpu_memory_utilization=0.45))
    assert "first, which is starting and will take 40.0 GiB more" in error.value.why


def test_memory_of_the_namesake_is_free_because_it_is_reused_or_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, 80, used=74, server="a")
    check(prepared(model=MIDDLE, max_model_len=8192))
    machine(monkeypatch, 80, used=74, server="b")
    with pytest.raises(SpecError, match="less free"):
        check(prepared(model=MIDDLE, max_model_len=8192))


@pytest.mark.parametrize(
    ("engine", "version"),
    [("vllm", "0.32.0+cpu"), ("sglang", "0.5.23"), ("transformers", "5.23"), ("deepspeed", "0.19"), ("triton", "0.7")],
)
def test_model_larger_than_the_memory_is_stopped_on_a_cpu(
    monkeypatch: pytest.MonkeyPatch, engine: str, version: str
) -> None:
    machine(monkeypatch, ram=24)
    with pytest.raises(SpecError, match="this machine's memory") as error:
        check(prepared(version, engine, model=LARGE))
    assert "billion as GGUF" in error.value.then
    machine(monkeypatch, ram=12)
    with pytest.raises(SpecError, match="Qwen3-8B") as error:
        check(prepared(version, engine, model="Qwen/Qwen3-8B", max_model_len=2048))
    assert "a GGUF of the model in Q8_0" in error.value.then
    machine(monkeypatch, ram=24)
    check(prepared(version, engine, model="Qwen/Qwen3-8B", max_model_len=2048))


def test_vllms_cache_on_a_cpu_must_hold_one_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given 4 GiB by the adapter, and vLLM stops where one request of the model's context is larger."""
    machine(monkeypatch, ram=100)
    with pytest.raises(SpecError, match="131,072 tokens") as error:
        check(prepared("0.32.0+cpu", model=MIDDLE))
    assert "the KV cache is given 4.0 GiB" in error.value.why
    length = int(error.value.then.split("max_model_len: ")[1].split(";")[0])
    check(prepared("0.32.0+cpu", model=MIDDLE, max_model_len=length))
    check(prepared("0.32.0+cpu", model=MIDDLE, args=["--kv-cache-memory-bytes", str(20 * GIB)]))


def test_gguf_file_larger_than_gpu_and_memory_together_is_stopped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: os.PathLike[str]
) -> None:
    from llm_magics import models
    from llm_magics.advice import weights

    file = str(models.path("tiny", "gguf"))
    monkeypatch.setattr(weights, "of_gguf", lambda path: (40 * GIB, "size of the GGUF file"))
    machine(monkeypatch, 24, ram=8)
    for engine in ("llamacpp", "ollama"):
        with pytest.raises(SpecError, match="GPUs and memory together"):
            check(prepared(engine=engine, model=file))
    machine(monkeypatch, 24, ram=20)
    check(prepared(engine="llamacpp", model=file))
    machine(monkeypatch, ram=30)
    with pytest.raises(SpecError, match="this machine's memory"):
        check(prepared(engine="llamacpp", model=file))


@pytest.mark.parametrize(
    "options",
    [
        {"model": MIDDLE, "max_model_len": 8192},
        {"model": MIDDLE, "max_model_len": "auto"},
        {"model": LARGE, "gpus": "none"},  # a terabyte of memory
        {"model": LARGE, "args": ["--cpu-offload-gb", "200"]},
        {"model": LARGE, "version": "0.32.0+cpu", "max_model_len": 8192},
        {"model": LARGE, "engine": "transformers"},  # spills into the machine's memory
        {"model": LARGE, "engine": "deepspeed", "args": ["--offload", "cpu"]},
        {"model": LARGE, "engine": "deepspeed", "args": ["--offload", "nvme", "--nvme-path", "/fast"]},
        {"model": LARGE, "tensor_parallel_size": 4},  # more than there are: not this check's
        {"model": LARGE, "quantization": "torchao"},  # how many bits that leaves is not known
        {"model": MIDDLE, "kv_cache_dtype": "turboquant_k8v4"},
        {"model": "somebody/unknown"},
    ],
)
def test_silent_where_it_fits_or_is_not_known(monkeypatch: pytest.MonkeyPatch, options: dict) -> None:
    machine(monkeypatch, 24)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr("urllib.request.OpenerDirector.open", lambda *_, **__: pytest.fail("asked the network"))
    check(prepared(**options))


def test_offloading_to_memory_that_is_too_small_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, 24, ram=64)
    with pytest.raises(SpecError, match="this machine's memory"):
        check(prepared(engine="deepspeed", model=LARGE, args=["--offload", "cpu"]))


def test_gpus_that_are_given_count_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, 80, 16)
    check(prepared(model="Qwen/Qwen2.5-7B-Instruct", gpus=[0]))
    with pytest.raises(SpecError, match="does not fit"):
        check(prepared(model="Qwen/Qwen2.5-7B-Instruct", gpus=[1]))


def test_engine_of_somebody_else_that_does_not_say_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, 24)
    monkeypatch.setattr(type(engines.get("vllm")), "memory", None)
    check(prepared(model=LARGE))


def test_a_cache_given_too_small_is_to_be_larger(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine has room: a smaller model would be no remedy for a cache that somebody set."""
    machine(monkeypatch, ram=100)
    with pytest.raises(SpecError) as told:
        check(prepared("0.32.0+cpu", args=["--kv-cache-memory-bytes", "1000000"]))
    assert told.value.then.startswith("a KV cache of ")
    assert "GiB free" in told.value.what
    assert "is given 977 KiB" in told.value.why
