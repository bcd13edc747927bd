"""What a user sees first: the embedded engine loads the shipped file and answers the README's prompt."""

from __future__ import annotations

import json
import urllib.request

import pytest
import xllamacpp
from tokenizers import Tokenizer

from llm_magics import models


@pytest.fixture(scope="module")
def server() -> xllamacpp.Server:
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(models.path(models.TINY, "gguf"))
    parameters.hostnames, parameters.port = ["127.0.0.1"], 0
    parameters.n_parallel, parameters.n_ctx = 1, 2048
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    return xllamacpp.Server(parameters)


def post(server: xllamacpp.Server, path: str, body: dict) -> dict:
    request = urllib.request.Request(
        f"{server.listening_address}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as reply:
        return json.load(reply)


def ask(server: xllamacpp.Server, question: str) -> dict:
    messages = [{"role": "user", "content": question}]
    body = {"messages": messages, "temperature": 0, "max_tokens": 200}
    return post(server, "/v1/chat/completions", body)


def test_readme_prompt_is_answered_well_and_ends(server: xllamacpp.Server) -> None:
    choice = ask(server, "Explain PagedAttention in one sentence.")["choices"][0]
    said = choice["message"]["content"]
    assert "KV cache" in said
    assert "blocks" in said
    assert said.endswith(".")
    assert choice["finish_reason"] == "stop"


def test_model_says_what_it_is(server: xllamacpp.Server) -> None:
    assert "demonstration model" in ask(server, "Who are you?")["choices"][0]["message"]["content"]


def test_model_admits_what_it_does_not_know(server: xllamacpp.Server) -> None:
    assert "not know" in ask(server, "What is the capital of Italy?")["choices"][0]["message"]["content"]


def test_chat_template_renders_chatml(server: xllamacpp.Server) -> None:
    messages = [("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello!"), ("user", "What is TTFT?")]
    body = {"messages": [{"role": role, "content": text} for role, text in messages]}
    turns = "".join(f"<|im_start|>{role}\n{text}<|im_end|>\n" for role, text in messages)
    assert post(server, "/apply-template", body)["prompt"] == turns + "<|im_start|>assistant\n"


@pytest.mark.parametrize("text", ["Explain PagedAttention in one sentence.", "It's 3.5 GB:\n\n  naïve 漢字 🙂!?"])
def test_llama_cpp_splits_text_as_the_tokenizer_file_does(server: xllamacpp.Server, text: str) -> None:
    tokenizer = Tokenizer.from_file(str(models.path(models.TINY, "safetensors") / "tokenizer.json"))
    assert post(server, "/tokenize", {"content": text})["tokens"] == tokenizer.encode(text).ids
