"""Each row of a static batch samples by its own rules, with the torch of an engine's environment."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

import llm_magics.engines.launchers
from llm_magics import engines
from llm_magics.engines import environments

pytestmark = pytest.mark.engine("transformers")

# Reads rows of {fields of Ask, "said": tokens so far} and one row of logits each; writes what each row may take.
SCRIPT = """
import json, sys
import torch
from choice import Choice
from generation import Ask, Row
out = []
for case in json.load(sys.stdin):
    rows = []
    for fields in case["rows"]:
        said = fields.pop("said", [])
        fields["bias"] = {int(key): value for key, value in fields.get("bias", {}).items()}
        fields["stop_ids"] = frozenset(fields.get("stop_ids", ()))
        row = Row(Ask([1], 50, **fields), None, frozenset({0}))
        row.ids = said
        rows.append(row)
    found = []
    for _ in range(case.get("times", 1)):
        found.append(Choice(rows)(None, torch.tensor(case["logits"])).argmax(-1).tolist())
    out.append(found)
print(json.dumps(out))
"""


def takes(*cases: dict[str, Any]) -> list[Any]:
    """For each case, for each time: the token that each row takes."""
    found = environments.locate(engines.get("transformers"))
    assert found is not None
    folder = Path(llm_magics.engines.launchers.__file__).parent
    done = subprocess.run(
        [str(found.python), "-c", SCRIPT], input=json.dumps(cases), capture_output=True, text=True, timeout=300,
        cwd=folder, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


LOGITS = [0.0, 1.0, 3.0, 2.9]


def test_rows_of_one_batch_do_not_mix() -> None:
    greedy, ends, bias, presence, frequency, repetition, several = takes(
        {"rows": [{}], "logits": [LOGITS]},
        {"rows": [{"min_tokens": 2}], "logits": [[9.0, 1.0, 3.0, 2.0]]},
        {"rows": [{"bias": {"1": 100}}], "logits": [LOGITS]},
        {"rows": [{"presence": 0.5, "said": [2]}], "logits": [LOGITS]},
        {"rows": [{"frequency": 0.06, "said": [2, 2]}], "logits": [LOGITS]},
        {"rows": [{"repetition": 2.0, "said": [2]}], "logits": [LOGITS]},
        {"rows": [{}, {"bias": {"3": 1}}, {"min_tokens": 1, "stop_ids": [2]}], "logits": [LOGITS] * 3},
    )
    assert greedy == [[2]]
    assert ends == [[2]], "no end before the shortest length"
    assert bias == [[1]]
    assert presence == frequency == repetition == [[3]]
    assert several == [[2, 3, 3]]


def test_a_cut_off_leaves_only_the_likely_and_a_temperature_all() -> None:
    hot = {"temperature": 50.0}
    found = takes(
        *({"rows": [{**hot, **cut}], "logits": [LOGITS], "times": 200}
          for cut in ({}, {"top_k": 2}, {"top_p": 0.3}, {"top_p": 0.0}, {"min_p": 0.99}, {"top_k": 99}))
    )  # fmt: skip
    seen = [{row for (row,) in times} for times in found]
    assert seen[0] == {0, 1, 2, 3}
    assert seen[1] == {2, 3}
    assert seen[2] == {2, 3}
    assert seen[3] == {2}, "the likeliest stays"
    assert seen[4] == {2, 3}
    assert seen[5] == {0, 1, 2, 3}


def test_a_seed_says_the_same_whoever_shares_the_batch() -> None:
    seeded = {"temperature": 5.0, "seed": 11}
    alone, shared = takes(
        {"rows": [seeded], "logits": [LOGITS], "times": 1},
        {"rows": [{"temperature": 5.0}, seeded], "logits": [LOGITS] * 2, "times": 1},
    )
    assert alone[0][0] == shared[0][1]
