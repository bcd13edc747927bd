"""Build the JupyterLab sidebar (labextension/) and link it into this environment.

Built once: a second call does nothing until a source or the lock file changes. Where no node is to be had (`node.py`),
everything but the sidebar works, and this says so; `--required` makes that a failure, for those who build the wheel.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from node import OLDEST, ROOT, fingerprint, npm, packages

SOURCE = ROOT / "labextension"
SHARED_CODE = ROOT / "packages" / "model"  # with VS Code's
BUILT = SOURCE / "dist"
STAMP = BUILT / ".built"  # of which sources it was built
SHARED = Path(sys.prefix) / "share" / "jupyter" / "labextensions" / "llm-magics"
CONFIG = Path(sys.prefix) / "etc" / "jupyter" / "jupyter_server_config.d" / "llm_magics.json"


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
            packages(ROOT)
            npm(ROOT, "run", "--silent", asked.script)
            return 0
        build()
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"The sidebar: {error}", file=sys.stderr)
        if asked.required or asked.script != "build":
            return 1
        print(f"Everything else works without it. To build it takes node {OLDEST} or newer, and npm.", file=sys.stderr)
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
    packages(ROOT)
    STAMP.unlink(missing_ok=True)
    npm(ROOT, "run", "--silent", "build")
    shutil.copy(SOURCE / "install.json", BUILT)
    STAMP.write_text(digest)


def is_current() -> bool:
    """Whether what is built was built from the sources that are here."""
    return STAMP.is_file() and STAMP.read_text() == fingerprint(source_files())


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
