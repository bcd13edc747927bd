#!/usr/bin/env python3
"""A kubectl that can forward a port where there is no cluster: to the port of this machine that TO_PORT names.

MOOD: `well`, `refused` (ends at once with a message), `silent` (opens nothing), `dies` (ends after AFTER s). Its pid is
written to PID_FILE, so that a test can see that it is gone.
"""

import os
import shutil
import socket
import sys
import threading
import time
from pathlib import Path


def copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def main() -> int:
    Path(os.environ["PID_FILE"]).write_text(str(os.getpid()))
    mood = os.environ.get("MOOD", "well")
    if mood == "refused":
        print("error: unable to forward port because pod is not running. Current status=Pending", file=sys.stderr)
        return 1
    if mood == "silent":
        time.sleep(60)
        return 1
    assert sys.argv[-1].startswith(":")
    assert sys.argv[sys.argv.index("--address") + 1] == "127.0.0.1"
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"Forwarding from 127.0.0.1:{listener.getsockname()[1]} -> 8000", flush=True)
    if mood == "dies":

        def die() -> None:
            time.sleep(float(os.environ["AFTER"]))
            print("error: lost connection to pod", file=sys.stderr, flush=True)
            os._exit(1)

        threading.Thread(target=die, daemon=True).start()
    while True:
        one, _ = listener.accept()
        other = socket.create_connection(("127.0.0.1", int(os.environ["TO_PORT"])))
        for pair in ((one, other), (other, one)):
            threading.Thread(target=copy, args=pair, daemon=True).start()


def install(folder: Path) -> None:
    """Put it on a folder as `kubectl`."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "kubectl"
    shutil.copy(__file__, program)
    program.write_text(f"#!{sys.executable}\n" + Path(__file__).read_text().split("\n", 1)[1])
    program.chmod(0o755)


if __name__ == "__main__":
    sys.exit(main())
