"""Advice held against real engines: what is recommended starts, what is probed answers, the cache is as computed."""

from __future__ import annotations

import re

import pytest

import llm_magics
from llm_magics.advice.balance import per_token
from llm_magics.advice.model_facts import facts
from llm_magics.advice.probe import Tried
from llm_magics.api.advising import probe
from llm_magics.spec.reading import read_mapping


def works(tried: list[Tried]) -> set[str]:
    return {each.what for each in tried if each.works}


@pytest.mark.engine("llamacpp")
def test_the_recommended_cell_starts_and_the_server_answers_what_is_probed() -> None:
    cell = llm_magics.recommend(hardware="cpu", priority="ease").cell
    line, _, body = cell.partition("\n")
    name, _, engine = line.removeprefix("%%serve ").partition(" --engine ")
    server = llm_magics.serve(name, engine=engine, keep="cell", **read_mapping(body)[0])
    try:
        found = works(probe(server))
    finally:
        server.stop()
    assert {"chat", "completions", "key is demanded", "stream ends with [DONE]", "JSON schema", "metrics"} <= found
    assert "embeddings" not in found


@pytest.mark.engine("vllm")
def test_vllm_has_room_for_as_many_tokens_as_computed() -> None:
    size = 64 << 20
    server = llm_magics.serve(
        "room", engine="vllm", keep="cell", args=["--kv-cache-memory-bytes", str(size)], max_model_len=512
    )
    try:
        log = server.logs(400)
        found = works(probe(server))
    finally:
        server.stop()
    said = re.search(r"KV cache size: ([\d,]+) tokens", log)
    assert said
    predicted = size / per_token(facts("tiny").architecture, "bfloat16")
    assert predicted == pytest.approx(int(said[1].replace(",", "")), rel=0.03)
    assert {"chat", "responses", "tokenize", "exact length"} <= found


@pytest.mark.engine("sglang")
@pytest.mark.extra_engine
def test_sglangs_cache_takes_what_is_computed() -> None:
    server = llm_magics.serve(
        "room", engine="sglang", keep="cell", timeout=600.0, gpu_memory_utilization=0.3,
        args=["--max-total-tokens", "400000"],
    )  # fmt: skip
    try:
        log = server.logs(3000)
    finally:
        server.stop()
    sizes = [float(size) for size in re.findall(r"(?:K|V|KV) size: ([\d.]+) GB", log)]
    tokens = int(re.findall(r"#tokens: (\d+)", log)[0])
    predicted = tokens * per_token(facts("tiny").architecture, "bfloat16") / (1 << 30)
    assert predicted == pytest.approx(sum(sizes), rel=0.03)


@pytest.mark.engine("llamacpp")
def test_llamacpps_cache_takes_what_is_computed() -> None:
    server = llm_magics.serve(
        "room", engine="llamacpp", keep="cell", max_model_len=2048, max_num_seqs=8, args=["--verbosity", "4"]
    )
    try:
        log = server.logs(3000)
    finally:
        server.stop()
    found = re.search(r"size\s*=\s*([\d.]+) MiB \(\s*(\d+) cells,\s*\d+ layers,\s*(\d+)/", log)
    assert found, log
    cells = int(found[2]) * int(found[3])
    predicted = cells * per_token(facts("tiny").architecture, "f16") / (1 << 20)
    assert predicted == pytest.approx(float(found[1]), rel=0.03)
