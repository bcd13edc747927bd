"""A VS Code with our extension, and the browser of tests/ui. `make test-vscode` installs what that takes."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
sys.path.insert(0, str(Path(__file__).parents[1] / "ui"))
sys.path.insert(0, str(Path(__file__).parent))

from browsing import HERE, browser, picture  # noqa: F401 - fixtures
from workbench import PATIENCE, RELEASE, Code, directories, start_code

# Names that VS Code's service worker answers in the page; no resolver of this browser's knows them.
OWN = re.compile(r"https://[\w.+-]+\.vscode-(?:resource\.vscode-)?cdn\.net/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder needs a browser and a VS Code."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)
            if not RELEASE.installed:
                item.add_marker(pytest.mark.skip(reason=f"there is no {RELEASE.wanted}: make test-vscode"))


@pytest.fixture(scope="session")
def code(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Code]:
    """A code-server on loopback."""
    home = tmp_path_factory.mktemp("vscode")
    found = start_code(home, {**os.environ, **directories(home)})
    yield found
    found.stop()


@pytest.fixture(autouse=True)
def no_engine_is_left(code: Code) -> Iterator[None]:
    """A test that fails in the middle does not fail the next."""
    yield
    code.llm_magics("stop", "--all")


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:  # noqa: F811 - the fixture
    """A fresh page in a profile of its own; it makes no error, and asks nobody outside."""
    context = browser.new_context(viewport={"width": 1280, "height": 860})
    context.set_default_timeout(PATIENCE)
    errors: list[str] = []
    outside: list[str] = []
    made = context.new_page()
    made.on("pageerror", lambda error: errors.append(f"{error}\n{error.stack or ''}"))
    made.on("request", lambda request: outside.append(request.url))
    yield made
    context.close()
    assert errors == []
    assert [url for url in outside if not url.startswith(HERE) and not OWN.match(url)] == []
