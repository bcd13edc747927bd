"""Servers whose supervisor, engine or owner is killed, or that resist: what is left, and who clears it away."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from waiting import until

from llm_magics.errors import LLMMagicsError, TargetError
from llm_magics.runtime import identity, lifetime, ports
from llm_magics.runtime.identity import Identity
from llm_magics.runtime.keep import keep
from llm_magics.runtime.outcomes import Reused
from llm_magics.runtime.owner import adopt
from llm_magics.runtime.record import Record
from llm_magics.runtime.server import Server
from llm_magics.runtime.stop import dismiss, stop

if TYPE_CHECKING:
    from conftest import Servers  # the nearest one: pytest knows several


def supervisor(record: Record) -> int:
    return int(record.supervisor["pid"])


def engine(record: Record) -> int:
    assert record.process is not None
    return int(record.process["pid"])


def port(record: Record) -> int:
    return int(record.url.rsplit(":", 1)[1])


def gone(record: Record) -> bool:
    return not Identity.from_json(record.supervisor).alive()


def bystander() -> subprocess.Popen[bytes]:
    """A process that has nothing to do with any server."""
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])


def test_an_engine_killed_while_ready_is_a_failed_server(servers: Servers) -> None:
    record = servers.start()
    os.kill(engine(record), signal.SIGKILL)
    ended = until(lambda: (now := servers.registry.get("s")) and not now.alive and now)
    assert (ended.state, ended.exit) == ("failed", -9)
    assert "SIGKILL" in ended.diagnosis["cause"]
    assert servers.left() == []
    with pytest.raises(TargetError, match="s is failed"):
        _ = Server("s").client


def test_an_engine_that_fails_did_not_end_for_what_was_announced(servers: Servers) -> None:
    record = servers.start(request={"owner": {**identity.current().to_json(), "ticks": 1}})
    until(lambda: (now := servers.registry.get("s")) and now.stops_why == lifetime.ORPHANED_OF_SHELL)
    os.kill(engine(record), signal.SIGKILL)
    ended = until(lambda: (now := servers.registry.get("s")) and not now.alive and now)
    assert (ended.state, ended.stops_at, ended.stops_why) == ("failed", None, "")


def test_an_engine_that_ends_by_itself_while_ready_has_stopped(servers: Servers) -> None:
    record = servers.start()
    os.kill(engine(record), signal.SIGTERM)
    ended = until(lambda: (now := servers.registry.get("s")) and not now.alive and now)
    assert (ended.state, ended.exit, ended.stops_why) == ("stopped", 0, "the engine ended by itself")


@pytest.mark.parametrize("escape", ["setsid", "daemon"])
def test_a_killed_supervisor_leaves_nothing(servers: Servers, escape: str) -> None:
    """The engine dies with it; a worker in a session of its own is found by the next reader."""
    record = servers.start("--escape", escape)
    until(lambda: len(servers.left()) == 2)
    os.kill(supervisor(record), signal.SIGKILL)
    until(lambda: gone(record))
    assert Server("s").state == "lost"
    assert servers.left() == []
    assert ports.is_free("127.0.0.1", port(record))
    with pytest.raises(TargetError, match="s is lost"):
        _ = Server("s").client
    assert stop("s").state == "stopped"
    dismiss("s")
    assert list(servers.registry.directory.glob("s.*")) == []


def test_the_launching_process_itself_clears_up_after_a_killed_supervisor(servers: Servers) -> None:
    record = servers.start("--escape", "daemon")
    until(lambda: len(servers.left()) == 2)
    os.kill(supervisor(record), signal.SIGKILL)
    until(lambda: servers.left() == [] and servers.registry.key("s") is None)  # and nobody read the registry


def test_a_name_whose_supervisor_was_killed_can_be_used_again(servers: Servers) -> None:
    first = servers.start("--escape", "setsid")
    os.kill(supervisor(first), signal.SIGKILL)
    until(lambda: gone(first))
    second = servers.start("--escape", "setsid")
    assert second.id != first.id
    stop("s")


def test_term_to_the_supervisor_ends_everything_in_order(servers: Servers) -> None:
    record = servers.start()
    os.kill(supervisor(record), signal.SIGTERM)
    until(lambda: gone(record))
    ended = servers.registry.get("s")
    assert ended is not None
    assert (ended.state, ended.exit) == ("stopped", 0)
    assert servers.left() == []


def test_an_engine_that_hears_only_the_second_term_is_not_killed(servers: Servers) -> None:
    servers.start("--ignore-term", "1")
    ended = stop("s")
    assert ended.exit == 0
    assert Server("s").logs().splitlines() == ["TERM 1", "TERM 2"]


def test_an_engine_that_ignores_term_is_killed_after_its_grace(servers: Servers) -> None:
    servers.start("--ignore-term", "99")
    ended = stop("s")
    assert (ended.state, ended.exit) == ("stopped", -9)
    assert servers.left() == []


@pytest.mark.parametrize("escape", ["setsid", "daemon"])
def test_a_worker_that_left_the_group_and_ignores_term_does_not_outlive_a_stop(servers: Servers, escape: str) -> None:
    servers.start("--escape", escape)
    until(lambda: len(servers.left()) == 2)
    stop("s")
    assert servers.left() == []


def test_a_server_that_goes_into_the_background_is_not_lost_there(servers: Servers) -> None:
    outcome = servers.launch("--daemonize", "--load", "60")
    assert type(outcome).__name__ == "Failed"
    assert servers.left() == []


def test_a_supervisor_that_hangs_is_stopped_by_force(servers: Servers) -> None:
    record = servers.start("--escape", "setsid")
    until(lambda: len(servers.left()) == 2)
    os.kill(supervisor(record), signal.SIGSTOP)
    assert stop("s", timeout=0.5).state == "stopped"
    assert servers.left() == []
    until(lambda: gone(record))


# Owners ---------------------------------------------------------------------------------------------------------------

_KERNEL = """
import sys, scripted_engine
from llm_magics.runtime.launch import launch
from llm_magics.runtime.starting import LaunchRequest
from llm_magics.spec import ServerSpec
keep, grace, name = sys.argv[1], float(sys.argv[2]), sys.argv[3]
spec = ServerSpec(name=name, engine="scripted", model="m", keep=keep)
request = LaunchRequest(spec, scripted_engine.engine, scripted_engine.REFERENCE, grace=grace)
print(launch(request, scripted_engine.command).record.id, flush=True)
sys.stdin.readline()
"""


def kernel(servers: Servers, script: Callable[..., Any], keep: str, grace: float) -> tuple[Any, Record]:
    """Another process that launches a server, as a kernel does."""
    process = script(_KERNEL, keep, str(grace), "s")
    servers.ids.add(process.stdout.readline().strip())
    record = servers.registry.get("s")
    assert record is not None
    return process, record


@pytest.mark.parametrize(("keep", "grace"), [("kernel", 0.0), ("cell", 600.0)])
def test_a_server_ends_when_its_kernel_is_killed(
    servers: Servers, script: Callable[..., Any], keep: str, grace: float
) -> None:
    process, record = kernel(servers, script, keep, grace)
    process.kill()
    process.wait()
    until(lambda: gone(record))
    ended = servers.registry.get("s")
    assert ended is not None
    assert (ended.state, ended.stops_why) == ("stopped", "its shell or script ended")
    assert servers.left() == []


def test_an_orphan_waits_for_adoption_and_lives_on_with_its_new_kernel(
    servers: Servers, script: Callable[..., Any]
) -> None:
    process, record = kernel(servers, script, "kernel", 8.0)
    process.kill()
    process.wait()
    waiting = until(lambda: (now := servers.registry.get("s")) and now.stops_at and now)
    assert waiting.state == "ready"
    assert waiting.stops_why == "its shell or script ended"
    assert waiting.stops_at > time.time()
    adopted = adopt("s")
    assert [owner["pid"] for owner in adopted.owners] == [os.getpid()]
    calm = until(lambda: (now := servers.registry.get("s")) and now.stops_at is None and now)
    assert calm.stops_why == ""
    time.sleep(max(0.0, waiting.stops_at - time.time()) + 1.5)
    assert Server("s").state == "ready"
    assert not gone(record)
    stop("s")


def test_a_second_launch_after_a_restart_adopts(servers: Servers, script: Callable[..., Any]) -> None:
    process, _ = kernel(servers, script, "kernel", 600.0)
    process.kill()
    process.wait()
    until(lambda: (now := servers.registry.get("s")) and now.stops_at)
    outcome = servers.launch()
    assert isinstance(outcome, Reused)
    assert [owner["pid"] for owner in outcome.record.owners] == [os.getpid()]
    assert (outcome.record.stops_at, outcome.record.stops_why) == (None, ""), "its card said that it ends"
    assert outcome.before is None
    longer = servers.launch(keep="detached")
    assert isinstance(longer, Reused)
    assert longer.before is not None
    assert (longer.before.keep, longer.record.keep) == ("kernel", "detached")
    stop("s")


def test_a_detached_server_outlives_its_kernel(servers: Servers, script: Callable[..., Any]) -> None:
    process, record = kernel(servers, script, "detached", 0.0)
    process.kill()
    process.wait()
    time.sleep(2.5)
    assert Server("s").state == "ready"
    stop("s")
    until(lambda: gone(record))


def test_an_idle_server_stops_and_a_busy_one_does_not(servers: Servers) -> None:
    record = servers.start(keep="detached", idle=4.0)
    key = servers.registry.key("s")
    busy_until = time.time() + 6.0
    while time.time() < busy_until:
        request = urllib.request.Request(f"{record.url}/work", headers={"Authorization": f"Bearer {key}"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            answer.read()
    assert Server("s").state == "ready"
    announced = until(lambda: (now := servers.registry.get("s")) and now.stops_at and now)
    assert announced.stops_why == "it was idle"
    until(lambda: gone(record))
    ended = servers.registry.get("s")
    assert ended is not None
    assert (ended.state, ended.stops_why) == ("stopped", "it was idle")


def test_a_server_that_somebody_keeps_outlives_its_idleness_and_says_until_when(servers: Servers) -> None:
    record = servers.start(keep="detached", idle=4.0)
    kept = keep("s", 9.0)
    assert kept.keep_until is not None
    # idleness alone would end it five seconds sooner
    announced = until(
        lambda: (now := servers.registry.get("s")) and now.stops_at == pytest.approx(kept.keep_until, abs=2.0) and now
    )
    assert announced.stops_why == lifetime.KEPT
    while time.time() < kept.keep_until - 1.0:
        assert Server("s").state == "ready"
        time.sleep(0.1)
    until(lambda: gone(record))
    assert servers.registry.get("s").stops_why == "it was idle"  # type: ignore[union-attr]


# Records that lie -----------------------------------------------------------------------------------------------------


def forged(servers: Servers, **changes: Any) -> Record:
    """The record of a server that claims to run, with some lies."""
    record = Record(
        id="0" * 32, name="s", engine="scripted", model="m", state="ready", created=time.time(), reuse_key="other",
        host=os.uname().nodename, spec={}, supervisor=identity.current().to_json(), url="http://127.0.0.1:1",
    )  # fmt: skip
    record = replace(record, **changes)
    servers.registry.write(record)
    return record


@pytest.mark.parametrize(
    "lie",
    [{"ticks": 1}, {"boot_id": "another boot"}, {"pidns": 1}],
    ids=["pid of somebody else", "another boot or host", "another pid namespace"],
)
def test_a_pid_that_belongs_to_somebody_else_is_never_signalled(servers: Servers, lie: dict[str, Any]) -> None:
    innocent = bystander()
    try:
        real = identity.of(innocent.pid)
        assert real is not None
        other = {**real.to_json(), **lie}
        forged(servers, supervisor=other, process={**other, "tree": [other]})
        found = servers.registry.get("s")
        assert found is not None
        assert found.state == "lost"
        assert stop("s").state == "stopped"
        assert innocent.poll() is None
        forged(servers, supervisor=other, process={**other, "tree": [other]})
        assert servers.start().state == "ready"  # the name is free to be used
        assert innocent.poll() is None
        stop("s")
        assert innocent.poll() is None
    finally:
        innocent.kill()
        innocent.wait()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"name": "s", "sta',
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"schema": 99, "name": "s"}',
        b'{"schema": 1, "name": "s"}',
    ],
    ids=["empty", "truncated", "list", "null", "not text", "newer", "keys missing"],
)
def test_a_damaged_record_is_skipped_and_can_be_replaced_and_removed(servers: Servers, content: bytes) -> None:
    path = servers.registry.directory / "s.json"
    path.write_bytes(content)
    assert servers.registry.list() == []
    with pytest.raises(LLMMagicsError, match="There is no server 's'"):
        stop("s")
    assert servers.start().state == "ready"
    stop("s")
    path.write_bytes(content)
    dismiss("s")
    assert not path.exists()


def test_a_record_damaged_under_a_running_server_is_made_whole_by_its_supervisor(servers: Servers) -> None:
    record = servers.start()
    path = servers.registry.directory / "s.json"
    path.write_text("{")
    os.kill(supervisor(record), signal.SIGTERM)
    until(lambda: gone(record))
    assert json.loads(path.read_text())["state"] == "stopped"


def test_a_server_whose_record_is_gone_stops_itself(servers: Servers) -> None:
    record = servers.start()
    (servers.registry.directory / "s.json").unlink()
    until(lambda: gone(record))
    assert servers.left() == []
    assert servers.registry.get("s") is None  # and it does not write it again


def test_a_running_server_is_not_dismissed(servers: Servers) -> None:
    servers.start()
    with pytest.raises(LLMMagicsError, match="s is running"):
        dismiss("s")
    stop("s")


# Logs and disks -------------------------------------------------------------------------------------------------------


def test_a_log_is_rotated_while_the_server_runs(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    servers.start("--chatter", "400000")  # 40 MB a second: the limit of 20 MB is passed at once
    log = servers.registry.log_path("s")
    until(lambda: log.with_name("s.log.1").exists())
    stop("s")
    assert log.stat().st_size <= 20_400_001
    assert log.with_name("s.log.1").stat().st_size <= 20_400_001
    assert log.with_name("s.log.1").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in log.parent.glob("s.log*")) == ["s.log", "s.log.1"]


_FULL_DISK = """
import resource, sys, scripted_engine
from llm_magics.runtime.launch import launch
from llm_magics.runtime.starting import LaunchRequest
from llm_magics.spec import ServerSpec
# The supervisor inherits the limit: its files cannot grow beyond 6 kB, as on a full disk.
resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))
args = ["--chatter", "1000"]
spec = ServerSpec(name="s", engine="scripted", model="m", keep="detached", args=args)
request = LaunchRequest(spec, scripted_engine.engine, scripted_engine.REFERENCE)
print(launch(request, lambda port: scripted_engine.command(port, *args)).record.id, flush=True)
"""


def test_a_disk_that_is_full_for_the_log_does_not_end_the_server(servers: Servers, script: Callable[..., Any]) -> None:
    process = script(_FULL_DISK)
    servers.ids.add(process.stdout.readline().strip())
    process.wait()
    log = servers.registry.log_path("s")
    until(lambda: log.stat().st_size >= 5000)
    time.sleep(1.0)
    assert log.stat().st_size <= 6000
    assert Server("s").state == "ready"
    ended = stop("s")
    assert ended.state == "stopped"
    assert servers.left() == []


def test_a_disk_that_is_full_for_the_record_leaves_the_old_one_whole(servers: Servers) -> None:
    """The supervisor cannot say that it has stopped; whoever stops it says so instead, once the disk has room."""
    record = servers.start()
    resource.prlimit(supervisor(record), resource.RLIMIT_FSIZE, (100, 100))
    os.kill(supervisor(record), signal.SIGTERM)
    until(lambda: gone(record))
    claimed = servers.registry.read("s")
    assert claimed is not None
    assert claimed.state == "ready"  # whole, and old
    assert Server("s").state == "lost"
    assert servers.left() == []
    assert stop("s").state == "stopped"
    assert list(servers.registry.directory.glob(".*.tmp")) == []
