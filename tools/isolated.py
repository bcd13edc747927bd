"""Run a command with Jupyter directories of its own, and fail when it leaves a server running.

Notebook tests run in kernels that see the user's directories otherwise: they would adopt or stop the user's servers.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path


def main(command: list[str]) -> int:
    """Runs the command; its exit status, or 1 when servers or a monitor were left running (they are stopped)."""
    with tempfile.TemporaryDirectory(prefix="llm-magics-") as home:
        for kind in ("RUNTIME", "DATA", "CONFIG"):
            directory = Path(home, kind.lower())
            directory.mkdir(mode=0o700)
            os.environ[f"JUPYTER_{kind}_DIR"] = str(directory)
        os.environ["IPYTHONDIR"] = str(Path(home, "ipython"))
        status = subprocess.run(command, check=False).returncode
        from llm_magics.api import stop

        left = stop(every=True)
        from llm_magics.monitor.running import down

        left += ["the monitor"] if down() else []
        if left:
            print(f"left running: {', '.join(left)}", file=sys.stderr)
        return status or bool(left)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
