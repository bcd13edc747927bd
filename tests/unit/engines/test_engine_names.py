"""Which engines there are: ours without installed metadata, others by entry point, and what a wrong name is told."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from llm_magics import engines
from llm_magics.engines.base import Engine
from llm_magics.errors import SpecError


def test_names_are_ours_first() -> None:
    assert engines.names()[:3] == ["llamacpp", "vllm", "transformers"]


@pytest.mark.parametrize("key", ["llamacpp", "vllm", "transformers"])
def test_every_adapter_says_what_a_reader_needs(key: str) -> None:
    engine = engines.get(key)
    assert engine.key == key
    assert engine.title
    assert engine.url.startswith("https://")
    assert engine.install.hint
    assert engine.install.modules
    assert engine.stages
    assert engine.failures


def test_a_wrong_name_is_told_the_nearest_and_all() -> None:
    with pytest.raises(SpecError, match="did you mean 'vllm'") as told:
        engines.get("vlm")
    assert "llamacpp, vllm, transformers" in str(told.value)


def test_importing_the_package_loads_no_adapter_and_the_adapters_load_nothing_big() -> None:
    code = (
        "import sys, llm_magics.engines as e\n"
        "assert not [m for m in sys.modules if m.startswith('llm_magics.engines.')], sys.modules\n"
        "for key in e.BUILT_IN: e.load(e.reference(key))\n"
        "big = {'pydantic', 'yaml', 'numpy', 'torch', 'IPython', 'jupyter_core', 'xllamacpp', 'transformers', 'vllm'}\n"
        "assert not big & set(sys.modules), big & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


class Other(Engine):
    """As a package of somebody else's would write it."""

    key, title = "other", "Other"


other = Other()
nothing = object()


def _announced(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    found = EntryPoints([EntryPoint("other", value, engines.GROUP), EntryPoint("vllm", "else:where", engines.GROUP)])
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: found)


def test_an_engine_of_another_package_is_found_and_none_replaces_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    _announced(monkeypatch, f"{__name__}:other")
    assert engines.names() == [*engines.BUILT_IN, "other"]
    assert engines.get("other") is other
    assert engines.reference("vllm").startswith("llm_magics.")


@pytest.mark.parametrize(
    ("value", "told"), [("no_such_module:engine", "no_such_module"), (f"{__name__}:nothing", "object")]
)
def test_a_broken_engine_of_another_package_is_named(monkeypatch: pytest.MonkeyPatch, value: str, told: str) -> None:
    _announced(monkeypatch, value)
    with pytest.raises(SpecError, match=told):
        engines.get("other")
