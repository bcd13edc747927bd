"""`transformers serve` for real: no key, no metrics, no [DONE], and lengths by way of its generation configuration."""

from __future__ import annotations

import conformance
import pytest

import llm_magics
from llm_magics import models
from llm_magics.errors import LaunchError

pytestmark = pytest.mark.engine("transformers")


def test_it_serves_counts_and_ends() -> None:
    server = llm_magics.serve("probe", engine="transformers", keep="cell", timeout=300.0)
    assert server.model == str(models.path("tiny", "safetensors"))
    assert server.api_key is None
    conformance.speaks(server)
    conformance.keeps_lengths(server)
    assert not conformance.stream(server, max_tokens=2).done, "documented as ending without [DONE]"
    assert server.metrics() == {}
    conformance.ends_while_streaming(server)


def test_lengths_are_kept_without_continuous_batching_too() -> None:
    server = llm_magics.serve(
        "probe", engine="transformers", keep="cell", args=["--no-continuous-batching"], timeout=300.0
    )
    try:
        conformance.keeps_lengths(server)
    finally:
        server.stop()


def test_a_wrong_flag_ends_in_the_engines_own_words() -> None:
    with pytest.raises(LaunchError, match="does not know an option") as told:
        llm_magics.serve("probe", engine="transformers", keep="cell", args=["--bogus"], timeout=300.0)
    assert "No such option '--bogus'" in told.value.why
