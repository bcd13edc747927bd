"""Where the project keeps things on this machine; floor 0.

Jupyter's own directories, so that notebook, sidebar, terminal and VS Code find the same ones: servers in the runtime
directory, runs and environments in the data directory. Every directory made here is private to the user (0700).
"""

from __future__ import annotations

from pathlib import Path


def runtime_dir() -> Path:
    """Directory of server records, logs and keys; created with mode 0700."""
    from jupyter_core.paths import jupyter_runtime_dir

    return _private(Path(jupyter_runtime_dir()) / "llm-magics")


def data_dir() -> Path:
    """Directory of the run store, spools and engine environments; created with mode 0700."""
    from jupyter_core.paths import jupyter_data_dir

    return _private(Path(jupyter_data_dir()) / "llm-magics")


def spool_dir() -> Path:
    """Directory of runs that are being measured, or whose kernel died meanwhile."""
    return _private(data_dir() / "spool")


def _private(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.stat().st_mode & 0o077:
        path.chmod(0o700)
    return path
