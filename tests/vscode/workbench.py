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
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from code_server import NEWEST, OLDEST

PATIENCE = 90_000  # ms; machines that run tests are busy
RELEASE = OLDEST if os.environ.get("LLM_MAGICS_VSCODE") == "oldest" else NEWEST
BUILT = Path(__file__).parents[2] / "vscode" / "llm-magics.vsix"

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

    def prefer(self, **settings: Any) -> None:
        """Put settings of the person, beside those of all tests."""
        (self.home / "data" / "User" / "settings.json").write_text(json.dumps(SETTINGS | settings))

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


def directories(home: Path) -> dict[str, str]:
    """The environment in which engines, runs and kernels leave all they write in `home`."""
    return {"JUPYTER_RUNTIME_DIR": str(home / "runtime"), "JUPYTER_DATA_DIR": str(home / "jupyter"),
            "IPYTHONDIR": str(home / "ipython"), "HF_HUB_OFFLINE": "1"}  # fmt: skip


def packed(folder: Path, target: Path, *more: Path) -> Path:
    """An extension that is no more than some files, as VS Code installs it."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in (*folder.iterdir(), *more):
            archive.write(path, f"extension/{path.name}")
    return target


def start_code(home: Path, environment: Mapping[str, str], *extensions: Path, **settings: Any) -> Code:
    """A code-server with directories in `home`, our extension (and others) installed, a workspace opened."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    workspace = home / "work"
    workspace.mkdir()
    for kind, chosen in (("User", SETTINGS | settings), ("Machine", {"llmMagics.python": sys.executable})):
        (home / "data" / kind).mkdir(parents=True)
        (home / "data" / kind / "settings.json").write_text(json.dumps(chosen))
    options = "auth: none\ndisable-telemetry: true\ndisable-update-check: true\ndisable-workspace-trust: true\n"
    (home / "config.yaml").write_text(f"bind-addr: 127.0.0.1:{port}\n{options}")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    around = {**environment, "PATH": path, "HOME": str(home), "XDG_DATA_HOME": str(home / "xdg"), "PS1": "$ ",
              "XDG_CONFIG_HOME": str(home / "config"), "SHELL": "/bin/bash",
              "EXTENSIONS_GALLERY": '{"serviceUrl": "http://127.0.0.1:9"}'}  # fmt: skip
    command = [str(RELEASE.program), str(RELEASE.entry), "--config", str(home / "config.yaml"),
               "--user-data-dir", str(home / "data"), "--extensions-dir", str(home / "extensions")]  # fmt: skip
    install = [word for path in (BUILT, *extensions) for word in ("--install-extension", str(path))]
    installed = subprocess.run([*command, *install], env=around, capture_output=True, text=True, check=False)
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
