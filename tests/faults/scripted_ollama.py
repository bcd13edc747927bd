"""An `ollama` that answers as the real one does, as far as our launcher and readers ask it: routes of server/routes.go.

Its models are a folder (`OLLAMA_MODELS`), its address is `OLLAMA_HOST`; it speaks chat as `engine_quirks.ollama`.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

LIBRARY = ("known:1b", "hf.co/org/name:Q4")
STORE = Path(os.environ["OLLAMA_MODELS"])


def _file(name: str) -> Path:
    return STORE / (name if ":" in name.rsplit("/", 1)[-1] else f"{name}:latest").replace("/", "__")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._say(200 if (STORE / self.path.rsplit("/", 1)[1]).exists() else 404, b"")

    def do_GET(self) -> None:
        if self.path == "/api/version":
            self._json(200, {"version": "0.20.0"})
        elif self.path == "/v1/models":
            names = [
                each.name.replace("__", "/") for each in STORE.iterdir() if ":" in each.name and each.suffix != ".b"
            ]
            self._json(200, {"data": [{"id": name} for name in names if not name.startswith("sha256")]})
        elif _file(self.path.rsplit("/", 1)[1]).exists():
            self._json(200, {"id": self.path.rsplit("/", 1)[1]})
        else:
            self._json(404, {"error": {"message": "model not found"}})

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.startswith("/api/blobs/"):
            digest = self.path.rsplit("/", 1)[1]
            right = digest == f"sha256:{hashlib.sha256(data).hexdigest()}"
            if right:
                (STORE / digest).write_bytes(data)
            self._json(201 if right else 400, {} if right else {"error": "digest mismatch"})
            return
        body = json.loads(data or b"{}")
        answer: Any = {
            "/api/pull": self._pull, "/api/create": self._create, "/api/copy": self._copy, "/api/generate": self._load,
            "/v1/chat/completions": self._chat,
        }.get(self.path)  # fmt: skip
        answer(body)

    def _pull(self, body: dict[str, Any]) -> None:
        if body["model"] not in LIBRARY:
            self._lines({"status": "pulling manifest"}, {"error": "pull model manifest: file does not exist"})
            return
        time.sleep(0.3)
        steps = [{"status": "pulling abc", "total": 100, "completed": done} for done in (0, 31, 64, 100)]
        _file(body["model"]).touch()
        self._lines({"status": "pulling manifest"}, *steps, {"status": "success"})

    def _create(self, body: dict[str, Any]) -> None:
        for _, adapter in body.get("adapters", {}).items():
            if not (STORE / adapter).exists():
                self._lines({"error": "adapter blob not found"})
                return
        if "adapters" in body:
            sys.stderr.write(f"adapters: {', '.join(body['adapters'])} on {body.get('from') or 'files'}\n")
        if "from" in body:
            known = _file(body["from"]).exists()
            if known:
                _file(body["model"]).touch()
            self._lines({"status": "success"} if known else {"error": "model not found"})
            return
        ((_, digest),) = body["files"].items()
        if not (STORE / digest).read_bytes().startswith(b"GGUF"):
            self._lines({"error": "unsupported content type: unknown"})
            return
        _file(body["model"]).touch()
        self._lines({"status": "parsing GGUF"}, {"status": "success"})

    def _copy(self, body: dict[str, Any]) -> None:
        _file(body["destination"]).touch()
        self._say(200, b"")

    def _load(self, body: dict[str, Any]) -> None:
        sys.stderr.write(f"loaded {body['model']} keep_alive={body['keep_alive']}\n")
        self._json(200, {"done": True, "done_reason": "load"})

    def _chat(self, body: dict[str, Any]) -> None:
        usage = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
        chunks = [{"choices": [{"index": 0, "delta": {"role": "assistant", "content": " word"}}]}] * 3
        last = [{"choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "stop"}]},
                {"choices": [], "usage": usage}]  # fmt: skip
        text = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in [*chunks, *last]) + "data: [DONE]\n\n"
        self._say(200, text.encode(), "text/event-stream")

    def _lines(self, *documents: dict[str, Any]) -> None:
        self._say(200, "".join(json.dumps(each) + "\n" for each in documents).encode(), "application/x-ndjson")

    def _json(self, status: int, document: Any) -> None:
        self._say(status, json.dumps(document).encode())

    def _say(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


def main() -> None:
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write("Warning: could not connect to a running Ollama instance\nWarning: client version is 0.20.0\n")
        return
    STORE.mkdir(parents=True, exist_ok=True)
    host, _, port = os.environ["OLLAMA_HOST"].rpartition(":")
    sys.stderr.write(f'level=INFO msg="Listening on {host}:{port} (version 0.20.0)"\n')
    sys.stderr.write(f"parallel={os.environ.get('OLLAMA_NUM_PARALLEL')}\n")
    ThreadingHTTPServer((host, int(port)), Handler).serve_forever()


if __name__ == "__main__":
    main()
