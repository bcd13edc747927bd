"""vLLM for real: the build for CPUs where there is no GPU, the same adapter as on one."""

from __future__ import annotations

import conformance
import pytest

import llm_magics
from llm_magics.errors import LaunchError

pytestmark = pytest.mark.engine("vllm")


def test_it_serves_counts_and_ends() -> None:
    server = llm_magics.serve("probe", engine="vllm", keep="cell", max_num_seqs=8, timeout=300.0)
    assert server.model == "tiny"
    conformance.speaks(server)
    conformance.keeps_lengths(server)
    conformance.counts(server)
    conformance.counts_prompts(server)
    conformance.wants_its_key(server)
    assert 0 <= server.metrics()["kv_usage"] <= 1
    conformance.ends_while_streaming(server)


def test_a_cache_too_small_is_told_with_the_length_that_fits() -> None:
    with pytest.raises(LaunchError, match="256 tokens would fit") as told:
        llm_magics.serve(
            "probe", engine="vllm", keep="cell", args=["--kv-cache-memory-bytes", "1000000"], timeout=300.0
        )
    assert "max_model_len: 256" in told.value.then
