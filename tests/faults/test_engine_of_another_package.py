"""An engine that a package of somebody else's brings: found by its entry point, served, measured, told of in errors."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import llm_magics
from llm_magics import engines
from llm_magics.api.serving import dry_run
from llm_magics.engines import environments
from llm_magics.errors import LaunchError, SpecError

ADAPTER = '''
from llm_magics.engines.base import Engine, Failure, Flag, Install, Metrics, Stage

class Fast(Engine):
    """An engine as docs/engines.md shows one."""

    key, title, url = "fast", "Fast", "https://fast.example"
    install = Install(modules=("fast_engine",), distributions=("fast-engine",), hint="pip install fast-engine")
    options = {"max_num_seqs": Flag("--slots")}
    key_env = "FAST_API_KEY"
    metrics = Metrics("/metrics", {"running": ("fast:running",), "output_tokens": ("fast:tokens",)})
    stages = (Stage(r"loading shard (\\d+)/(\\d+)", "loading weights {0}/{1}"),)
    failures = (Failure(r"no room for (\\d+) slots", "there is no room for {0} slots", "max_num_seqs: 4"),)

    def program(self, place, spec):
        server = __file__.replace("__init__", "server")
        return [place.executable.python, server, "--port", str(place.port)]

    def fixed_length(self, tokens):
        return {"max_tokens": tokens, "ignore_eos": True}

engine = Fast()
'''
SERVER = """
import json, os, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

if "99" in sys.argv:
    sys.exit("no room for 99 slots")
print("loading shard 1/1", flush=True)

class Handler(BaseHTTPRequestHandler):
    protocol_version, tokens = "HTTP/1.1", 0

    def do_GET(self):
        known = {"/health": "ok", "/metrics": f"fast:running 0\\nfast:tokens {Handler.tokens}\\n"}
        self.answer(200 if self.path in known else 404, known.get(self.path, ""))

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers.get("Authorization") != "Bearer " + os.environ["FAST_API_KEY"]:
            return self.answer(401, "{}")
        Handler.tokens += body["max_tokens"]
        chat = "messages" in body
        prompt = body["messages"][-1]["content"] if chat else body["prompt"]
        usage = {"prompt_tokens": len(prompt.split()) + 3 * chat, "completion_tokens": body["max_tokens"]}
        if not body.get("stream"):
            whole = {"index": 0, "finish_reason": "length", "text": " word", "message": {"content": " word"}}
            return self.answer(200, json.dumps({"choices": [whole], "usage": usage}))
        piece = {"delta": {"content": " word"}} if chat else {"text": " word"}
        said = [{"choices": [{"index": 0, "finish_reason": None, **piece}]}] * body["max_tokens"]
        last = {"index": 0, "finish_reason": "length", **({"delta": {}} if chat else {"text": ""})}
        said += [{"choices": [last]}, {"choices": [], "usage": usage}]
        self.answer(200, "".join(f"data: {json.dumps(each)}\\n\\n" for each in said) + "data: [DONE]\\n\\n")

    def answer(self, status, text):
        self.send_response(status)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass

ThreadingHTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Handler).serve_forever()
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `pip install fast-engine` would leave in site-packages, in a folder that is thrown away."""
    code, facts = tmp_path / "fast_engine", tmp_path / "fast_engine-1.4.dist-info"
    code.mkdir()
    facts.mkdir()
    (code / "__init__.py").write_text(ADAPTER)
    (code / "server.py").write_text(SERVER)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: fast-engine\nVersion: 1.4\n")
    (facts / "entry_points.txt").write_text(f"[{engines.GROUP}]\nfast = fast_engine:engine\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))  # the supervisor is another process; installed, it would need none


@pytest.mark.usefixtures("package")
def test_it_is_found_served_measured_and_ended() -> None:
    assert "fast" in engines.names()
    (here,) = [each for each in environments.inventory() if each.key == "fast"]
    assert (here.installed, here.version, here.title) == (True, "1.4", "Fast")
    server = llm_magics.serve("probe", engine="fast", model="org/any", max_num_seqs=4, keep="cell")
    try:
        assert "--slots 4" in server.command
        assert server.record.engine_version == "1.4"
        assert server.api_key
        run = llm_magics.bench(server, input_tokens=12, output_tokens=5, requests=4, concurrency=2)
        assert set(run.requests["status"]) == {"ok"}, set(run.requests["error"])
        assert set(run.requests["output_tokens"]) == {5}
        assert run.header["engine"] == "fast"
        assert server.metrics()["output_tokens"] >= 20
        pid = server.record.process["pid"]
    finally:
        server.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.usefixtures("package")
def test_its_failures_and_its_gaps_are_told_as_ours() -> None:
    with pytest.raises(LaunchError, match="Fast did not start: there is no room for 99 slots") as told:
        llm_magics.serve("probe", engine="fast", model="org/any", max_num_seqs=99, keep="cell")
    assert "max_num_seqs: 4" in told.value.then
    with pytest.raises(SpecError, match="Fast has no option for seed"):
        dry_run("probe", engine="fast", model="org/any", seed=1)
    with pytest.raises(SpecError) as told_other:
        dry_run("probe", engine="transformers", max_num_seqs=2)
    assert "Fast" in told_other.value.why, "it is named among the engines that have what another lacks"
