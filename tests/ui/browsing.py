"""A browser for the tests that look at what a person sees, in JupyterLab and in VS Code.

`page` is a fresh page that records page errors and every request that leaves this machine: both lists must stay empty.
No name but this machine is known to the browser, so such a request reaches nobody. (No route of Playwright's stops
them: that would take the cache away, and ask this process for each of Lab's two hundred files.) The browser is the
system's Chromium; set CHROMIUM to name another. Set LLM_MAGICS_SCREENSHOTS to a folder to keep the pictures.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from served import PATIENCE

OURS = "/lab/extensions/llm-magics/"  # where an error of our own came from, in its stack
HERE = ("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:", "file:", "about:")


@dataclass
class Seen:
    """What a page did that it should not have.

    `ours_only` is for a test that ends the page's server, or that runs in another application than Lab: what that
    application says of it is not ours to keep silent, and comes when it likes.
    """

    errors: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    ours_only: bool = False

    def wrong(self) -> list[str]:
        """The errors that count, and each request that would have left this machine."""
        return [error for error in self.errors if OURS in error or not self.ours_only] + self.outside


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    from playwright.sync_api import sync_playwright

    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
             "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]  # fmt: skip
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, headless=True, args=flags)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def shared(browser: Any) -> Iterator[Any]:
    """The profile that pages of one test after another share: what Lab is made of is loaded and compiled once."""
    context = browser.new_context()
    yield context
    context.close()


@pytest.fixture
def new_page(browser: Any, shared: Any) -> Iterator[Callable[..., Any]]:
    """Makes pages: `new_page(scheme="dark")`; each has `seen`, and is checked when the test is over.

    The second page of a test is that of another person, or of another server: in a profile of its own.
    """
    contexts, pages = [], []

    def make(scheme: str = "light", width: int = 1180, height: int = 1000) -> Any:
        if pages:
            contexts.append(browser.new_context())
        page = (contexts[-1] if pages else shared).new_page()
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme=scheme)
        page.set_default_timeout(PATIENCE)
        page.seen = seen = Seen()
        page.on("pageerror", lambda error: seen.errors.append(f"{error}\n{error.stack or ''}"))
        page.on("request", lambda request: _look(request.url, seen))
        page.on("websocket", lambda socket: _look(socket.url, seen))
        pages.append(page)
        return page

    yield make
    for page in pages:
        page.close()
    for context in contexts:
        context.close()
    wrong = [each for page in pages for each in page.seen.wrong()]
    assert not wrong, "\n".join(wrong)


@pytest.fixture
def page(new_page: Callable[..., Any]) -> Any:
    """A fresh page in the light theme."""
    return new_page()


@pytest.fixture
def picture(tmp_path: Path) -> Callable[[Any, str], Path]:
    """Takes a screenshot of a page or an element; kept where LLM_MAGICS_SCREENSHOTS says."""
    folder = Path(os.environ.get("LLM_MAGICS_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)

    def take(what: Any, name: str) -> Path:
        path = folder / f"{name}.png"
        what.screenshot(path=str(path))
        return path

    return take


def _look(url: str, seen: Seen) -> None:
    if not url.startswith(HERE):
        seen.outside.append(url)
