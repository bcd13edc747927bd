"""A JupyterLab and a browser for the tests that look at what a person sees.

`lab` is one server for the session, with directories of its own; `page` a fresh page that records page errors and
aborts (and records) every request that leaves this machine: both lists must stay empty. The browser is the system's
Chromium; set CHROMIUM to name another. Set LLM_MAGICS_SCREENSHOTS to a folder to keep the pictures.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import pytest

PATIENCE = 90_000  # ms; machines that run tests are busy
SOURCE = Path(__file__).parents[2] / "src"

SETTINGS = {
    "@jupyterlab/apputils-extension/notification.jupyterlab-settings": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/apputils-extension/themes.jupyterlab-settings": {"adaptive-theme": True},
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder needs a browser."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@dataclass
class Lab:
    """A running JupyterLab."""

    url: str
    token: str
    root: Path
    data: Path

    def write(self, name: str, cells: list[Any]) -> str:
        """A trusted notebook of cells in the server's folder; returns its name."""
        from nbformat.sign import NotebookNotary

        notebook = nbformat.v4.new_notebook(cells=cells)
        notebook.metadata["kernelspec"] = {
            "name": "python3",
            "display_name": "Python 3 (ipykernel)",
            "language": "python",
        }
        nbformat.write(notebook, self.root / name)
        # signed as it will be read: the writer normalizes some of it
        NotebookNotary(data_dir=str(self.data)).sign(nbformat.read(self.root / name, as_version=4))
        return name

    def open(self, page: Any, name: str) -> None:
        """Open a notebook alone, without the file browser, and wait for its cells."""
        page.goto(f"{self.url}/doc/tree/{name}?token={self.token}&reset")
        page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=PATIENCE)


@dataclass
class Seen:
    """What a page did that it should not have."""

    errors: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A JupyterLab on loopback; its kernels import the package from this checkout."""
    home = tmp_path_factory.mktemp("lab")
    for name, settings in SETTINGS.items():
        path = home / "settings" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(settings))
    (home / "notebooks").mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    own = {
        "JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "workspaces", "IPYTHONDIR": "ipython",
    }  # fmt: skip
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("JUPYTER", "LLM_MAGICS"))},
        **{key: str(home / name) for key, name in own.items()},
        "PYTHONPATH": os.pathsep.join([str(SOURCE), str(SOURCE.parent / "tests" / "unit" / "results")]),
    }
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={token}",
        f"--ServerApp.root_dir={home / 'notebooks'}", "--LabApp.news_url=", "--LabApp.extension_manager=readonly",
    ]  # fmt: skip
    with (home / "log").open("w") as log:
        process = subprocess.Popen(
            command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
        )
    try:
        _wait(f"http://127.0.0.1:{port}/api/status?token={token}", process, home / "log")
        yield Lab(f"http://127.0.0.1:{port}", token, home / "notebooks", home / "data")
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    from playwright.sync_api import sync_playwright

    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"]  # fmt: skip
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, headless=True, args=flags)
        yield chromium
        chromium.close()


@pytest.fixture
def new_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Makes pages: `new_page(scheme="dark")`; each has `seen`, and is checked when the test is over."""
    contexts, pages = [], []

    def make(scheme: str = "light", width: int = 1180, height: int = 1000) -> Any:
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": height})
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.seen = Seen()
        page.on("pageerror", lambda error: page.seen.errors.append(str(error)))
        context.route("**/*", lambda route: _guard(route, page.seen))
        contexts.append(context)
        pages.append(page)
        return page

    yield make
    for context in contexts:
        context.close()
    for page in pages:
        assert page.seen.errors == []
        assert page.seen.outside == []


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


def _guard(route: Any, seen: Seen) -> None:
    url = route.request.url
    if url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:", "file:")):
        route.continue_()
    else:
        seen.outside.append(url)
        route.abort()


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + PATIENCE / 1000
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"JupyterLab ended:\n{log.read_text()[-2000:]}")
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError(f"JupyterLab did not answer:\n{log.read_text()[-2000:]}")
