"""A shell with the magics in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from IPython.core.interactiveshell import InteractiveShell

import llm_magics


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    shell = InteractiveShell()
    llm_magics.load_ipython_extension(shell)
    yield shell
    llm_magics.unload_ipython_extension(shell)
