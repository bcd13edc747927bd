"""`fit` in the words of a server's options."""

from __future__ import annotations

import pytest

from llm_magics.api.fitting import fit
from llm_magics.errors import SpecError


def test_asked_options_change_the_answer_and_others_are_refused() -> None:
    plain = fit("Qwen/Qwen2.5-7B-Instruct", gpu="H100", max_model_len=8192)
    small = fit("Qwen/Qwen2.5-7B-Instruct", gpu="H100", max_model_len=8192, kv_cache_dtype="fp8")
    assert small.balance.tokens_in_cache == pytest.approx(2 * plain.balance.tokens_in_cache, abs=2)
    half = fit("Qwen/Qwen2.5-7B-Instruct", gpu="H100", quantization="fp8")
    assert half.balance.weights < plain.balance.weights * 0.65
    with pytest.raises(SpecError, match="seed"):
        fit("tiny", seed=1)


def test_what_is_not_known_is_said_and_not_taken_for_16_bits_in_silence() -> None:
    cache = fit("Qwen/Qwen2.5-7B-Instruct", gpu="H100", kv_cache_dtype="turboquant_k8v4")
    assert any("turboquant_k8v4" in note and "not known" in note for note in cache.balance.unknown)
    assert "turboquant_k8v4 takes is not known" in str(cache)
    at_load = fit("Qwen/Qwen2.5-7B-Instruct", gpu="H100", quantization="torchao")
    assert any("how many bits torchao leaves is not known" in note for note in at_load.balance.unknown)
    latent = fit("Qwen/Qwen2.5-7B-Instruct", gpu="H100", kv_cache_dtype="fp8_ds_mla")
    assert any("for latent attention" in note for note in latent.balance.unknown)
    for known in ({}, {"kv_cache_dtype": "fp8"}, {"quantization": "fp8"}, {"kv_cache_dtype": "auto"}):
        assert not fit("Qwen/Qwen2.5-7B-Instruct", gpu="H100", **known).balance.unknown
