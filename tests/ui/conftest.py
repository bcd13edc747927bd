"""A JupyterLab and a browser for the tests that look at what a person sees.

`lab` is one server for the session, with directories of its own; the browser is that of `browsing.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from browsing import browser, new_page, page, picture, shared  # noqa: F401 - fixtures
from served import Lab, start_lab

from llm_magics.runtime.registry import Registry


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder needs a browser."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A JupyterLab on loopback; its kernels import the package from this checkout."""
    found = start_lab(tmp_path_factory.mktemp("lab"))
    yield found
    found.stop()


@pytest.fixture
def registry(lab: Lab) -> Iterator[Registry]:
    """The server's directory of engines; emptied of what a test wrote into it."""
    directory = Path(lab.environment["JUPYTER_RUNTIME_DIR"]) / "llm-magics"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    before = set(directory.iterdir())
    yield Registry(directory)
    for path in set(directory.iterdir()) - before:
        path.unlink(missing_ok=True)  # the server clears up too
