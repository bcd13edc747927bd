"""A JupyterLab and a browser for the tests that look at what a person sees.

`lab` is one server for the session, with directories of its own; the browser is that of `browsing.py`.
"""

from __future__ import annotations

import os
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


@pytest.fixture(autouse=True)
def stopped(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a test served ends with it, also where the test failed half-way: the next finds an empty panel."""
    yield
    if "lab" not in request.fixturenames:
        return
    lab: Lab = request.getfixturevalue("lab")
    registry = Registry(directory_of(lab))
    for record in registry.list():
        if record.alive and record.supervisor["pid"] != os.getpid():  # this process stands for the others' supervisor
            lab.run("stop", record.name)
    for path in registry.directory.iterdir():
        if path.is_file():
            path.unlink(missing_ok=True)  # the server clears up too


@pytest.fixture
def registry(lab: Lab) -> Registry:
    """The server's directory of engines."""
    return Registry(directory_of(lab))


def directory_of(lab: Lab) -> Path:
    """Where its kernels and its server keep the records of engines."""
    directory = Path(lab.environment["JUPYTER_RUNTIME_DIR"]) / "llm-magics"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return directory
