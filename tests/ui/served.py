"""A JupyterLab (or Notebook 7) of a test's own: directories, token and port that nobody else has."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

PATIENCE = 90_000  # ms; machines that run tests are busy
SOURCE = Path(__file__).parents[2] / "src"

SETTINGS = {
    "@jupyterlab/apputils-extension/notification.jupyterlab-settings": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/apputils-extension/themes.jupyterlab-settings": {"adaptive-theme": True},
}


@dataclass
class Lab:
    """A running JupyterLab."""

    url: str
    token: str
    root: Path
    data: Path
    environment: dict[str, str]
    process: subprocess.Popen[bytes]

    def run(self, *arguments: str, background: bool = False) -> subprocess.Popen[bytes]:
        """`llm-magics ARGUMENTS` as this server's kernels would run it; waits for its end, unless in the background."""
        command = [sys.executable, "-m", "llm_magics.cli", *arguments]
        process = subprocess.Popen(command, env=self.environment, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        if not background:
            assert process.wait(PATIENCE / 1000) == 0, command
        return process

    def stop(self) -> None:
        """End the server."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

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


def start_lab(home: Path, port: int | None = None, *, app: str = "jupyterlab", base_url: str = "/") -> Lab:
    """A JupyterLab (or `notebook`) with directories of its own in `home`, under a base URL as a hub gives one.

    Once more in the same home: the same server anew.
    """
    for name, settings in SETTINGS.items():
        path = home / "settings" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(settings))
    (home / "notebooks").mkdir(exist_ok=True)
    if port is None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
    (home / "token").touch(mode=0o600)
    token = (home / "token").read_text() or secrets.token_hex(16)
    (home / "token").write_text(token)
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
        sys.executable, "-m", app, "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={token}",
        f"--ServerApp.base_url={base_url}",
        f"--ServerApp.root_dir={home / 'notebooks'}", "--LabApp.news_url=", "--LabApp.extension_manager=readonly",
    ]  # fmt: skip
    with (home / "log").open("a") as log:
        process = subprocess.Popen(
            command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
        )
    url = f"http://127.0.0.1:{port}{base_url.rstrip('/')}"
    found = Lab(url, token, home / "notebooks", home / "data", environment, process)
    try:
        _wait(f"{url}/api/status?token={token}", process, home / "log")
    except BaseException:
        found.stop()
        raise
    return found


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
