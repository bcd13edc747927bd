"""Launchers are run by file path and find each other beside themselves; so they are imported here."""

from __future__ import annotations

from pathlib import Path

import pytest

import llm_magics.engines.launchers


@pytest.fixture(autouse=True)
def beside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(llm_magics.engines.launchers.__file__).parent))
