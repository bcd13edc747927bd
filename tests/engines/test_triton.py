"""Triton for real: a repository with the Python backend, spoken to by generate_stream."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import conformance
import psutil
import pytest

import llm_magics
from llm_magics import engines
from llm_magics.api.targets import resolve
from llm_magics.errors import LaunchError, TargetError
from llm_magics.load.answers import answers

pytestmark = [pytest.mark.engine("triton"), pytest.mark.extra_engine]


def test_it_generates_counts_and_ends() -> None:
    server = llm_magics.serve("probe", engine="triton", keep="cell", timeout=300.0)
    assert server.model == "tiny"
    with pytest.raises(TargetError, match="does not speak OpenAI's API") as told:
        _ = server.client
    assert server.url in told.value.why

    said = answers({"probe": resolve(server).endpoint}, conformance.PROMPT, max_tokens=9)["probe"]
    assert said.error is None
    assert said.text
    assert said.tokens == 9
    assert said.finish == "length"
    whole = _generate(server, {"max_tokens": 9, "temperature": 0})
    assert whole["text_output"] == said.text, "streamed and whole say the same"
    assert whole["num_input_tokens"] == said.prompt_tokens

    before = server.metrics()
    conformance.is_measured(server, [1, 3])
    time.sleep(0.5)
    after = server.metrics()
    assert after["running"] == after["waiting"] == 0
    assert after["output_tokens"] - before["output_tokens"] >= 12 * 16

    processes = conformance.family(server)
    assert len(processes) == 3, "the launcher, tritonserver, the backend's interpreter"
    streaming = threading.Thread(
        target=lambda: answers({"probe": resolve("probe").endpoint}, conformance.PROMPT, max_tokens=1900)
    )
    streaming.start()
    time.sleep(0.5)
    server.stop()
    _, alive = psutil.wait_procs(processes, timeout=1)
    assert not alive, "no tritonserver is orphaned"
    streaming.join(20)
    assert not streaming.is_alive()
    assert not list(Path("/dev/shm").glob("llm_magics_triton_*"))


def test_too_much_is_refused_in_words() -> None:
    server = llm_magics.serve("probe", engine="triton", keep="cell", timeout=300.0)
    try:
        said = answers({"probe": resolve(server).endpoint}, "x", max_tokens=5000)["probe"]
        assert said.error
        assert "the context is 2048 tokens" in said.error
    finally:
        server.stop()


def test_an_option_of_the_vllm_backend_alone_is_told() -> None:
    with pytest.raises(LaunchError, match="no vLLM backend"):
        llm_magics.serve("probe", engine="triton", keep="cell", max_num_batched_tokens=512, timeout=300.0)


def _generate(server: llm_magics.runtime.server.Server, fields: dict[str, object]) -> dict[str, object]:
    body = {"text_input": conformance.PROMPT, **engines.get("triton").body(), **fields}
    with conformance.open_(server, f"/v2/models/{server.model}/generate", body) as response:
        assert response.status == 200, response.read()
        found: dict[str, object] = json.load(response)
        return found
