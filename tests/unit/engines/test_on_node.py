"""What a node is asked before an engine starts there, and what it says that it lacks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from llm_magics import engines
from llm_magics.engines import asking, on_node
from llm_magics.engines.base import Executable

HERE = Path(sys.executable)


def examine(**changes: Any) -> dict[str, Any]:
    question = {"reference": engines.reference("vllm"), "given": {}, "paths": [], "across": False}
    return on_node.examine({**question, **changes})


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A Python beside Ray's, and the only one that has vLLM."""
    python = tmp_path / "bin" / "python"
    monkeypatch.setenv("LLM_MAGICS_ENVS", str(tmp_path))

    def examined(engine: Any, place: str | Path, origin: str) -> Executable | None:
        return Executable("0.33.0", python=str(python), origin=origin) if Path(place) == python else None

    monkeypatch.setattr(asking, "examined", examined)
    return python


def test_an_engine_of_one_node_may_be_in_any_python_of_it(there: Path) -> None:
    assert examine(given={"python": str(there)}) == {"python": str(there), "binary": None, "version": "0.33.0"}
    assert "has no vLLM at /nowhere/python" in examine(given={"python": "/nowhere/python"})["lacks"]


def test_one_that_goes_over_several_nodes_has_to_be_where_rays_workers_are(
    there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacks = examine(given={"python": str(there)}, across=True)["lacks"]
    assert str(there) in lacks
    assert str(HERE) in lacks
    beside = HERE.with_name("python3")
    monkeypatch.setattr(asking, "examined", lambda *_: Executable("0.33.0", python=str(beside)))
    assert examine(across=True)["version"] == "0.33.0"


def test_a_model_that_the_node_does_not_see_is_named(tmp_path: Path) -> None:
    assert examine(paths=[str(tmp_path / "gone")])["lacks"] == f"does not see {tmp_path / 'gone'}"
