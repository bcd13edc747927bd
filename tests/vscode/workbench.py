"""A VS Code of a test's own (code-server): directories, settings and port that nobody else has, our extension in it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATIENCE = 90_000  # ms; machines that run tests are busy
ROOT = Path(__file__).parents[2]
PLACE = ROOT / ".cache" / "vscode"
NODE = PLACE / "bin" / "node"
SERVER = PLACE / "server" / "node_modules" / "code-server" / "out" / "node" / "entry.js"
BUILT = ROOT / "vscode" / "llm-magics.vsix"

SETTINGS = {
    "chat.disableAIFeatures": True,
    "security.workspace.trust.enabled": False,
    "telemetry.telemetryLevel": "off",
    "workbench.startupEditor": "none",
    "workbench.colorTheme": "Default Light Modern",
    "workbench.secondarySideBar.defaultVisibility": "hidden",
    "extensions.autoUpdate": False,
    "terminal.integrated.enablePersistentSessions": False,
    "terminal.integrated.gpuAcceleration": "off",  # its rows are then in the page, to be read
    "window.commandCenter": False,
    "files.simpleDialog.enable": True,
}


@dataclass
class Code:
    """A running code-server."""

    url: str
    home: Path
    workspace: Path
    environment: dict[str, str]
    process: subprocess.Popen[bytes]

    def set(self, **settings: Any) -> None:
        """Put settings of this machine, where interpreters belong; `llmMagics_python` is `llmMagics.python`."""
        path = self.home / "data" / "Machine" / "settings.json"
        path.write_text(json.dumps({key.replace("_", "."): value for key, value in settings.items()}))

    def llm_magics(self, *words: str) -> str:
        """`llm-magics WORDS` with this server's directories; what it prints."""
        command = [sys.executable, "-m", "llm_magics.cli", *words]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def stop(self) -> None:
        """End the server, and its extension hosts with it."""
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def start_code(home: Path, environment: Mapping[str, str]) -> Code:
    """A code-server with directories in `home`, our extension installed, a workspace opened."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    workspace = home / "work"
    workspace.mkdir()
    for kind, settings in (("User", SETTINGS), ("Machine", {"llmMagics.python": sys.executable})):
        (home / "data" / kind).mkdir(parents=True)
        (home / "data" / kind / "settings.json").write_text(json.dumps(settings))
    options = "auth: none\ndisable-telemetry: true\ndisable-update-check: true\ndisable-workspace-trust: true\n"
    (home / "config.yaml").write_text(f"bind-addr: 127.0.0.1:{port}\n{options}")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    around = {**environment, "PATH": path, "HOME": str(home), "XDG_DATA_HOME": str(home / "xdg"), "PS1": "$ ",
              "XDG_CONFIG_HOME": str(home / "config"), "SHELL": "/bin/bash",
              "EXTENSIONS_GALLERY": '{"serviceUrl": "http://127.0.0.1:9"}'}  # fmt: skip
    command = [str(NODE), str(SERVER), "--config", str(home / "config.yaml"), "--user-data-dir", str(home / "data"),
               "--extensions-dir", str(home / "extensions")]  # fmt: skip
    installed = subprocess.run(
        [*command, "--install-extension", str(BUILT)], env=around, capture_output=True, text=True, check=False
    )
    assert installed.returncode == 0, installed.stdout + installed.stderr
    log = (home / "code-server.log").open("wb")
    process = subprocess.Popen(
        [*command, str(workspace)], env=around, stdout=log, stderr=log, start_new_session=True
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + PATIENCE / 1000
    while True:
        try:
            urllib.request.urlopen(f"{url}/healthz", timeout=5).close()
            return Code(url, home, workspace, around, process)
        except (urllib.error.URLError, OSError):
            if process.poll() is not None or time.monotonic() > deadline:
                words = (home / "code-server.log").read_text()[-2000:]
                raise RuntimeError(f"code-server does not answer:\n{words}") from None
            time.sleep(0.2)
