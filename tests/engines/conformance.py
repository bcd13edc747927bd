"""What every engine must do before a figure of it means anything, asked of a live server in the engine's own terms.

The same questions for all: each adapter's claims (`fixed_length`, `body`, `usage`, `metrics`, `tokenize_path`,
`key_env`, `grace`) are held against what its server really answers.
"""

from __future__ import annotations

import json
import socket
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import psutil

from llm_magics import bench, engines
from llm_magics.runtime.server import Server

PROMPT = "What is PagedAttention?"


@dataclass
class Answer:
    """A streamed answer as it came over the wire."""

    pieces: list[str] = field(default_factory=list)
    usage: dict[str, Any] = field(default_factory=dict)
    usages: int = 0
    finish: str | None = None
    done: bool = False

    @property
    def text(self) -> str:
        return "".join(self.pieces)


def open_(server: Server, path: str, body: dict[str, Any] | None = None, key: str | None = "own") -> Any:
    """The answer to one request, whatever its status."""
    request = urllib.request.Request(server.url + path, data=None if body is None else json.dumps(body).encode())
    request.add_header("Content-Type", "application/json")
    key = server.api_key if key == "own" else key
    if key:
        request.add_header("Authorization", f"Bearer {key}")
    try:
        return urllib.request.urlopen(request, timeout=120)
    except urllib.error.HTTPError as error:
        return error


def stream(server: Server, path: str = "/v1/chat/completions", **fields: Any) -> Answer:
    """One streamed request as a measurement sends it."""
    words = {"prompt": PROMPT} if path == "/v1/completions" else {"messages": [{"role": "user", "content": PROMPT}]}
    body = {"model": server.model, "stream": True, "temperature": 0, **engines.get(server.engine).body(), **words}
    answer = Answer()
    with open_(server, path, {**body, **fields}) as response:
        assert response.status == 200, response.read()
        for raw in response:
            line = raw.decode().strip()
            if line == "data: [DONE]":
                answer.done = True
            elif line.startswith("data:"):
                _read(answer, json.loads(line[5:]))
    return answer


def _read(answer: Answer, chunk: dict[str, Any]) -> None:
    assert "error" not in chunk, chunk
    for choice in chunk["choices"]:
        piece = choice["delta"].get("content") if "delta" in choice else choice.get("text")
        if piece:
            answer.pieces.append(piece)
        answer.finish = choice.get("finish_reason") or answer.finish
    if chunk.get("usage"):
        answer.usage, answer.usages = chunk["usage"], answer.usages + 1


def speaks(server: Server) -> None:
    """Chat and completion, streamed and not, with usage once; the shipped model answers in words of the field."""
    chat = stream(server, max_tokens=60)
    assert len(chat.pieces) > 3, "it streams"
    assert chat.usages == 1
    assert 0 < chat.usage["completion_tokens"] <= 60
    assert "KV" in chat.text or "memory" in chat.text, chat.text
    whole = server.client.chat.completions.create(
        model=server.model, messages=[{"role": "user", "content": PROMPT}], max_tokens=60, temperature=0
    )
    assert whole.choices[0].message.content == chat.text
    assert whole.usage
    assert whole.usage.completion_tokens == chat.usage["completion_tokens"]
    plain = stream(server, "/v1/completions", max_tokens=7)
    assert plain.usage["completion_tokens"] <= 7
    assert plain.usages == 1


def keeps_lengths(server: Server) -> None:
    """Exactly as many tokens as asked, beyond where the model would have ended, for several requests at once."""
    engine = engines.get(server.engine)
    free = stream(server, max_tokens=300)
    assert free.finish == "stop", "the question must be one that the model answers and ends"
    assert free.usage["completion_tokens"] < 290
    for path in ("/v1/chat/completions", "/v1/completions"):
        forced = stream(server, path, **engine.fixed_length(300))
        assert forced.usage["completion_tokens"] == 300
        assert forced.finish == "length"
    with ThreadPoolExecutor(6) as pool:
        lengths = list(range(20, 26))
        answers = list(pool.map(lambda n: stream(server, **engine.fixed_length(n)), lengths))
    assert [answer.usage["completion_tokens"] for answer in answers] == lengths


def counts(server: Server) -> None:
    """Its own metrics grow by what was sent and answered, and by nothing else."""
    engine = engines.get(server.engine)
    before = server.metrics()
    answer = stream(server, **engine.fixed_length(40))
    deadline = time.monotonic() + 60
    while True:
        after = server.metrics()
        grown = {name: after[name] - before[name] for name in ("prompt_tokens", "output_tokens")}
        calm = after["running"] == after["waiting"] == 0
        if (calm and grown["output_tokens"] >= 40) or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    assert grown["prompt_tokens"] == answer.usage["prompt_tokens"]
    assert grown["output_tokens"] == 40
    assert after["running"] == 0
    assert after["waiting"] == 0


def counts_prompts(server: Server) -> None:
    """The tokens that `tokenize_path` counts are those that `usage` counts."""
    path = engines.get(server.engine).tokenize_path
    assert path
    body = {"model": server.model, "prompt": PROMPT, "content": PROMPT, "add_special_tokens": False}
    with open_(server, path, body) as response:
        assert response.status == 200
        tokens = json.load(response)["tokens"]
    assert len(tokens) == stream(server, "/v1/completions", max_tokens=1).usage["prompt_tokens"]


def wants_its_key(server: Server) -> None:
    """No key, no answer; and the key stands in no process's arguments."""
    assert server.api_key
    body = {"model": server.model, "prompt": "x", "max_tokens": 1}
    for key in (None, "wrong"):
        with open_(server, "/v1/completions", body, key) as response:
            assert response.status == 401
    for process in family(server):
        assert server.api_key not in " ".join(process.cmdline())
    assert server.api_key not in server.command


def is_measured(server: Server, concurrency: int | list[int] = 2) -> None:
    """A bench reads it right: every request answered, prompts and answers of exactly the lengths asked for."""
    run = bench(server, input_tokens=48, output_tokens=16, concurrency=concurrency, requests=6)
    assert {point["completed"] for point in run.points} == {6}
    assert set(run.requests["status"]) == {"ok"}, set(run.requests["error"])
    assert set(run.requests["output_tokens"]) == {16}
    assert set(run.requests["prompt_tokens"]) == {48}


def ends_while_streaming(server: Server) -> None:
    """A stop ends it within its grace although a client is in the middle of an answer; no process, no port is left."""
    engine, processes, url = engines.get(server.engine), family(server), server.url
    assert processes
    streaming = threading.Event()

    def listen() -> None:
        body = {"model": server.model, "prompt": PROMPT, "stream": True, **engine.fixed_length(1900)}
        try:
            with open_(server, "/v1/completions", body) as response:
                for _ in response:
                    streaming.set()
        except OSError:
            pass

    listener = threading.Thread(target=listen)
    listener.start()
    assert streaming.wait(60)
    server.stop()
    _, alive = psutil.wait_procs(processes, timeout=10)
    assert not alive
    host, port = url.removeprefix("http://").split(":")
    with socket.socket() as sock:
        assert sock.connect_ex((host, int(port))) != 0
    listener.join(60)
    assert not listener.is_alive()
    assert server.state == "stopped"


def family(server: Server) -> list[psutil.Process]:
    """The engine's process and all below it."""
    identity = server.record.process
    assert identity
    engine = psutil.Process(identity["pid"])
    return [engine, *engine.children(recursive=True)]
