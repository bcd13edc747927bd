"""The terminal's twin of the magics: exit statuses, one JSON document, reasons on stderr."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from llm_magics import cli, verbs
from llm_magics.answer import Answer
from llm_magics.cli import main
from llm_magics.runtime import identity
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry
from llm_magics.runtime.server import Server


def run(*words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    status = main(list(words))
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def test_usage_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run("--help", capsys=capsys)
    assert status == 0
    for verb in (*verbs.names(), "serve", "bench", "compare"):
        assert f"\n{verb} " in out
    assert run(capsys=capsys)[0] == 2


@pytest.mark.parametrize("verb", [*verbs.names(), "serve", "bench", "compare"])
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(verb, "--help", capsys=capsys)
    assert status == 0
    assert out.startswith(f"usage: llm-magics {verb}")


@pytest.mark.parametrize(
    ("verb", "places"),
    [("keep", "NAME DURATION"), ("stop", "[NAME]"), ("serve", "NAME"), ("compare", "[TARGET …]"), ("list", "")],
)
def test_help_begins_with_what_stands_in_a_place(verb: str, places: str, capsys: pytest.CaptureFixture[str]) -> None:
    first = run(verb, "--help", capsys=capsys)[1].splitlines()[0]
    assert first == " ".join(f"usage: llm-magics {verb} {places} [options]".split())


@pytest.mark.parametrize("verb", ["list", "gpus", "engines", "runs", "doctor", "learn"])
def test_json_is_one_document(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(verb, "--json", capsys=capsys)
    assert status == 0
    assert isinstance(json.loads(out), list)


@pytest.mark.parametrize("verb", ["list", "gpus", "engines", "runs", "doctor", "learn"])
def test_text_is_for_people(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(verb, capsys=capsys)
    assert status == 0
    assert out.strip()
    assert "<" not in out.replace("<Server", "")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["lst"], "did you mean 'list'"),
        (["serve"], "name"),
        (["serve", "a", "--max-num-sqs", "2"], "did you mean '--max-num-seqs'"),
        (["serve", "a", "--engine", "vlm"], "did you mean 'vllm'"),
        (["serve", "a", "--model", "/nowhere/model.gguf"], "/nowhere/model.gguf"),
        (["bench", "nobody", "--rate", "1", "--concurrency", "1"], "exclude each other"),
        (["compare", "one"], "two sides"),
        (["compare", "a", "b", "--report", "/no/such/folder/r.html"], "cannot be written"),
        (["bench", "tiny", "--data", "df"], "--data"),
        (["bench", "tiny", "--out", "r"], "--out"),
        (["stop"], "--all"),
        *(([verb, "nobody"], "There is no server 'nobody'") for verb in ("bench", "stop", "logs", "sleep", "wake")),
        *(([verb, "nobody"], "There is no server 'nobody'") for verb in ("dismiss", "runbook", "deploy")),
        (["keep", "nobody", "1h"], "There is no server 'nobody'"),
        (["compare", "nobody", "none", "--prompt", "x"], "There is no server 'nobody'"),
        (["bench", "nobody", "--sweep", "max_num_seqs=1,2"], "There is no server 'nobody'"),
        (["engines", "--probe", "nobody"], "There is no server 'nobody'"),
        (["runs", "nothing"], "There is no run 'nothing'"),
    ],
)
def test_wrong_usage_is_2_with_the_reason(words: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(*words, capsys=capsys)
    assert status == 2
    assert reason in err
    assert out == ""


def test_a_failure_is_1(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run("bench", "http://127.0.0.1:9", capsys=capsys)
    assert status == 1
    assert "127.0.0.1:9" in err


@pytest.mark.parametrize("verb", ["bench", "compare"])
def test_told_to_end_a_measurement_ends_as_by_an_interrupt(
    verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(*_: Any, **__: Any) -> None:
        assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(f"llm_magics.api.{verb}", told)
    before = signal.getsignal(signal.SIGTERM)
    status, _, err = run(*{"bench": ("bench", "a"), "compare": ("compare", "a", "b", "--load")}[verb], capsys=capsys)
    assert status == 1
    assert "interrupted; `llm-magics runs` lists what was measured" in err
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_reader_that_leaves_is_no_error() -> None:
    command = f"{sys.executable} -m llm_magics.cli doctor | head -c 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=os.environ, check=False)
    assert "Traceback" not in done.stderr


def test_what_to_type_next_is_typed_here(capsys: pytest.CaptureFixture[str]) -> None:
    """A message that names a magic would send a terminal's user to a prompt that is not there."""
    for words in (["bench", "nobody"], ["logs", "nobody"], ["stop"], ["runs", "--save", "x.json"], ["list"], ["runs"]):
        _, out, err = run(*words, capsys=capsys)
        assert "%" not in out + err, words
        assert "llm-magics " in out + err, words
    _, out, _ = run("serve", "--help", capsys=capsys)
    assert "`llm-magics serve tiny`" in out
    assert "[detached]" in out


def test_help_names_the_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run("bench", "--help", capsys=capsys)
    assert "[128]" in out
    assert "[true]" in out


def test_a_task_s_notebook_is_copied_where_it_is_wanted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run("learn", "quantization", "--to", str(tmp_path), "--json", capsys=capsys)
    assert status == 0
    copied = Path(json.loads(out)["copied_to"])
    assert copied.parent == tmp_path
    assert json.loads(copied.read_text())["cells"]
    copied.write_text("what the learner wrote")
    run("learn", "quantization", "--to", str(tmp_path), capsys=capsys)
    assert copied.read_text() == "what the learner wrote"
    assert run("learn", "--to", str(tmp_path), capsys=capsys)[0] == 2
    assert run("learn", "quantization", "--to", str(tmp_path / "no"), capsys=capsys)[0] == 2


def test_a_server_is_kept_longer(capsys: pytest.CaptureFixture[str]) -> None:
    registry = Registry()
    values = {"id": "i", "name": "qwen", "engine": "llamacpp", "model": "tiny", "state": "ready", "created": 1.0}
    registry.write(Record(**values, host="h", reuse_key="k", spec={}, url="", supervisor=identity.current().to_json()))
    try:
        status, out, _ = run("keep", "qwen", "1h", "--json", capsys=capsys)
        assert status == 0
        assert json.loads(out)["keep_until"] > time.time() + 3500
        assert run("keep", "qwen", "soon", capsys=capsys)[0] == 2
    finally:
        (registry.directory / "qwen.json").unlink()
    assert run("keep", "qwen", "1h", capsys=capsys)[0] == 2


def test_one_mistake_has_one_exit_status_and_names_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    """A name that nobody has is written wrongly; a server that has ended is no mistake of the writer's."""
    registry = Registry()
    values = {
        "engine": "llamacpp",
        "model": "tiny",
        "created": 1.0,
        "host": "h",
        "reuse_key": "k",
        "spec": {},
        "url": "",
    }
    for name, state in (("quen", "stopped"), ("wide", "failed")):
        registry.write(Record(**values, id=name, name=name, state=state, supervisor=identity.current().to_json()))
    try:
        for words in (["bench", "qwen"], ["stop", "qwen"], ["logs", "qwen"], ["keep", "qwen", "1h"], ["wake", "qwen"]):
            status, _, err = run(*words, capsys=capsys)
            assert status == 2, words
            assert "There is no server 'qwen' (did you mean 'quen'?)." in err
            assert "known: quen (stopped), wide (failed)" in err
        for words in (["bench", "quen"], ["stop", "quen"], ["keep", "quen", "1h"], ["wake", "quen"]):
            status, _, err = run(*words, capsys=capsys)
            assert status == 1, words
            assert "quen is stopped" in err
    finally:
        for name in ("quen", "wide"):
            (registry.directory / f"{name}.json").unlink()


def test_a_server_that_ran_already_is_not_said_to_be_started(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = Registry()
    values = {"id": "i", "name": "qwen", "engine": "llamacpp", "model": "tiny", "state": "ready", "created": 1.0}
    url, supervisor = "http://127.0.0.1:9", identity.current().to_json()
    registry.write(Record(**values, host="h", reuse_key="k", spec={}, url=url, supervisor=supervisor))
    try:
        running = f"qwen is running already, ready at {url}"
        longer = f"{running}\nit lives until its notebook or shell ends now; before this: until its cell ends"
        for reused, lived, said in (
            (False, "", f"qwen is ready at {url}"), (True, "", running), (True, "until its cell ends", longer),
        ):  # fmt: skip
            server = Server("qwen", reused=reused, lived=lived)
            monkeypatch.setattr("llm_magics.api.serve", lambda *_, server=server, **__: server)
            assert run("serve", "qwen", "--replace", capsys=capsys) == (0, f"{said}\n", "")
    finally:
        (registry.directory / "qwen.json").unlink()


def test_deploy_writes_a_file_and_says_what_to_type(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "q.yaml"
    words = ["deploy", "q", "--engine", "vllm", "--model", "Qwen/Qwen3-0.6B", "--namespace", "llm", "--out", str(file)]
    assert main([*words, "--max-model-len", "8K", "--check", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["text"] == file.read_text()
    assert said["checked"] is True
    assert "8192" in said["text"]
    assert any("kubectl apply" in each for each in said["then"])
    assert main([*words, "--replicas", "none"]) == 2
    assert "replicas" in capsys.readouterr().err


@pytest.mark.parametrize(("typed", "meant"), [("serv", "serve"), ("benhc", "bench"), ("lst", "list")])
def test_a_verb_that_is_none_names_the_nearest_of_all(
    typed: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, err = run(typed, "tiny", capsys=capsys)
    assert status == 2
    assert f"no verb '{typed}' (did you mean '{meant}'?)" in err
    assert "serve, bench, compare, list" in err
    assert len(err.splitlines()) == 3


def test_an_interrupt_beside_the_measuring_says_where_what_was_measured_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: list[str]) -> Answer:
        raise KeyboardInterrupt

    monkeypatch.setitem(cli._COMMANDS, "bench", interrupted)
    status, _, err = run("bench", "tiny", capsys=capsys)
    assert status == 1
    assert err == "interrupted; `llm-magics runs` lists what was measured until then\n"


@pytest.mark.parametrize("words", [("logs", "no-name"), ("logs", "../x"), ("dismiss", "no-name"), ("stop", "no-name")])
def test_a_name_that_no_server_can_have_is_no_server(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, err = run(*words, capsys=capsys)
    assert status in (1, 2)
    assert "There is no server" in err


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["s", "--all"], "Is s to be stopped, or every server?"),
        ([], "Which server is to be stopped?\n-> `llm-magics stop NAME` or `--all`"),
        (["--mine"], "unknown option '--mine'.\n-> its options: --all"),  # of a command that ends nothing is its own
    ],
)
def test_stop_in_a_terminal_takes_a_name_or_all_and_not_both(
    words: list[str], what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, err = run("stop", *words, capsys=capsys)
    assert status == 2
    assert what in err
    assert ("llm-magics stop s" in err) == ("s" in words)


def test_a_terminals_start_builds_no_specs_and_loads_nothing_that_draws() -> None:
    """An editor's sidebar starts `list --json --watch`: its start is what somebody waits for."""
    code = (
        "import sys, llm_magics.cli as cli, llm_magics.watching\n"
        "cli.verbs.VERBS['list'].run(cli.verbs.parser('list', 'llm-magics').read(['--watch']))\n"
        "print({'numpy', 'llm_magics.spec.server', 'llm_magics.spec.workload', 'llm_magics.views'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
