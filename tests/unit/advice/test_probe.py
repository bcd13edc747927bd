"""Probing: an endpoint counts when it gives what it exists for, whatever its status says."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from llm_magics.advice.probe import probe


class Server(ThreadingHTTPServer):
    """A server with quirks: no [DONE], usage always, HTML on 404, a schema ignored, an empty embedding."""

    done = False
    schema = '{"ok": true}'
    key: str | None = None


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        pages = {
            "/health": (200, ""),
            "/v1/models": (200, json.dumps({"data": [{"id": "m"}]})),
            "/metrics": (200, "<html>not metrics</html>"),
        }
        self.say(*pages.get(self.path, (404, "<html>")))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.key and self.headers.get("Authorization") != f"Bearer {self.server.key}":
            return self.say(401, '{"error": "Unauthorized"}')
        if "no_such_field" in body or "ignore_eos" in body:
            return self.say(422, '{"detail": "Unexpected fields"}')
        if self.path == "/v1/embeddings":
            return self.say(200, '{"data": []}')
        if self.path == "/v1/responses":
            return self.say(200, '["of another shape"]')
        if self.path != "/v1/chat/completions":
            return self.say(404, "<html>")
        if body.get("stream"):
            chunks = [{"choices": [{"delta": {"content": "a"}}]}, {"choices": [], "usage": {"completion_tokens": 1}}]
            lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks] + ["data: [DONE]\n\n"] * self.server.done
            return self.say(200, "".join(lines))
        content = self.server.schema if "response_format" in body else "hello"
        return self.say(200, json.dumps({"choices": [{"message": {"content": content}}], "usage": {}}))

    def say(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if text.startswith("<") else "application/json")
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def tried(server: Server, key: str | None = None) -> dict[str, bool | None]:
    return {each.what: each.works for each in probe(f"http://127.0.0.1:{server.server_port}", "m", key)}


def test_what_answers_with_something_else_does_not_count(server: Server) -> None:
    found = tried(server)
    assert {what for what, works in found.items() if works} == {
        "health", "models", "chat", "chat, streamed", "streamed usage when asked", "usage unasked", "JSON schema",
    }  # fmt: skip
    assert {"metrics", "embeddings", "responses", "completions", "stream ends with [DONE]"} <= {
        what for what, works in found.items() if not works
    }


def test_done_and_a_schema_that_is_ignored_are_seen(server: Server) -> None:
    server.done, server.schema = True, "yes, of course"
    found = tried(server)
    assert found["stream ends with [DONE]"]
    assert not found["JSON schema"]


def test_an_object_that_a_small_model_did_not_finish_is_of_the_schema(server: Server) -> None:
    server.schema = '{"ok": true \n\n\n\n'
    assert tried(server)["JSON schema"]
    server.schema = '{"ok": "perhaps'
    assert not tried(server)["JSON schema"]


def test_key_is_sent_and_its_absence_tried(server: Server) -> None:
    server.key = "secret"
    found = probe(f"http://127.0.0.1:{server.server_port}", "m", "secret")
    works = {each.what: each.works for each in found}
    assert works["chat"]
    assert works["key is demanded"]
    assert not any("secret" in each.detail + each.request for each in found)


def test_a_server_that_is_gone_is_no_error() -> None:
    found = probe("http://127.0.0.1:9", "m")
    assert not any(each.works for each in found)
    assert all("no answer" in each.detail for each in found if each.what in ("health", "chat"))
