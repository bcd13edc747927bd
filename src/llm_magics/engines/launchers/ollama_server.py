"""Starts Ollama, or a container of it, and puts a model in: by `pull` from its library, or from a GGUF file.

Ollama starts without a model, and its own page of readiness says nothing of one. This process stays the parent: it
speaks Ollama's HTTP API, which is the same inside and outside of a container. Standard library only; imports nothing
of ours, because it is run by its path.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_PIECE = 4 * 2**20  # bytes read of a file at once


class Refused(Exception):  # noqa: N818 - what Ollama said
    """Ollama's own words."""


def say(text: str) -> None:
    """A line for the log."""
    sys.stdout.write(f"[llm-magics] {text}\n")
    sys.stdout.flush()


class Api:
    """Ollama's HTTP API."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port

    def ask(self, method: str, path: str, body: Any = None) -> Iterator[dict[str, Any]]:
        """The documents of an answer, one a line, as they come.

        Raises
        ------
        Refused
            When Ollama says that it failed.
        """
        connection = http.client.HTTPConnection(self._host, self._port)
        try:
            data = body if hasattr(body, "read") or body is None else json.dumps(body).encode()
            length = {"Content-Length": str(Path(body.name).stat().st_size)} if hasattr(body, "read") else {}
            connection.request(method, path, data, length)
            answer = connection.getresponse()
            if method == "HEAD" and answer.status >= 400:
                raise Refused(f"{answer.status}")
            for line in answer:
                if not line.strip():
                    continue
                document = _document(line)
                if answer.status >= 400 or "error" in document:
                    raise Refused(str(document.get("error", line[:300].decode("utf-8", "replace"))))
                yield document
            if answer.status >= 400:
                raise Refused(f"HTTP {answer.status} for {path}")
        finally:
            connection.close()

    def up(self) -> bool:
        """Whether it answers."""
        try:
            return any(True for _ in self.ask("GET", "/api/version"))
        except (OSError, http.client.HTTPException, Refused):
            return False


def _document(line: bytes) -> dict[str, Any]:
    try:
        document = json.loads(line)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def follow(steps: Iterator[dict[str, Any]], doing: str) -> None:
    """Say how far a download or an import is, every tenth of it."""
    shown = ""
    for step in steps:
        done, total = step.get("completed"), step.get("total")
        text = f"{doing} {10 * (10 * done // total)} %" if done and total else doing
        if text != shown:
            say(text)
            shown = text


def pull(api: Api, model: str, name: str, adapter: Path | None = None) -> None:
    """Fetch a model of the library, and give it the name that is served."""
    follow(api.ask("POST", "/api/pull", {"model": model, "stream": True}), f"pulling {model}")
    if adapter is not None:
        made = {"model": name, "from": model, "adapters": adapters(api, adapter), "stream": True}
        follow(api.ask("POST", "/api/create", made), f"adding {adapter.name}")
    elif model not in (name, name.removesuffix(":latest")):
        list(api.ask("POST", "/api/copy", {"source": model, "destination": name}))


def create(api: Api, file: Path, name: str, adapter: Path | None = None) -> None:
    """Make a model of a GGUF file, with the template that the file brings."""
    say(f"importing {file}")
    made: dict[str, Any] = {"model": name, "files": {file.name: blob(api, file)}, "stream": True}
    if adapter is not None:
        made["adapters"] = adapters(api, adapter)
    follow(api.ask("POST", "/api/create", made), f"importing {name}")


def adapters(api: Api, path: Path) -> dict[str, str]:
    """A LoRA adapter's files as Ollama is told of them: a GGUF file, or a folder of safetensors and configuration."""
    files = [path] if path.is_file() else sorted([*path.glob("*.safetensors"), *path.glob("adapter_config.json")])
    if not files:
        raise Refused(f"there is no adapter in {path}")
    return {file.name: blob(api, file) for file in files}


def blob(api: Api, file: Path) -> str:
    """Bring a file into Ollama's store, where it is not there yet; its digest."""
    digest = hashlib.sha256()
    with file.open("rb") as source:
        while piece := source.read(_PIECE):
            digest.update(piece)
    found = f"sha256:{digest.hexdigest()}"
    try:
        list(api.ask("HEAD", f"/api/blobs/{found}"))
    except Refused:
        with file.open("rb") as source:
            list(api.ask("POST", f"/api/blobs/{found}", source))
    return found


def main() -> int:
    """Start, put the model in, stay until the server ends."""
    parser = argparse.ArgumentParser(prog="ollama_server")
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--name", required=True)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--pull", metavar="MODEL")
    source.add_argument("--gguf", metavar="FILE", type=Path)
    parser.add_argument("--adapter", metavar="PATH", type=Path, help="a LoRA adapter")
    parser.add_argument("command", nargs="+")
    asked = parser.parse_args()

    # The group gets the signal, the server with it: this process only has to outlive it.
    ending = False

    def end(*_: object) -> None:
        nonlocal ending
        ending = True

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    server = subprocess.Popen(asked.command, stdin=subprocess.DEVNULL)
    api = Api(asked.host, asked.port)
    try:
        while server.poll() is None and not api.up():
            time.sleep(0.1)
        if server.poll() is None:
            if asked.gguf is not None:
                create(api, asked.gguf, asked.name, asked.adapter)
            else:
                pull(api, asked.pull, asked.name, asked.adapter)
            say(f"loading {asked.name}")
            list(api.ask("POST", "/api/generate", {"model": asked.name, "stream": False, "keep_alive": -1}))
    except (OSError, http.client.HTTPException, Refused) as error:
        if not ending and server.poll() is None:
            say(f"failed: {error}")
            server.terminate()
            server.wait()
            return 1
    return server.wait()


if __name__ == "__main__":
    sys.exit(main())
