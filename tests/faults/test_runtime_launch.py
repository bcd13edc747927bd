"""Launches that go wrong: each says what happened, and leaves no process, no port and no record that claims to run."""

from __future__ import annotations

import json
import os
import signal
import stat
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import scripted_engine
from waiting import until

from llm_magics import __version__ as VERSION  # noqa: N812 - before a test changes it
from llm_magics.api.serving import failure
from llm_magics.engines.base import Command
from llm_magics.errors import LaunchError
from llm_magics.runtime import ports
from llm_magics.runtime.outcomes import Differs, Failed, PortBusy, Reused, Started, Stopped, TimedOut
from llm_magics.runtime.plan import Plan
from llm_magics.runtime.record import Record
from llm_magics.runtime.server import Server
from llm_magics.runtime.stop import stop

if TYPE_CHECKING:
    from conftest import Servers  # the nearest one: pytest knows several


class _Stranger(BaseHTTPRequestHandler):
    """Answers 200 to everybody, and remembers what it was told."""

    heard: list[str]

    def do_GET(self) -> None:
        type(self).heard.append(str(self.headers.get("Authorization")))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def stranger() -> Iterator[HTTPServer]:
    """A foreign web server on a port of loopback."""
    _Stranger.heard = []
    server = HTTPServer(("127.0.0.1", 0), _Stranger)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_server_answers_with_its_key_and_is_gone_after_stop(servers: Servers) -> None:
    record = servers.start("--say", "loading weights 1/2")
    key = servers.registry.key("s")
    assert key is not None
    assert len(key) >= 24
    assert key.isalnum(), "a dash in front would be an option to an engine"
    request = urllib.request.Request(f"{record.url}/health", headers={"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{record.url}/health", timeout=10)

    stopped = stop("s")

    assert (stopped.state, stopped.alive) == ("stopped", False)
    assert servers.registry.get("s") == stopped
    assert servers.left() == []
    assert ports.is_free("127.0.0.1", int(record.url.rsplit(":", 1)[1]))
    assert servers.registry.key("s") is None
    assert stop("s") == stopped  # once more changes nothing


def test_no_secret_is_in_the_registry_but_the_key_file_of_a_running_server(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefghijklmnop")
    args = (
        "--say",
        "token hf_abcdefghijklmnop",
        "--env",
        "SCRIPTED_API_KEY",
        "--env",
        "HF_TOKEN",
        "--env",
        "MY_SECRET",
    )
    servers.start(
        *args,
        env={"MY_SECRET": "very-private-text"},
        build=lambda port: Command(scripted_engine.command(port, *args).argv, {"MY_SECRET": "very-private-text"}),
    )
    key = servers.registry.key("s")
    until(lambda: "MY_SECRET=" in servers.registry.log_path("s").read_text())
    for path in servers.registry.directory.glob("[!.]*"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name
        if path.suffix != ".key":
            text = path.read_text()
            assert not [word for word in (key, "hf_abcdefghijklmnop", "very-private-text") if word and word in text], (
                path
            )
    log = servers.registry.log_path("s").read_text()
    assert "SCRIPTED_API_KEY=***" in log
    assert "HF_TOKEN=***" in log  # the engine got it, the log shows that and not what it is
    assert stat.S_IMODE(servers.registry.directory.stat().st_mode) == 0o700
    assert "very-private-text" not in repr(Server("s")) + Server("s").command
    stop("s")


def test_a_key_that_stands_in_args_is_kept_out_of_the_log_too(servers: Servers) -> None:
    record = servers.start("--api-key", "private and my own")
    assert "private" not in record.command + str(record.spec)
    assert Server("s").logs() == "non-default args: {'api_key': ['***']}"
    stop("s")


def test_an_engine_gets_an_allow_list_of_the_environment(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "cloud")
    monkeypatch.setenv("PYTHONPATH", "/kernel/only")
    monkeypatch.setenv("VLLM_LOGGING_LEVEL", "DEBUG")
    names = ("AWS_SECRET_ACCESS_KEY", "PYTHONPATH", "VLLM_LOGGING_LEVEL", "CUDA_VISIBLE_DEVICES")
    args = [word for name in names for word in ("--env", name)]
    outcome = servers.launch(*args, request={"gpus": [1, 3]})
    assert isinstance(outcome, Started)
    log = Server("s").logs().splitlines()
    assert log == [
        "AWS_SECRET_ACCESS_KEY=None",
        "PYTHONPATH=None",
        "VLLM_LOGGING_LEVEL=DEBUG",
        "CUDA_VISIBLE_DEVICES=1,3",
    ]
    assert outcome.record.gpus == [1, 3]
    stop("s")


def test_a_server_that_dies_while_loading_is_diagnosed_from_its_own_words(servers: Servers) -> None:
    outcome = servers.launch("--say", "loading weights 1/2", "--say", "error: out of memory on device 4", "--die", "7")
    assert isinstance(outcome, Failed)
    assert outcome.exit == 7
    assert outcome.log == ["loading weights 1/2", "error: out of memory on device 4"]
    assert outcome.diagnosis == {
        "cause": "device 4 has too little memory",
        "line": "error: out of memory on device 4",
        "remedy": "use a smaller model",
    }
    record = servers.registry.get("s")
    assert record is not None
    assert (record.state, record.exit, record.diagnosis) == ("failed", 7, outcome.diagnosis)
    assert servers.left() == []


def test_words_that_were_cut_off_by_the_end_are_diagnosed_too(servers: Servers) -> None:
    outcome = servers.launch("--begin", "error: out of memory on device 4", "--die", "7")
    assert isinstance(outcome, Failed)
    assert outcome.log == ["error: out of memory on device 4"]
    assert outcome.diagnosis is not None
    assert outcome.diagnosis["cause"] == "device 4 has too little memory"


def test_a_failed_server_can_be_started_again(servers: Servers) -> None:
    assert isinstance(servers.launch("--die", "1"), Failed)
    record = servers.start()
    assert record.state == "ready"
    assert record.recoveries == 1
    stop("s")
    again = servers.start()  # after a stop, which is no failure
    assert again.recoveries == 1
    stop("s")


def test_an_engine_that_cannot_be_executed_is_a_failure_with_a_reason(servers: Servers) -> None:
    outcome = servers.launch(build=lambda port: Command(["/does/not/exist"]))
    assert isinstance(outcome, Failed)
    assert outcome.exit is None
    assert outcome.diagnosis is not None
    assert "could not be executed" in outcome.diagnosis["cause"]
    assert outcome.log == ["cannot start /does/not/exist: No such file or directory"]


def test_an_adapter_that_cannot_be_loaded_is_a_failure_with_the_reason_in_the_log(servers: Servers) -> None:
    outcome = servers.launch(request={"reference": "no_such_module:engine"})
    assert isinstance(outcome, Failed)
    assert any("No module named 'no_such_module'" in line for line in outcome.log)
    record = servers.registry.get("s")
    assert record is not None
    assert not record.alive


def test_a_server_that_is_not_ready_in_time_is_stopped(servers: Servers) -> None:
    outcome = servers.launch("--say", "compiling", "--unready", "60", timeout=8.0)
    assert isinstance(outcome, TimedOut)
    assert outcome.seconds >= 8.0
    assert outcome.log == ["compiling"], "what it says when it is told to end is not why it was not ready"
    assert outcome.stage == "compiling"
    record = servers.registry.get("s")
    assert record is not None
    assert (record.state, record.stage) == ("failed", "compiling")
    assert servers.left() == []


def test_progress_shows_stages_the_last_line_and_what_the_last_start_took(servers: Servers) -> None:
    args = ("--say", "loading weights 1/2", "--say", "compiling", "--load", "2")
    servers.start(*args)
    stop("s")
    seen: list[tuple[Record, str]] = []
    servers.start(*args, launching={"on_progress": lambda record, line: seen.append((record, line))})
    stop("s")
    assert {record.stage for record, _ in seen} >= {"compiling"}
    assert seen[-1][1] == "compiling"
    assert all(record.expected is not None and record.expected >= 2 for record, _ in seen)


def test_a_port_that_was_asked_for_and_is_taken_is_known_before_anything_starts(
    servers: Servers, stranger: HTTPServer
) -> None:
    started: list[int] = []
    outcome = servers.launch(port=stranger.server_port, build=lambda port: started.append(port) or Command(["true"]))
    assert outcome == PortBusy(stranger.server_port, outcome.holder)  # type: ignore[union-attr]
    assert f"(pid {os.getpid()})" in outcome.holder  # type: ignore[union-attr]
    assert servers.registry.get("s") is None
    assert started == []


def test_a_port_held_by_another_server_of_ours_is_called_by_its_name(servers: Servers) -> None:
    record = servers.start()
    outcome = servers.launch(name="other", port=int(record.url.rsplit(":", 1)[1]))
    assert isinstance(outcome, PortBusy)
    assert outcome.holder.startswith("the server s, ")
    stop("s")


def test_a_port_lost_to_another_program_is_replaced_by_another_one(
    servers: Servers, stranger: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stranger even answers the readiness probe with 200; it is neither believed nor told the key."""
    lost, choose = [stranger.server_port], ports.free_port
    monkeypatch.setattr(ports, "free_port", lambda *args: lost.pop() if lost else choose(*args))
    outcome = servers.launch()
    assert isinstance(outcome, Started)
    assert outcome.record.url != f"http://127.0.0.1:{stranger.server_port}"
    assert outcome.record.url.rsplit(":", 1)[1] in outcome.record.command
    assert f"port {stranger.server_port} was taken in between" in Server("s").logs()
    assert _Stranger.heard == []
    stop("s")


def test_two_launches_of_one_name_at_once_start_one_server(servers: Servers) -> None:
    outcomes: list[Any] = []
    threads = [threading.Thread(target=lambda: outcomes.append(servers.launch("--load", "0.5"))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Reused"] * 5 + ["Started"]
    assert {outcome.record.state for outcome in outcomes} == {"ready"}
    assert len({outcome.record.id for outcome in outcomes}) == 1
    assert len(servers.left()) == 1
    stop("s")


def test_two_processes_that_launch_one_name_at_once_share_one_server(
    servers: Servers, script: Callable[..., Any]
) -> None:
    code = """
import sys, scripted_engine
from llm_magics.runtime.launch import launch
from llm_magics.runtime.starting import LaunchRequest
from llm_magics.spec import ServerSpec
spec = ServerSpec(name="s", engine="scripted", model="m")
sys.stdin.readline()
outcome = launch(LaunchRequest(spec, scripted_engine.engine, scripted_engine.REFERENCE), scripted_engine.command)
print(type(outcome).__name__, outcome.record.id, outcome.record.state, flush=True)
sys.stdin.readline()
"""
    both = [script(code), script(code)]
    for process in both:
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.stdout.readline().split() for process in both]
    record = servers.registry.get("s")
    assert record is not None
    servers.ids.add(record.id)
    assert sorted(words[0] for words in said) == ["Reused", "Started"]
    assert {tuple(words[1:]) for words in said} == {(record.id, "ready")}
    assert len(record.owners) == 2
    assert len(servers.left()) == 1
    stop("s")


def test_another_spec_differs_until_it_is_to_replace(servers: Servers) -> None:
    first = servers.start()
    outcome = servers.launch(max_model_len=4096)
    assert outcome == Differs(outcome.record, {"max_model_len": (None, 4096)})  # type: ignore[union-attr]
    assert len(servers.left()) == 1
    second = servers.start(max_model_len=4096, launching={"replace": True})
    assert second.id != first.id
    assert second.recoveries == 0
    assert [process.pid for process in servers.left()] == [second.process["pid"]]  # type: ignore[index]
    stop("s")


def test_without_waiting_a_launch_returns_at_once_and_the_server_gets_ready(servers: Servers) -> None:
    outcome = servers.launch("--load", "0.5", launching={"wait": False})
    assert isinstance(outcome, Started)
    assert outcome.record.state == "starting"
    assert Server("s").wait(60).state == "ready"
    again = servers.launch("--load", "0.5", launching={"wait": False})
    assert isinstance(again, Reused)
    stop("s")


def test_an_interrupt_stops_the_server_that_this_call_started(servers: Servers) -> None:
    def interrupt(record: Record, _: str) -> None:
        if record.state == "loading":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        servers.launch("--load", "60", launching={"on_progress": interrupt})
    record = servers.registry.get("s")
    assert record is not None
    assert record.state == "stopped"
    assert servers.left() == []


def test_an_interrupt_leaves_a_server_that_somebody_else_started(servers: Servers) -> None:
    servers.launch("--load", "4", launching={"wait": False})

    def interrupt(record: Record, _: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        servers.launch("--load", "4", launching={"on_progress": interrupt})
    assert Server("s").wait(60).state == "ready"
    stop("s")


def test_a_cancelled_launch_stops_what_it_started(servers: Servers) -> None:
    cancelled = threading.Event()
    threading.Timer(0.5, cancelled.set).start()
    outcome = servers.launch("--load", "60", launching={"cancelled": cancelled})
    assert isinstance(outcome, Stopped)
    assert servers.left() == []


def test_a_server_stopped_before_its_supervisor_could_do_anything(servers: Servers) -> None:
    outcome = servers.launch("--load", "60", launching={"on_progress": lambda record, _: stop("s")})
    assert outcome == Stopped("it was asked to stop")
    record = servers.registry.get("s")
    assert record is not None
    assert record.state == "stopped"
    assert servers.left() == []


def test_a_server_stopped_by_somebody_else_while_it_starts(servers: Servers) -> None:
    threading.Timer(0.7, lambda: stop("s")).start()
    outcome = servers.launch("--load", "60")
    assert outcome == Stopped("it was asked to stop")
    assert servers.left() == []


def test_a_full_disk_is_an_error_and_leaves_no_half_record(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LaunchError, match="No space left on device"):
        servers.launch()
    monkeypatch.undo()
    assert servers.registry.list() == []
    assert [
        path.name for path in servers.registry.directory.iterdir() if path.suffix in (".json", ".tmp", ".key")
    ] == []


def test_a_registry_that_cannot_be_written_is_an_error_that_says_so(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    # root writes everywhere, so the refusal is the system's answer to a file where the directory should be
    servers.registry.directory.rmdir()
    servers.registry.directory.touch()
    with pytest.raises(LaunchError, match="cannot be written"):
        servers.launch()
    servers.registry.directory.unlink()
    servers.registry.directory.mkdir()


def test_a_folder_that_was_removed_is_told_and_not_taken_for_a_full_disk(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "removed"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    with pytest.raises(LaunchError, match="has been removed"):
        servers.launch()
    assert servers.registry.list() == []


def test_a_system_that_refuses_another_process_is_quoted(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("llm_magics.runtime.supervisor_process.subprocess.Popen", refuse)
    with pytest.raises(LaunchError, match="the system refused: Resource temporarily unavailable"):
        servers.launch()
    monkeypatch.undo()
    assert servers.registry.list() == []


@pytest.mark.parametrize("shape", ["a key more", "a key less", "attempts of another kind"])
def test_a_package_upgraded_under_the_kernel_is_told_as_that(
    servers: Servers, monkeypatch: pytest.MonkeyPatch, shape: str
) -> None:
    """The supervisor is the new code, this process holds the old plan's shape."""
    dump = Plan.dump

    def older(self: Plan) -> bytes:
        told = json.loads(dump(self))
        if shape == "a key more":
            told["nice"] = 5
        elif shape == "a key less":
            del told["reference"]
        else:
            told["attempts"] = [{"command": attempt["argv"]} for attempt in told["attempts"]]
        return json.dumps(told).encode()

    monkeypatch.setattr(Plan, "dump", older)
    monkeypatch.setattr("llm_magics.runtime.plan.__version__", "0.0.9")
    outcome = servers.launch()  # as far as can be seen nothing was replaced: the supervisor's word is what there is
    assert isinstance(outcome, Failed)
    assert outcome.diagnosis is not None
    assert "llm-magics 0.0.9 is none for" in outcome.diagnosis["line"]
    assert "restart the kernel" in outcome.diagnosis["line"]
    monkeypatch.setattr("llm_magics.__version__", "0.0.9")
    outcome = servers.launch()
    assert isinstance(outcome, Failed)
    error = failure(servers.spec(), scripted_engine.engine, outcome)
    assert error.what == "Scripted did not start: llm-magics was replaced while this kernel was running."
    assert error.why == f"this kernel runs llm-magics 0.0.9; {VERSION} is installed now"
    assert "restart the kernel" in error.then
    assert servers.left() == []


def test_a_supervisor_that_is_killed_later_is_no_upgrade(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llm_magics.__version__", "0.0.9")

    def kill(record: Record, _: str) -> None:
        if record.state == "loading":
            os.kill(record.supervisor["pid"], signal.SIGKILL)

    outcome = servers.launch("--load", "60", launching={"on_progress": kill})
    assert isinstance(outcome, Failed)
    assert outcome.diagnosis is not None
    assert outcome.diagnosis["cause"] == "its supervisor ended unexpectedly"
