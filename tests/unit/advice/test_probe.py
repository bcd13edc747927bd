"""Probing: an endpoint counts when it gives what it exists for, whatever its status says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from listening import listening

from llm_magics import engines
from llm_magics.advice.probe import EXACT, Tried, probe
from llm_magics.advice.probe import Server as Asked
from llm_magics.api import advising


class Server(ThreadingHTTPServer):
    """A server with quirks: no [DONE], usage always, HTML on 404, a schema ignored, an empty embedding."""

    done = False
    schema = '{"ok": true}'
    key: str | None = None

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.read: list[str] = []


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_HEAD(self) -> None:
        self.send_response(405)
        self.end_headers()

    def do_GET(self) -> None:
        self.server.read.append(self.path)
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
    with listening(Handler, kind=Server) as made:
        yield made


def tried(server: Server, key: str | None = None) -> dict[str, bool | None]:
    return works(probe(Asked(f"http://127.0.0.1:{server.server_port}", "m", key)))


def works(tried: list[Tried]) -> dict[str, bool | None]:
    return {each.what: each.works for each in tried}


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
    found = probe(Asked(f"http://127.0.0.1:{server.server_port}", "m", "secret"))
    assert works(found)["chat"]
    assert works(found)["key is demanded"]
    assert not any("secret" in each.detail + each.request for each in found)


def test_a_server_that_is_gone_is_no_error() -> None:
    found = probe(Asked("http://127.0.0.1:9", "m"))
    assert not any(each.works for each in found)
    assert all("no answer" in each.detail for each in found if each.what in ("health", "chat"))


def test_page_that_empties_when_it_is_read_is_never_read(server: Server) -> None:
    """TensorRT-LLM's /metrics is JSON that drains; its adapter names another page, a URL is asked by HEAD first."""
    tried(server)
    assert "/metrics" not in server.read
    known = advising._known(Asked(f"http://127.0.0.1:{server.server_port}", "m"), "tensorrt_llm")
    assert not works(probe(known))["metrics"]
    assert "/metrics" not in server.read
    assert "/prometheus/metrics" in server.read


class Scripted(BaseHTTPRequestHandler):
    """A server that answers from a table of its test: "VERB /path" -> JSON, text, or a function of the body."""

    def say(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "null")
        found = self.server.pages.get(f"{self.command} {self.path}")  # type: ignore[attr-defined]
        found = found(body) if callable(found) else found
        data = (found if isinstance(found, str) else json.dumps(found)).encode()
        self.send_response(404 if found is None else 200)
        self.send_header("Content-Type", "text/plain" if isinstance(found, str) else "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_GET = do_POST = do_HEAD = say  # noqa: N815 - the names that http.server calls

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def scripted() -> Iterator[object]:
    """Makes servers that listen on a port and, where asked, on the one `beside` it."""
    with ExitStack() as made:

        def start(pages: dict, port: int = 0) -> int:
            server = made.enter_context(listening(Scripted, port=port))
            server.pages = pages  # type: ignore[attr-defined]
            return int(server.server_port)

        yield start


def triton(body: dict) -> dict | None:
    """`generate` of Triton's vLLM backend: it counts only when asked."""
    said = {"model_name": "m", "text_output": "Hello there"}
    return {**said, "num_output_tokens": body.get("max_tokens", 0)} if body.get("return_num_output_tokens") else said


def test_triton_is_asked_in_its_own_words(scripted: object) -> None:
    stream = "".join(f"data: {json.dumps({'text_output': 'a', 'num_output_tokens': 1})}\n\n" for _ in range(4))
    pages = {
        "GET /v2/health/ready": "", "GET /v2/health/live": "",
        "GET /v2": {"name": "triton", "version": "2.73.0", "extensions": ["generate"]},
        "GET /v2/models/m/ready": "",
        "GET /v2/models/m": {"name": "m", "platform": "python", "inputs": [{"name": "t"}]},
        "GET /v2/models/m/config": {"name": "m", "backend": "vllm"},
        "GET /v2/models/m/stats": {"model_stats": [{"name": "m"}]},
        "POST /v2/repository/index": [{"name": "m", "state": "READY"}],
        "POST /v2/models/m/generate": triton, "POST /v2/models/m/generate_stream": stream,
    }  # fmt: skip
    port = scripted(pages)  # type: ignore[operator]
    server = advising._known(Asked(f"http://127.0.0.1:{port}", "m"), "triton")
    assert server.metrics_beside == engines.get("triton").metrics.beside
    scripted({"GET /metrics": "# TYPE nv_inference_count counter\n"}, port + server.metrics_beside)  # type: ignore[operator]
    found = works(probe(server))
    assert {what for what, good in found.items() if not good} == {"stream ends with [DONE]", "OpenAI's chat"}
    assert {"statistics", "generate, streamed", "exact length", "metrics", "streamed counts when asked"} <= set(found)
    by_url = works(advising.probe(f"http://127.0.0.1:{port}"))
    assert by_url["generate"]
    assert by_url["metrics"] is False, "its port is not known from a URL"


def test_ollama_is_asked_for_its_own_health_and_pages(scripted: object) -> None:
    chat = {"choices": [{"message": {"content": "hi"}}], "usage": {"completion_tokens": EXACT}}
    pages = {
        "GET /api/version": {"version": "0.12.0"}, "GET /api/tags": {"models": [{"name": "m:latest"}]},
        "POST /api/chat": {"message": {"content": "hi"}, "done": True},
        "GET /v1/models": {"data": [{"id": "m"}]}, "POST /v1/chat/completions": chat,
    }  # fmt: skip
    server = advising._known(Asked(f"http://127.0.0.1:{scripted(pages)}", "m"), "ollama")  # type: ignore[operator]
    found = probe(server)
    assert works(found)["health"]
    assert {"Ollama's API", "Ollama's list", "Ollama's chat"} <= {each.what for each in found if each.works}
    assert next(each.request for each in found if each.what == "health") == "GET /api/version"
    assert not works(found)["metrics"]


def test_metrics_of_a_url_are_read_where_they_are_plain_text(scripted: object) -> None:
    pages = {
        "GET /v1/models": {"data": [{"id": "m"}]}, "HEAD /metrics": "# TYPE", "GET /metrics": "# TYPE a counter\na 1\n",
    }  # fmt: skip
    found = advising.probe(f"http://127.0.0.1:{scripted(pages)}")  # type: ignore[operator]
    assert works(found)["metrics"]


@pytest.mark.parametrize("key", ["vllm", "sglang", "tgi", "llamacpp", "transformers", "deepspeed"])
def test_every_adapter_says_where_its_pages_are(key: str) -> None:
    engine, server = engines.get(key), advising._known(Asked("http://127.0.0.1:1", "m"), key)
    assert server.health == engine.ready_path
    assert server.exact == engine.fixed_length(EXACT)
    assert server.metrics == (engine.metrics.path if engine.metrics else None)
    assert "stream_options" not in server.body
