"""fit, engines and recommend in a terminal: text for people, one JSON document for programs, errors in words."""

from __future__ import annotations

import json

import pytest

from llm_magics import verbs
from llm_magics.cli import main
from llm_magics.engines import environments
from llm_magics.engines.base import Executable
from llm_magics.runtime import gpus


def run(*words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    status = main(list(words))
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def test_fit_in_words_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    line = ("fit", "Qwen/Qwen2.5-7B-Instruct", "--gpu", "H100", "--max-model-len", "8K", "--max-num-seqs", "64")
    status, out, _ = run(*line, capsys=capsys)
    assert status == 0
    assert out.startswith("Qwen/Qwen2.5-7B-Instruct fits on one H100")
    data = json.loads(run(*line, "--json", capsys=capsys)[1])
    assert (data["fits"], data["holds"], data["context"], data["sequences"]) == (True, True, 8192, 64)
    assert data["kv_bytes_per_token"] == 57_344
    assert data["weights"] == 15_231_233_024  # what the hub's index says of this model


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["fit"], "model"),
        (["fit", "tiny", "--gpu", "H1000"], "H100"),
        (["fit", "tiny", "--memory", "much"], "24GB"),
        (["fit", "tiny", "--gpu", "H100", "--memory", "24GB"], "not allowed"),
        (["fit", "/nowhere"], "/nowhere"),
        (["fit", "somebody/something"], "HF_HUB_OFFLINE"),
        (["recommend", "--hardware", "nvidai"], "nvidia"),
        (["recommend", "--hardwar", "nvidia"], "--hardware"),
    ],
)
def test_what_is_wrong_is_said(words: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run(*words, capsys=capsys)
    assert status == 2
    assert reason in err


def test_probe_of_a_server_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run("engines", "--probe", "nobody", capsys=capsys)
    assert status == 2
    assert "nobody" in err


@pytest.mark.parametrize(("verb", "key"), [("engines", "command"), ("doctor", "remedy")])
def test_what_installs_an_engine_is_said_as_it_is_typed_there(
    verb: str, key: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`%llm install` in a notebook; in a terminal, and for what reads its JSON, `llm-magics install`."""
    monkeypatch.setattr(environments, "locate", lambda engine, **_: None)
    cell = " ".join(str(verbs.VERBS[verb].run(verbs.parser(verb, "%llm").read([])).shown).split())
    assert "%llm install vllm" in cell
    assert "llm-magics install" not in cell
    text = " ".join(run(verb, capsys=capsys)[1].split())
    assert "llm-magics install vllm" in text
    assert "%llm" not in text
    assert "llm-magics install vllm" in {each[key] for each in json.loads(run(verb, "--json", capsys=capsys)[1])}


def test_matrix_as_json_has_every_engine(capsys: pytest.CaptureFixture[str]) -> None:
    data = json.loads(run("engines", "--matrix", "--json", capsys=capsys)[1])
    assert len(data["engines"]) == 9
    assert data["cells"]["openai_api"]["tensorrt_llm"]["guide"] == {
        "says": "via wrapper", "now": "outdated", "why": "trtllm-serve is an OpenAI-compatible server",
    }  # fmt: skip


def test_recommend_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    data = json.loads(run("recommend", "--hardware", "amd", "--json", capsys=capsys)[1])
    assert data["ranked"][0]["engine"] == "vllm"
    assert data["given"] == ["hardware"]
    assert {"tensorrt_llm"} <= {each["engine"] for each in data["excluded"]}


def test_serve_stops_before_a_start_that_cannot_succeed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    card = gpus.Gpu(0, "u", "Card", "1", 24 << 30, 0)
    monkeypatch.setattr(gpus, "gpus", lambda registry=None: [card])
    monkeypatch.setattr(environments, "locate", lambda engine, **_: Executable("0.33.0", python="python"))
    line = ("serve", "big", "--engine", "vllm", "--model", "meta-llama/Llama-3.1-70B", "--dry-run")
    status, _, err = run(*line, capsys=capsys)
    assert status == 2
    assert "does not fit on one Card" in err
    assert "--force" in err
    status, out, _ = run(*line, "--force", capsys=capsys)
    assert status == 0
    assert "meta-llama/Llama-3.1-70B" in out
