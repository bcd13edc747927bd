"""What only a GPU shows: memory as it was computed, what a server holds and gives back, energy, the check of a launch.

`make test-gpu` runs them where there is an NVIDIA GPU that nobody uses, on the model folder that `LLM_MAGICS_GPU_MODEL`
names (`tools/random_model.py` makes one; its weights are not read); vLLM and Transformers come from `LLM_MAGICS_ENVS`.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

import llm_magics
from llm_magics.advice.fit import fit
from llm_magics.api.fitting import demand_of
from llm_magics.errors import SpecError
from llm_magics.runtime import gpus
from llm_magics.runtime.registry import Registry
from llm_magics.spec import ServerSpec

MODEL = os.environ.get("LLM_MAGICS_GPU_MODEL", "")
GIB = 1 << 30
NEAR = 0.08


def card() -> gpus.Gpu:
    """The first GPU as it is now."""
    return gpus.gpus()[0]


def until(true: Callable[[], bool], seconds: float = 30.0) -> bool:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
    return True


def test_the_card_says_what_it_is() -> None:
    gpu = card()
    assert gpu.memory_total > 10 * GIB
    assert gpu.name
    assert gpu.driver
    assert gpu.capability is not None
    assert gpu.capability >= 7.0
    assert gpu.power is not None
    assert 0 < gpu.power <= 1.2 * (gpu.power_limit or 1e9)
    assert gpu.temperature is not None
    assert gpu.free, f"the GPU is in use: {gpu.processes}"


def test_vllm_takes_what_was_computed_and_gives_all_of_it_back() -> None:
    total, before = card().memory_total, card().memory_used
    options = {
        "max_model_len": 4096, "gpu_memory_utilization": 0.5, "enable_sleep_mode": True, "load_format": "dummy",
    }  # fmt: skip
    predicted = fit(MODEL, demand=demand_of(ServerSpec(name="s", model=MODEL, **options))).balance
    server = llm_magics.serve(
        "probe",
        engine="vllm",
        model=MODEL,
        keep="cell",
        gpus="auto",
        args=["--enforce-eager"],
        timeout=400.0,
        **options,
    )
    try:
        log = server.logs(2000)
        tokens = int(re.findall(r"KV cache size: ([\d,]+) tokens", log)[0].replace(",", ""))
        weights = float(re.findall(r"[Mm]odel loading took ([\d.]+) GiB", log)[0])
        held = card()
        print(f"weights {predicted.weights / GIB:.2f} predicted, {weights} GiB loaded")
        print(f"cache {predicted.tokens_in_cache} tokens predicted, {tokens} said")
        print(f"budget {predicted.budget / GIB:.2f} GiB, {(held.memory_used - before) / GIB:.2f} in use")
        assert predicted.weights / GIB == pytest.approx(weights, rel=NEAR)
        assert predicted.tokens_in_cache == pytest.approx(tokens, rel=NEAR)
        assert held.memory_used - before == pytest.approx(predicted.budget, rel=NEAR)

        ours = [process for process in held.processes if process.server == "probe"]
        assert ours, f"none is ours: {held.processes}"
        assert server.record.gpus == [held.index]
        assert not held.free

        with pytest.raises(SpecError, match="less free"):
            llm_magics.serve("second", engine="vllm", model=MODEL, keep="cell", max_model_len=4096)

        run = llm_magics.bench(server, concurrency=8, requests=32, input_tokens=128, output_tokens=64)
        point = run.points[0]
        print({key: point[key] for key in point if "gpu" in key or "joule" in key or "throughput" in key})
        assert point["gpu_power"] > 0
        assert point["energy_joules"] > 0
        assert point["output_tokens_per_joule"] > 0
        assert 0 < point["gpu_util"] <= 1
        assert point["max_gpu_memory"] == pytest.approx(held.memory_used, rel=0.05)

        server.sleep()
        assert until(lambda: card().memory_used < held.memory_used - predicted.weights), "sleep gave nothing back"
        server.wake()
        assert until(lambda: card().memory_used > 0.95 * held.memory_used)
        assert llm_magics.bench(server, concurrency=1, requests=4, output_tokens=8).points[0]["failed"] == 0
    finally:
        server.stop()
    assert card().memory_used - before < 0.02 * total, "stop() returned before the memory was back"


def test_a_killed_notebook_leaves_no_memory_behind() -> None:
    before = card().memory_used
    words = (
        "import llm_magics, time\n"
        "llm_magics.serve('orphan', engine='transformers', keep='cell', timeout=300.0)\n"
        "print('up', flush=True)\n"
        "time.sleep(600)\n"
    )
    kernel = subprocess.Popen([sys.executable, "-c", words], stdout=subprocess.PIPE, text=True)
    try:
        assert kernel.stdout is not None
        assert any("up" in line for line in kernel.stdout)
        assert any(process.server == "orphan" for process in card().processes)
        kernel.send_signal(signal.SIGKILL)
        kernel.wait()
        assert until(lambda: not any(record.alive for record in Registry().list()), 60.0)
        assert until(lambda: card().memory_used - before < GIB // 2, 30.0)
    finally:
        kernel.kill()
