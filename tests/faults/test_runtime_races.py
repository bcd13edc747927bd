"""Two who act on one name at once, and interrupts between two steps: each made to happen, none waited for."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import scripted_engine
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

import llm_magics
from llm_magics import engines
from llm_magics.api import again, serving, turns
from llm_magics.api.preparing import Prepared
from llm_magics.api.serving import servers as servers_of
from llm_magics.api.serving import stop as stop_all
from llm_magics.engines.base import Executable
from llm_magics.errors import LaunchError, LLMMagicsError
from llm_magics.runtime import identity
from llm_magics.runtime import launch as launching
from llm_magics.runtime import stop as stopping
from llm_magics.runtime.identity import Identity
from llm_magics.runtime.outcomes import Started, Stopped
from llm_magics.runtime.owner import adopt
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry
from llm_magics.runtime.server import Server
from llm_magics.runtime.stop import dismiss, stop
from llm_magics.runtime.supervisor_process import SupervisorProcess

if TYPE_CHECKING:
    from conftest import Servers  # the nearest one: pytest knows several


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Has something happen once, right after a supervisor that was told to end has ended."""

    def arrange(happens: Any) -> None:
        waited = stopping._until_gone
        todo = [happens]

        def wait(process: Identity, seconds: float) -> None:
            waited(process, seconds)
            if todo:
                todo.pop()()

        monkeypatch.setattr(stopping, "_until_gone", wait)

    return arrange


def test_a_stop_that_is_overtaken_by_a_new_start_leaves_the_new_server_alone(servers: Servers, meanwhile: Any) -> None:
    first = servers.start()
    meanwhile(lambda: servers.start(max_model_len=4096))
    stopped = stop("s")
    assert (stopped.id, stopped.state) == (first.id, "stopped")
    second = Server("s").record
    assert (second.state, second.spec["max_model_len"]) == ("ready", 4096)
    assert [process.pid for process in servers.left()] == [second.process["pid"]]  # type: ignore[index]
    stop("s")


def test_a_stop_that_is_overtaken_by_a_dismissal_has_stopped(servers: Servers, meanwhile: Any) -> None:
    servers.start()
    meanwhile(lambda: dismiss("s"))
    assert stop("s").state == "stopped"
    assert servers.registry.get("s") is None


@pytest.fixture
def prepared(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> Prepared:
    """The scripted server `s`, ready to be launched as `api` launches."""
    monkeypatch.setattr(engines, "reference", lambda _: scripted_engine.REFERENCE)
    monkeypatch.setattr(Prepared, "command", lambda _, port: scripted_engine.command(port))
    return Prepared(servers.spec(), scripted_engine.engine, Executable("1"), "m", ())


def test_what_took_the_name_of_a_server_that_is_to_be_away_goes_on(servers: Servers, prepared: Prepared) -> None:
    """It was replaced after it had been looked up: the one that runs now is somebody else's."""
    mine = servers.start()
    others = servers.start(max_model_len=4096, launching={"replace": True})
    said: list[str] = []
    with again.away([(mine, prepared)], lambda _, error: said.append(str(error))):
        assert (Server("s").record.id, Server("s").state) == (others.id, "ready")
    assert (Server("s").record.id, Server("s").state) == (others.id, "ready")
    assert "running with another spec" in said[0]
    stop("s")


def test_a_server_that_was_away_is_still_whose_it_was(servers: Servers, prepared: Prepared) -> None:
    servers.start()
    theirs = identity.of(os.getppid()).to_json()  # type: ignore[union-attr]
    before = servers.registry.update("s", lambda record: replace(record, starter=theirs, owners=[theirs]))
    with again.away([(before, prepared)]):
        pass
    after = Server("s").record
    servers.ids.add(after.id)
    assert after.id != before.id
    assert after.starter == theirs
    assert [owner["pid"] for owner in after.owners] == [os.getppid(), os.getpid()]
    stop("s")


def test_a_namesake_that_starts_while_a_server_is_away_goes_on(servers: Servers, prepared: Prepared) -> None:
    mine = servers.start()
    said: list[str] = []
    with again.away([(mine, prepared)], lambda _, error: said.append(str(error))):
        assert Server("s").state == "stopped"
        others = servers.start(max_model_len=4096)
        with pytest.raises(LaunchError, match="running with another spec"), turns._turn(prepared)():
            raise AssertionError("it had no turn")
    assert "running with another spec" in said[0]
    assert (Server("s").record.id, Server("s").state) == (others.id, "ready")
    stop("s")


def test_a_namesake_that_starts_during_a_turn_goes_on_after_it(servers: Servers, prepared: Prepared) -> None:
    with turns._turn(prepared)():
        others = servers.start(max_model_len=4096, launching={"replace": True})
    assert (Server("s").record.id, Server("s").state) == (others.id, "ready")
    stop("s")


def test_an_interrupt_before_a_server_was_told_to_be_away_leaves_it_running(
    servers: Servers, prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would not be one that starts again: its options name the GPUs that it was given."""
    first, second = servers.start(), servers.start(name="t", max_model_len=4096)
    end = stopping.end

    def interrupted(record: Record) -> Record:
        end(record)
        raise KeyboardInterrupt

    monkeypatch.setattr(stopping, "end", interrupted)
    other = Prepared(servers.spec("t"), prepared.engine, prepared.executable, "m", ())
    with pytest.raises(KeyboardInterrupt), again.away([(first, prepared), (second, other)]):
        raise AssertionError("they are not away")
    monkeypatch.setattr(stopping, "end", end)
    assert (Server("t").record.id, Server("s").state) == (second.id, "ready")
    assert Server("s").record.id != first.id
    servers.ids.add(Server("s").record.id)
    stop("s")
    stop("t")


def test_a_start_while_the_old_server_stops_and_is_forgotten_is_a_start(servers: Servers, meanwhile: Any) -> None:
    first = servers.start()
    meanwhile(lambda: dismiss("s"))
    second = servers.start(max_model_len=4096, launching={"replace": True})
    assert second.id != first.id
    assert Server("s").state == "ready"
    stop("s")


def test_a_server_that_vanishes_before_it_can_be_replaced_is_no_obstacle(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else stops and forgets it after it was found, before this launch has asked it to end."""
    first = servers.start()
    end = stopping.end

    def overtaken(*args: Any, **options: Any) -> Record:
        monkeypatch.setattr(launching, "end", end)
        stop("s")
        dismiss("s")
        return end(*args, **options)

    monkeypatch.setattr(launching, "end", overtaken)
    second = servers.start(max_model_len=4096, launching={"replace": True})
    assert second.id != first.id
    stop("s")


def test_who_waits_for_a_server_that_another_notebook_replaced_is_told_so_and_stops_nothing(servers: Servers) -> None:
    others: list[Record] = []

    def replaced(record: Record, _: str) -> None:
        if not others:
            others.append(servers.start(max_model_len=4096, launching={"replace": True}))

    outcome = servers.launch("--load", "60", launching={"on_progress": replaced})
    assert isinstance(outcome, Stopped)
    assert "replaced" in outcome.by
    assert Server("s").record.id == others[0].id
    assert Server("s").state == "ready"
    stop("s")


def test_an_interrupt_after_the_server_was_replaced_leaves_the_other_one(servers: Servers) -> None:
    def replaced(record: Record, _: str) -> None:
        servers.start(max_model_len=4096, launching={"replace": True})
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        servers.launch("--load", "60", launching={"on_progress": replaced})
    assert Server("s").state == "ready"
    assert Server("s").record.spec["max_model_len"] == 4096
    stop("s")


def nothing_is_there(servers: Servers) -> None:
    record = servers.registry.get("s")
    assert record is None or record.state == "stopped", record
    assert servers.left() == []
    assert servers.registry.key("s") is None


def test_an_interrupt_right_after_the_supervisor_was_told_leaves_nothing(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell = SupervisorProcess.tell

    def interrupted(self: SupervisorProcess, *args: Any) -> None:
        tell(self, *args)
        raise KeyboardInterrupt

    monkeypatch.setattr(SupervisorProcess, "tell", interrupted)
    with pytest.raises(KeyboardInterrupt):
        servers.launch("--load", "60")
    nothing_is_there(servers)


@pytest.mark.parametrize("wait", [True, False])
def test_an_interrupt_between_the_start_and_the_waiting_leaves_nothing(
    servers: Servers, monkeypatch: pytest.MonkeyPatch, wait: bool
) -> None:
    """The record is written and the lock is given back; the launch has not said yet what it started."""
    lock = Registry.lock

    @contextlib.contextmanager
    def interrupted(self: Registry, name: str) -> Iterator[None]:
        with lock(self, name):
            yield
        monkeypatch.setattr(Registry, "lock", lock)
        raise KeyboardInterrupt

    monkeypatch.setattr(Registry, "lock", interrupted)
    with pytest.raises(KeyboardInterrupt):
        servers.launch("--load", "60", launching={"wait": wait})
    nothing_is_there(servers)


def test_an_interrupt_while_the_new_server_is_shown_leaves_nothing(
    servers: Servers, prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(record: Record) -> None:
        servers.ids.add(record.id)
        raise KeyboardInterrupt

    monkeypatch.setattr(serving, "served", interrupted)
    with pytest.raises(KeyboardInterrupt):
        serving.launched(prepared)
    nothing_is_there(servers)


def test_a_launch_that_was_killed_before_it_wrote_a_record_leaves_no_key(servers: Servers) -> None:
    servers.registry.write_key("s", "the key of nobody")
    servers.registry.prune()
    assert servers.registry.key("s") is None
    record = servers.start()
    servers.registry.prune()
    assert servers.registry.key("s") is not None
    assert isinstance(servers.launch(name="other"), Started)
    assert Server("s").record.id == record.id
    stop("s")
    stop("other")


def test_one_that_cannot_be_stopped_keeps_no_other_running(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    servers.start()
    servers.start(name="t")
    end = stopping.end

    def hangs(record: Record) -> Record:
        if record.name == "s":
            raise LLMMagicsError("s could not be stopped.", why="a driver call hangs")
        return end(record)

    with monkeypatch.context() as patched:
        patched.setattr(stopping, "end", hangs)
        with pytest.raises(LLMMagicsError, match="s could not be stopped"):
            stop_all(every=True)
    assert Server("t").state == "stopped"
    stop("s")


def test_what_others_started_goes_on_when_a_notebook_stops_its_own(servers: Servers) -> None:
    servers.start()
    servers.start(name="theirs")
    theirs = identity.of(os.getppid()).to_json()  # type: ignore[union-attr]
    servers.registry.update("theirs", lambda record: replace(record, starter=theirs, owners=[theirs]))
    adopt("theirs")
    assert [server.name for server in servers_of(mine=True)] == ["s"]
    assert stop_all(mine=True) == ["s"]
    assert (Server("s").state, Server("theirs").state) == ("stopped", "ready")
    assert stop_all(every=True) == ["theirs"]


@pytest.fixture
def shell(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    """A notebook whose `%serve` starts scripted servers."""

    def serve(name: str, **options: Any) -> Server:
        kept = {"max_model_len": options["max_model_len"]} if "max_model_len" in options else {}
        servers.start(name=name, launching={"replace": options["replace"]}, **kept)
        return Server(name)

    monkeypatch.setattr("llm_magics.api.serve", serve)
    shell = InteractiveShell(config=Config(HistoryManager={"enabled": False}))
    llm_magics.load_ipython_extension(shell)
    yield shell
    llm_magics.unload_ipython_extension(shell)


def test_a_server_of_a_cell_ends_with_it(servers: Servers, shell: InteractiveShell) -> None:
    assert shell.run_cell("%serve s --keep cell\nwas = s.state").success
    assert (shell.user_ns["was"], Server("s").state) == ("ready", "stopped")


def test_a_server_of_a_cell_that_was_stopped_in_it_is_no_error(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shell.run_cell("%serve s --keep cell\ns.stop()\n%llm dismiss s").success
    said = capsys.readouterr()
    assert said.err == ""
    assert "Error in callback" not in said.out


def test_a_server_that_took_the_name_of_a_server_of_the_cell_stays(servers: Servers, shell: InteractiveShell) -> None:
    assert shell.run_cell("%serve s --keep cell\n%serve s --max-model-len 4096 --replace").success
    assert (Server("s").state, Server("s").record.spec["max_model_len"]) == ("ready", 4096)
    stop("s")
