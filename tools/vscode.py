"""Build the extension for VS Code (vscode/) into vscode/llm-magics.vsix: bundled by rolldown, packed by vsce.

It is published nowhere. The tool that packs has a lock file of its own (vscode/package-lock.json): nobody else needs
it.
"""

from __future__ import annotations

import subprocess
import sys

from node import ROOT, npm, packages

SOURCE = ROOT / "vscode"
BUILT = SOURCE / "llm-magics.vsix"
MOST = 100_000  # bytes


def main() -> int:
    """Builds it; 0 when it worked."""
    try:
        build()
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"VS Code's extension: {error}", file=sys.stderr)
        return 1
    size = BUILT.stat().st_size
    print(f"{BUILT.relative_to(ROOT)}: {size / 1000:.1f} kB")
    if size > MOST:
        print(f"That is more than the {MOST / 1000:.0f} kB it may have.", file=sys.stderr)
        return 1
    return 0


def build() -> None:
    """Install what the build needs, and build.

    Raises
    ------
    OSError, subprocess.CalledProcessError
        When there is no node, or a step fails.
    """
    packages(ROOT)  # rolldown, and what the shared sources import
    packages(SOURCE)
    npm(SOURCE, "run", "--silent", "package")


if __name__ == "__main__":
    sys.exit(main())
