"""A docker that can be run where there is none: a client like docker's, and a daemon that runs commands of an "image".

As with the real one, a container is a child of the daemon and not of the client: killing the client leaves it running,
TERM to the client is handed on, its port is the daemon's. `image` is a Python file; variables come by name.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any


def main() -> int:
    """The client: asks the daemon whose socket DOCKER_HOST names."""
    try:
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(os.environ["DOCKER_HOST"].removeprefix("unix://"))
    except OSError:
        where = os.environ.get("DOCKER_HOST")
        sys.stderr.write(f"Cannot connect to the Docker daemon at {where}. Is the docker daemon running?\n")
        return 1
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sock.sendall(b"TERM\n"))
    sock.sendall(json.dumps({"argv": sys.argv[1:], "env": dict(os.environ)}).encode() + b"\n")
    status = 125
    for line in sock.makefile("r"):
        kind, _, text = line.rstrip("\n").partition(" ")
        if kind == "exit":
            status = int(text)
        else:
            (sys.stdout if kind == "out" else sys.stderr).write(text + "\n")
            sys.stdout.flush()
    return status


class Daemon:
    """Runs containers; lives in the test's own process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.containers: dict[str, subprocess.Popen[str]] = {}
        self.asked: list[dict[str, Any]] = []
        self.ports: dict[str, str] = {}
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(16)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """As when the machine goes down."""
        self._listener.close()
        for each in list(self.containers.values()):
            each.kill()
            each.wait()

    @property
    def running(self) -> list[str]:
        return [name for name, each in self.containers.items() if each.poll() is None]

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(sock,), daemon=True).start()

    def _answer(self, sock: socket.socket) -> None:
        lines = sock.makefile("r")
        asked = json.loads(lines.readline())
        self.asked.append(asked)

        def say(text: str) -> None:
            try:
                sock.sendall(text.encode() + b"\n")
            except OSError:
                return  # the client is gone, the container is not

        verb, *words = asked["argv"]
        with sock:
            if verb == "version":
                say("out 27.0\nexit 0")
            elif verb == "port":
                found = self.ports.get(words[0]) if words[0] in self.running else None
                say(f"out {found}\nexit 0" if found else f"err No such container: {words[0]}\nexit 1")
            elif verb == "rm":
                self._remove(words[-1])
                say("exit 0")
            elif verb == "run":
                self._run(words, asked["env"], lines, say)

    def _remove(self, name: str) -> None:
        found = self.containers.pop(name, None)
        if found is not None:
            found.kill()
            found.wait()

    def _run(self, words: list[str], environ: dict[str, str], lines: Any, say: Any) -> None:
        name = words[words.index("--name") + 1]
        values = [word.partition("=")[2] for word in words if word.startswith("--env=")]
        env = {key: value or environ.get(key, "") for key, _, value in (each.partition("=") for each in values)}
        image = next(word for word in words if word.endswith((".py", "missing")))
        if image.endswith("missing"):
            say(f"err Unable to find image '{image}:latest' locally")
            say(f"err docker: Error response from daemon: pull access denied for {image}, repository does not exist")
            say("exit 125")
            return
        host, outer, inner = next(w for w in words if w.startswith("--publish=")).partition("=")[2].split(":")
        self.ports[name] = f"{inner}/tcp -> {host}:{outer}"
        rest = words[words.index(image) + 1 :]
        # No network of its own here: the program listens on the published port itself.
        rest[rest.index("--port") + 1] = outer
        process = subprocess.Popen(
            [sys.executable, image, *rest], env={**env, "PATH": os.environ["PATH"]},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        self.containers[name] = process
        threading.Thread(target=lambda: [process.terminate() for _ in lines], daemon=True).start()
        for line in process.stdout or ():
            say(f"out {line.rstrip()}")
        say(f"exit {process.wait()}")
        self.containers.pop(name, None)


if __name__ == "__main__":
    sys.exit(main())
