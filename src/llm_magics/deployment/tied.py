"""`python tied.py COMMAND …`: runs a command and ends it when whoever started us is gone, however that came about.

Our standard input is a pipe of our starter's; it ends when they do, killed or not. Started by its path, standard
library only.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading


def main() -> int:
    """The command's exit status."""
    child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)

    def wait() -> None:
        os.read(0, 1)
        child.terminate()
        try:
            child.wait(5)
        except subprocess.TimeoutExpired:
            child.kill()

    threading.Thread(target=wait, daemon=True).start()
    return child.wait()


if __name__ == "__main__":
    sys.exit(main())
