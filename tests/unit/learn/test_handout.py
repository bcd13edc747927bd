"""A tutorial in a folder of its own: no link of it leads nowhere, and no answer stands there before it was measured."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from llm_magics.learn import notebooks, path
from llm_magics.learn.handout import handout

LINK = re.compile(r"\]\((?!https:)([^)]*)\)")


def markdown(notebook: str) -> str:
    cells = json.loads(notebook)["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


@pytest.mark.parametrize("source", sorted(notebooks.shipped().glob("*.ipynb")), ids=lambda source: source.stem)
def test_a_tutorials_links_lead_somewhere_where_it_stands_and_in_a_copy(source: Path) -> None:
    shipped = source.read_text("utf-8")
    for target in LINK.findall(markdown(shipped)):
        assert (source.parent / target).is_file(), target
    copy = handout(shipped)
    assert LINK.findall(markdown(copy)) == []
    opened = re.findall(r"%llm learn ([\w-]+)`\)", markdown(copy))
    assert all(path.task(name).notebook for name in opened)
    assert bool(opened) == bool(re.search(r"\]\(\d\d-", markdown(shipped)))


def test_links_become_what_opens_them_and_nothing_else_changes() -> None:
    said = [
        "To [measure](02-throughput-and-latency.ipynb), see [vLLM](https://docs.vllm.ai/) and\n",
        "[what an H100 gave](../benchmarks/results/engines-on-a-gpu.md);\n",
        "[docs/production.md](../docs/production.md) has it.",
    ]
    code = ["print('[a](02-throughput-and-latency.ipynb)')"]
    ran = {"cell_type": "code", "source": code, "outputs": [{"output_type": "stream"}], "execution_count": 3}
    cells = [{"cell_type": "markdown", "source": said}, ran]
    copy = json.loads(handout(json.dumps({"cells": cells, "nbformat": 4})))
    assert copy["cells"][0]["source"] == [
        "To measure (`%llm learn benchmark`), see [vLLM](https://docs.vllm.ai/) and\n",
        "what an H100 gave (`benchmarks/results/engines-on-a-gpu.md` in the project);\n",
        "docs/production.md in the project has it.",
    ]
    assert copy["cells"][1] == {**ran, "outputs": [], "execution_count": None}
