"""A server in a container, from start to stop and through every accident; the docker here needs no daemon of root's."""

from __future__ import annotations

import os
import signal
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from scripted_docker import Daemon
from scripted_engine import SERVER, ScriptedEngine
from waiting import until

from llm_magics.engines import containers, hardware
from llm_magics.engines.base import Command, Image, Place
from llm_magics.errors import LaunchError
from llm_magics.runtime import containers as outside
from llm_magics.runtime.outcomes import Failed
from llm_magics.runtime.registry import Registry
from llm_magics.runtime.stop import stop
from llm_magics.spec import ServerSpec

if TYPE_CHECKING:
    from conftest import Servers

CLIENT = Path(__file__).with_name("scripted_docker.py")


class Contained(ScriptedEngine):
    """The scripted engine, with an image: the file that is its program anyway."""

    image = Image(gpu=str(SERVER), cpu=str(SERVER), program="server", entry="program", port=8000, options=())

    def program(self, place: Place, spec: ServerSpec) -> list[str]:
        return [str(place.executable.binary), "--port", str(place.port)]


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    """A docker on PATH, and its daemon."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "docker"
    program.write_text(f"#!{sys.executable}\nexec(compile(open({str(CLIENT)!r}).read(), 'docker', 'exec'))\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/d.sock")
    monkeypatch.setattr(hardware, "has_gpu", lambda: False)
    daemon = Daemon(tmp_path / "d.sock")
    yield daemon
    daemon.close()


def build(port: int, *args: str, **options: object) -> Command:
    spec = ServerSpec(name="s", engine="scripted", model="m", on="docker", args=list(args), **options)
    return containers.command(Contained(), spec, "m", port, ())


def start(servers: Servers, *args: str, **options: object) -> object:
    return servers.launch(on="docker", build=lambda port: build(port, *args, **options), **options)


def test_a_container_is_started_asked_and_stopped(docker: Daemon, servers: Servers) -> None:
    record = start(servers, "--say", "hello", "--env", "SCRIPTED_API_KEY").record
    (name,) = docker.running
    assert record.state == "ready"
    assert record.container == {"tool": "docker", "name": name}
    key = servers.registry.key("s")
    request = urllib.request.Request(f"{record.url}/health", headers={"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 200
    run = next(each for each in docker.asked if each["argv"][0] == "run")
    assert "--env=SCRIPTED_API_KEY" in run["argv"]
    assert key is not None
    assert not any(key in word for word in run["argv"])  # the client's arguments are for all to read
    assert key not in record.command
    assert f"--publish=127.0.0.1:{record.url.rsplit(':', 1)[1]}:8000" in run["argv"]
    log = servers.registry.log_path("s").read_text()
    assert "hello" in log
    assert key not in log
    stopped = stop("s", registry=servers.registry)
    assert (stopped.state, stopped.container) == ("stopped", None)
    assert docker.running == []
    assert "TERM 1" in servers.registry.log_path("s").read_text()  # it was asked before it was removed


def test_a_container_that_does_not_obey_is_removed(docker: Daemon, servers: Servers) -> None:
    start(servers, "--ignore-term", "99")
    assert len(docker.running) == 1
    stop("s", registry=servers.registry)
    assert docker.running == []


def test_a_killed_supervisor_leaves_no_container(docker: Daemon, servers: Servers) -> None:
    record = start(servers, "--ignore-term", "99").record
    (name,) = docker.running
    os.kill(record.supervisor["pid"], signal.SIGKILL)
    onlooker = Registry(servers.registry.directory, starts_nothing=True)
    until(lambda: onlooker.get("s").state == "lost")
    assert docker.running == [name]
    until(lambda: servers.registry.get("s").state == "lost")
    until(lambda: docker.running == [])
    assert any(each["argv"] == ["rm", "--force", "--volumes", name] for each in docker.asked)
    until(lambda: servers.registry.key("s") is None)


def test_a_killed_client_ends_the_server_and_its_container(docker: Daemon, servers: Servers) -> None:
    record = start(servers, "--ignore-term", "99").record
    os.kill(record.process["pid"], signal.SIGKILL)
    until(lambda: servers.registry.get("s").state == "failed")
    assert docker.running == []


def test_an_image_that_is_not_there(docker: Daemon, servers: Servers) -> None:
    outcome = start(servers, image="example.org/missing")
    assert isinstance(outcome, Failed)
    assert outcome.diagnosis is not None
    assert outcome.diagnosis["cause"] == "there is no such image, or this user may not fetch it"
    assert "image:" in outcome.diagnosis["remedy"]
    assert docker.running == []


def test_a_daemon_that_does_not_answer(docker: Daemon) -> None:
    outside.check("docker")
    docker.close()
    docker.path.unlink()
    with pytest.raises(LaunchError, match="the container daemon does not answer") as told:
        outside.check("docker")
    assert "Cannot connect to the Docker daemon" in told.value.why
    assert len(str(told.value).splitlines()) == 3


def test_a_client_that_is_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for tool in ("docker", "podman", "apptainer"):
        with pytest.raises(LaunchError, match=f"{tool} is not installed") as told:
            outside.check(tool)
        assert len(str(told.value).splitlines()) == 3


def test_only_containers_of_ours_are_removed(docker: Daemon) -> None:
    for wrong in (None, {}, {"tool": "docker", "name": "postgres"}, {"tool": "sh", "name": "llm-magics-x"}):
        outside.remove(wrong)
    assert docker.asked == []


def test_a_second_of_health_is_waited_for(servers: Servers) -> None:
    """SGLang's /health takes at least a second: a probe with a shorter patience would never see it."""
    record = servers.start("--slow-health", "1.2")
    assert record.state == "ready"
    stop("s", registry=servers.registry)
