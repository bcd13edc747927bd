"""Every engine's dialect, spoken by a scripted server and read through the engine's own adapter: bench and compare
must see the same tokens in all of them, and ask none for what it would refuse."""

from __future__ import annotations

import json
import sys
import urllib.request
from typing import TYPE_CHECKING, Any

import engine_quirks
import pytest

import llm_magics
from llm_magics import compare, engines
from llm_magics.api.benching import measured
from llm_magics.api.targets import Target
from llm_magics.engines import metrics
from llm_magics.engines.base import Command
from llm_magics.load.answers import answers
from llm_magics.load.endpoint import Endpoint
from llm_magics.results.run import Run
from llm_magics.runtime.server import Server
from llm_magics.runtime.stop import stop
from llm_magics.spec import Workload

if TYPE_CHECKING:
    from conftest import Servers

TOKENS, REQUESTS = 8, 6
HELD = ("vllm", "sglang", "tensorrt_llm", "transformers", "llamacpp")  # can be held to an exact length
FREE = ("tgi", "ollama")  # cannot
PAGES = {
    "vllm": "vllm:num_requests_running 1.0\nvllm:generation_tokens_total 48.0\n",
    "sglang": "sglang:num_running_reqs 1.0\nsglang:generation_tokens_total 48.0\n",
    "tensorrt_llm": 'trtllm_num_requests_running{model_name="m"} 1.0\ntrtllm_generation_tokens_total 48.0\n',
    "tgi": "tgi_batch_current_size 1\ntgi_request_generated_tokens_sum 48\n",
    "llamacpp": "llamacpp:requests_processing 1\nllamacpp:tokens_predicted_total 48\n",
}


def endpoint(key: str, url: str) -> Endpoint:
    """As `api.targets` makes it for a server of this engine."""
    engine = engines.get(key)
    return Endpoint(
        url=url,
        model="m",
        body=engine.body(),
        fixed_length=engine.fixed_length,
        json_answer=engine.json_answer,
        sample=(lambda: metrics.read(url, engine)) if engine.metrics else None,
    )


def bench(key: str, server: Any) -> Run:
    target = Target(key, endpoint(key, server.url), {"target": key, "engine": key, "engine_version": "1", "model": "m"})
    work = Workload(input_tokens=16, output_tokens=TOKENS, concurrency=2, requests=REQUESTS, warmup=0)
    return measured(target, work)


@pytest.mark.parametrize("key", [*HELD, *FREE])
def test_bench_reads_every_dialect(key: str) -> None:
    with engine_quirks.api(key).running() as server:
        run = bench(key, server)
    assert set(run.requests["status"]) == {"ok"}, set(run.requests["error"])
    made = TOKENS if key in HELD else TOKENS // 2
    assert list(run.requests["output_tokens"]) == [made] * REQUESTS
    assert run.summary["completed"] == REQUESTS
    assert run.summary["total_output_tokens"] == made * REQUESTS
    assert (run.requests["ttft"] > 0).all()
    assert (run.requests["e2e"] >= run.requests["ttft"]).all()


@pytest.mark.parametrize("key", FREE)
def test_lengths_that_were_not_kept_are_told(key: str) -> None:
    with engine_quirks.api(key).running() as server:
        run = bench(key, server)
    assert any("token" in flag and str(TOKENS) in flag for flag in run.flags), run.flags


def test_compare_puts_all_dialects_side_by_side() -> None:
    """Two engines that make the same number of tokens differ in nothing that is counted."""
    runs = []
    for key in HELD:
        with engine_quirks.api(key).running() as server:
            runs.append(bench(key, server))
    table = compare(runs).table
    assert len(table) >= 1
    assert {run.summary["total_output_tokens"] for run in runs} == {TOKENS * REQUESTS}


SCHEMA = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
OPENAI = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True}}


@pytest.mark.parametrize(
    ("key", "asked"),
    [
        ("tgi", {"type": "json", "value": SCHEMA}),
        ("tensorrt_llm", {"type": "json", "schema": SCHEMA}),
        ("vllm", OPENAI),
        ("sglang", OPENAI),
        ("llamacpp", OPENAI),
    ],
)
def test_a_schema_is_asked_for_in_every_dialect(key: str, asked: dict[str, Any]) -> None:
    """TGI refuses OpenAI's words, TensorRT-LLM 1.2 takes them and constrains nothing."""
    with engine_quirks.api(key).running() as server:
        target = Target(key, endpoint(key, server.url), {"target": key, "engine": key, "model": "m"})
        work = Workload(input_tokens=16, output_tokens=TOKENS, requests=2, concurrency=1, warmup=0, json_schema=SCHEMA)
        run = measured(target, work)
    assert set(run.requests["status"]) == {"ok"}, set(run.requests["error"])
    assert server.bodies[-1]["response_format"] == asked


@pytest.mark.parametrize("key", [*HELD, *FREE])
def test_answers_are_whole_in_every_dialect(key: str) -> None:
    with engine_quirks.api(key).running() as server:
        answer = answers({"a": endpoint(key, server.url)}, "say word", max_tokens=6)["a"]
    assert answer.error is None
    assert answer.finish == "length"
    assert answer.text is not None
    assert answer.text.split() == ["word"] * len(answer.text.split())
    assert answer.tokens == len(answer.text.split()) > 0


def test_a_server_without_usage_is_counted_by_nobody() -> None:
    """No figure is better than a guess that looks like one: chunks are not tokens."""
    with engine_quirks.api("mii").running() as server:
        target = Target("mii", Endpoint(url=server.url, model="m"), {"target": "mii", "model": "m"})
        run = measured(target, Workload(input_tokens=16, output_tokens=TOKENS, concurrency=1, requests=2, warmup=0))
    assert set(run.requests["status"]) == {"ok"}
    assert run.requests["output_tokens"].isna().all() or any("usage" in flag for flag in run.flags), run.flags


@pytest.mark.parametrize("key", PAGES)
def test_metrics_have_the_same_names(key: str) -> None:
    engine = engines.get(key)
    assert engine.metrics is not None
    server = engine_quirks.api(key)
    server.pages[engine.metrics.path] = lambda: ("200 OK", PAGES[key])
    with server.running():
        found = metrics.read(server.url, engine)
    assert (found["running"], found["output_tokens"]) == (1.0, 48.0)


def test_a_second_of_health_is_in_no_start_and_in_no_figure(servers: Servers) -> None:
    """SGLang's `/health` makes a token and takes a second: a server of ours is asked `/ready`, and `/health` never."""
    engine = engines.get("sglang")
    program = [sys.executable, engine_quirks.__file__, "sglang"]
    record = servers.start(
        engine="sglang",
        build=lambda port: Command([*program, str(port), engine.key_env]),
        request={"engine": engine, "reference": engines.reference("sglang")},
    )
    try:
        run = llm_magics.bench("s", input_tokens=16, output_tokens=TOKENS, concurrency=2, requests=REQUESTS, warmup=0)
        told, key = Server("s").metrics(), servers.registry.key("s")
        request = urllib.request.Request(f"{record.url}/asked", headers={"Authorization": f"Bearer {key}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            asked = json.load(answer)
    finally:
        stop("s", registry=servers.registry)
    assert asked[:4] == ["GET /ready"] * 4, "it was loading when it was asked first"
    assert not {"GET /health", "GET /ready"} & set(asked[4:])
    assert list(run.requests["status"]) == ["ok"] * REQUESTS, set(run.requests["error"])
    assert list(run.requests["output_tokens"]) == [TOKENS] * REQUESTS
    assert list(run.requests["cached_tokens"]) == [engine_quirks.TEMPLATE] * REQUESTS
    assert run.header["engine"] == "sglang"
    assert told == {"running": 0.0, "output_tokens": TOKENS * REQUESTS}


def test_a_page_that_empties_when_read_is_never_read() -> None:
    """Another reader of TensorRT-LLM's JSON statistics loses nothing by our bench."""
    server, drained = engine_quirks.api("tensorrt_llm"), engine_quirks.Drained()
    server.pages |= {"/metrics": drained, "/prometheus/metrics": lambda: ("200 OK", PAGES["tensorrt_llm"])}
    with server.running():
        bench("tensorrt_llm", server)
    assert drained.reads == 0
    assert len(drained.queue) == 2


def test_what_an_engine_refuses_is_refused_by_its_quirk() -> None:
    """The scripted servers are as strict as the real ones: vLLM's fields fail where they would."""
    for key, status in (("tensorrt_llm", 400), ("transformers", 422)):
        with engine_quirks.api(key).running() as server:
            wrong = Endpoint(url=server.url, model="m", body={"continuous_usage": True})
            answer = answers({"a": wrong}, "hi", max_tokens=2)["a"]
        assert str(answer.error).startswith(f"HTTP {status}"), answer.error
    with engine_quirks.api("tgi").running() as server:
        wrong = Endpoint(url=server.url, model="m", body={"response_format": OPENAI})
        assert str(answers({"a": wrong}, "hi", max_tokens=2)["a"].error).startswith("HTTP 422")
