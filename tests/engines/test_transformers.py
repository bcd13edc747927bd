"""`transformers serve` for real: no key, no metrics, no [DONE], and lengths by way of its generation configuration."""

from __future__ import annotations

import subprocess

import conformance
import pytest

import llm_magics
from llm_magics import engines, models
from llm_magics.engines import environments
from llm_magics.engines.base import Place
from llm_magics.errors import SpecError
from llm_magics.spec import ServerSpec

pytestmark = pytest.mark.engine("transformers")


def test_it_serves_counts_and_ends() -> None:
    server = llm_magics.serve("probe", engine="transformers", keep="cell", timeout=300.0)
    assert server.model == str(models.path("tiny", "safetensors"))
    assert server.api_key is None
    conformance.speaks(server)
    conformance.keeps_lengths(server)
    assert not conformance.stream(server, max_tokens=2).done, "documented as ending without [DONE]"
    assert server.metrics() == {}
    conformance.is_measured(server)
    conformance.ends_while_streaming(server)


def test_lengths_are_kept_without_continuous_batching_too() -> None:
    server = llm_magics.serve(
        "probe", engine="transformers", keep="cell", args=["--no-continuous-batching"], timeout=300.0
    )
    try:
        conformance.keeps_lengths(server)
    finally:
        server.stop()


def test_a_wrong_flag_is_refused_by_the_engines_own_help() -> None:
    with pytest.raises(SpecError, match="has no option --bogus") as told:
        llm_magics.serve("probe", engine="transformers", keep="cell", args=["--bogus"], timeout=300.0)
    assert "its own --help does not list it" in told.value.why
    assert llm_magics.servers() == []


def test_its_own_help_knows_every_option_of_the_adapter() -> None:
    engine = engines.get("transformers")
    executable = environments.locate(engine)
    assert executable
    spec = ServerSpec(
        name="s", engine="transformers", model="org/name", revision="v1", dtype="half", quantization="bnb-8bit",
        gpu_memory_utilization=0.5, max_num_batched_tokens=64, seed=7, trust_remote_code=True,
    )  # fmt: skip
    assert set(spec.options) == {*engine.options, "model"}, "every option of the adapter is tried"
    words = engine.command(Place(executable, "127.0.0.1", 8000, "org/name"), spec).argv
    command = words[: words.index("serve") + 1]
    done = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True, timeout=300)
    known = {word.strip(",") for word in done.stdout.split() if word.startswith("--")}
    assert {word for word in words if word.startswith("--")} <= known
    assert "org/name@v1" in words
