"""What is written for a terminal is read there as the same spec; a notebook's words become the terminal's."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from llm_magics import lines
from llm_magics.spec import ServerSpec
from llm_magics.spec.typed import in_terminal, options


@pytest.mark.parametrize(
    "asked",
    [
        {"engine": "vllm", "model": "Qwen/Qwen3-0.6B", "max_model_len": 8192, "gpu_memory_utilization": 0.85},
        {"gpus": [0], "enable_prefix_caching": False, "idle": 1800.0},
        {"gpus": [0, 1], "revision": "1e3", "served_model_name": "true"},
        {"env": {"A": "b, c=d", "N": "1.10"}, "args": ["--x", "a b", "--y=1,2"]},
        {"speculative": {"method": "ngram", "num_speculative_tokens": 4}, "lora_modules": {"sql": "org/sql"}},
    ],
)
def test_a_spec_survives_being_typed(asked: dict[str, Any]) -> None:
    spec = ServerSpec(name="qwen", **asked)
    line = "qwen " + options(spec.model_dump(exclude={"name"}))
    read = lines.serve("llm-magics").read(shlex.split(line))
    assert ServerSpec(name="qwen", **lines.given(read, "name", "no_wait", "replace", "dry_run", "force")) == spec


def test_a_hidden_value_is_taken_from_the_shell() -> None:
    assert options({"env": {"HF_TOKEN": "***"}}) == '--env HF_TOKEN="$HF_TOKEN"'


def test_line_magics_become_commands_and_cells_stay() -> None:
    assert in_terminal("`%llm list`; %serve a; 50 %") == "`llm-magics list`; llm-magics serve a; 50 %"
    assert in_terminal("%%serve qwen") == "%%serve qwen"
