"""Prometheus and Alertmanager for real: found servers, alerts that arrive and are over, and everything that breaks.

What is scraped here is a page like llama.cpp's, whose numbers a test sets; the key it asks for is the registry's.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from waiting import until

from llm_magics.errors import LaunchError, LLMMagicsError
from llm_magics.monitor import health, running
from llm_magics.monitor.ask import Prometheus
from llm_magics.monitor.home import Home
from llm_magics.monitor.inbox import received
from llm_magics.runtime import processes
from llm_magics.runtime.identity import Identity, current
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry
from llm_magics.spec.monitor import MonitorSpec

QUICK = MonitorSpec(every=1.0, hold=1.0, limits={"queue": 3})
KEY = "key-of-the-server-71f3"


@pytest.fixture(autouse=True)
def programs_are_here() -> None:
    for name in (("prometheus",), ("alertmanager", "prometheus-alertmanager")):
        if not any(map(shutil.which, name)):
            pytest.fail(f"{name[0]} is not here, and this test starts it: `make prometheus`", pytrace=False)


@pytest.fixture
def home(isolated: Path) -> Iterator[Home]:
    """Proof that nothing of a monitor is left."""
    found = Home()
    ids: set[str] = set()
    write = Home.write_state

    def noted(self: Home, state: Any) -> None:
        ids.add(state.id)
        write(self, state)

    Home.write_state = noted  # type: ignore[method-assign]
    yield found
    Home.write_state = write  # type: ignore[method-assign]
    running.down()
    assert not [each for mark in ids for each in processes.marked(mark)]
    assert not found.config.exists()


class Exporter:
    """A server with llama.cpp's pages, of whose numbers the test decides."""

    def __init__(self) -> None:
        self.running, self.waiting, self.decoded = 1, 0, 0
        exporter = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.headers.get("Authorization") != f"Bearer {KEY}":
                    self.send_response(401)
                    self.end_headers()
                    return
                exporter.decoded += 10
                body = (
                    f"llamacpp:requests_processing {exporter.running}\nllamacpp:requests_deferred {exporter.waiting}\n"
                    f"llamacpp:n_decode_total {exporter.decoded}\nllamacpp:tokens_predicted_total {exporter.decoded}\n"
                ).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._handler = Handler
        self.answer(0)
        self.registry = Registry()
        self.record = Record(
            name="s", engine="llamacpp", model="/somewhere/private/m.gguf", served_model="m", state="ready",
            created=time.time(), host=os.uname().nodename, reuse_key="", spec={}, id="1" * 32,
            supervisor=current().to_json(), url=f"http://127.0.0.1:{self.server.server_address[1]}",
        )  # fmt: skip
        self.registry.write_key("s", KEY)
        self.registry.write(self.record)

    def state(self, state: Any) -> None:
        self.record = replace(self.record, state=state)
        self.registry.write(self.record)

    def answer(self, port: int) -> None:
        self.server = ThreadingHTTPServer(("127.0.0.1", port), self._handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def vanish(self) -> int:
        """Nobody listens any more, and the record does not know; the port."""
        self.server.shutdown()
        self.server.server_close()
        return int(self.server.server_address[1])

    def close(self) -> None:
        self.vanish()
        self.state("stopped")
        self.registry.remove("s")


@pytest.fixture
def exporter(isolated: Path) -> Iterator[Exporter]:
    found = Exporter()
    yield found
    found.close()


def _addresses() -> list[str]:
    """Other addresses of this machine."""
    return subprocess.run(["hostname", "-I"], capture_output=True, text=True).stdout.split()


def children(state: Any) -> dict[str, Identity]:
    parent = Identity.from_json(state.process)
    found = processes.descendants(parent.pid)
    return {"alertmanager" if "aler" in processes.name_of(each.pid) else "prometheus": each for each in found}


def up_targets() -> list[dict[str, str]]:
    return [each for each in health.status().targets if each["job"] == "engines" and each["health"] == "up"]


def test_a_server_is_found_its_alert_arrives_and_is_over_and_what_is_left_is_private(
    home: Home, exporter: Exporter
) -> None:
    state = running.up(QUICK).state
    until(up_targets)
    asked = Prometheus(state.prometheus)
    (series,) = until(lambda: asked.now("llm:running"))
    assert (series.labels, series.values) == ({"server": "s", "engine": "llamacpp", "model": "m"}, [1.0])

    began = time.time()
    exporter.waiting = 9
    arrived = health.wait_for("QueueGrowing", "firing", server="s", since=began)
    assert arrived is not None
    assert arrived["annotations"]["summary"] == "9 requests wait for s"
    assert arrived["annotations"]["cell"] == "%llm monitor show"
    firing = [each["labels"]["alertname"] for each in health.status().alerts if each["state"] == "firing"]
    assert firing.count("QueueGrowing") == 1
    exporter.waiting = 0
    assert health.wait_for("QueueGrowing", "resolved", server="s", since=began) is not None

    texts = [path.read_text(errors="replace") for path in home.path.rglob("*") if path.is_file()]
    assert not any(KEY in text or "/somewhere/private" in text for text in texts)
    wrong = [path for path in home.path.rglob("*") if stat.S_IMODE(path.stat().st_mode) & 0o077 and path.is_file()]
    assert wrong == []
    with socket.socket() as other:  # on the loopback interface alone
        other.settimeout(2)
        address = next((a for a in _addresses() if not a.startswith("127.")), None)
        if address:
            assert other.connect_ex((address, int(state.prometheus.rsplit(":", 1)[1]))) != 0


def test_a_server_that_fails_is_an_alert_and_one_that_was_stopped_is_none(home: Home, exporter: Exporter) -> None:
    running.up(QUICK)
    until(up_targets)
    exporter.state("failed")
    assert health.wait_for("ServerDown", "firing", server="s") is not None
    until(lambda: not [each for each in health.status().targets if each["job"] == "engines"])
    exporter.state("stopped")  # `%llm stop` of a failed server, or a start anew
    assert health.wait_for("ServerDown", "resolved", server="s") is not None


def test_a_target_that_vanishes_is_an_alert_until_it_is_back(home: Home, exporter: Exporter) -> None:
    running.up(QUICK)
    until(up_targets)
    port = exporter.vanish()
    assert health.wait_for("ServerDown", "firing", server="s") is not None
    (target,) = until(lambda: [each for each in health.status().targets if each["health"] == "down"])
    assert target["server"] == "s"
    exporter.answer(port)
    assert health.wait_for("ServerDown", "resolved", server="s") is not None
    until(up_targets)


def test_a_prometheus_that_was_killed_is_said_to_be_and_goes_on_with_its_data(home: Home, exporter: Exporter) -> None:
    first = running.up(QUICK).state
    until(up_targets)
    exporter.running = 7
    until(lambda: [each for each in Prometheus(first.prometheus).now("llm:running") if each.values == [7.0]])
    killed = time.time()
    processes.send(children(first)["prometheus"], signal.SIGKILL)
    until(lambda: health.status().health == "broken")
    (trouble,) = health.status().troubles
    assert (trouble.program, trouble.why, trouble.then) == ("prometheus", "it has ended", "%llm monitor up")

    second = running.up()
    assert not second.reused
    assert second.state.prometheus == first.prometheus, "what pointed at it goes on working"
    assert health.status().health == "up"
    kept = Prometheus(second.state.prometheus).over("llm:running", killed - 20, killed, 1.0)
    assert 7.0 in [value for series in kept for value in series.values]


def test_a_monitor_whose_own_process_was_killed_leaves_nothing_running(home: Home) -> None:
    state = running.up(QUICK).state
    theirs = children(state)
    assert len(theirs) == 2
    os.kill(state.process["pid"], signal.SIGKILL)
    until(lambda: not any(each.alive() for each in theirs.values()))
    assert [each.why for each in health.status().troubles] == ["its process is gone"]
    assert running.down()
    assert health.status().health == "down"


def test_up_twice_is_one_monitor_and_other_wishes_start_it_anew(home: Home) -> None:
    first = running.up(QUICK)
    again = running.up()
    assert again.reused
    assert again.state == first.state
    other = running.up(MonitorSpec(every=1.0, limits={"ttft": "300ms"}))
    assert not other.reused
    assert other.state.limits["ttft"] == 0.3
    assert other.state.prometheus == first.state.prometheus


def test_a_taken_port_is_said_with_who_holds_it(home: Home) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for option, name in (("port", "Prometheus"), ("alertmanager_port", "Alertmanager")):
            with pytest.raises(LaunchError) as error:
                running.up(MonitorSpec(**{option: port}))
            lines = str(error.value).splitlines()
            assert len(lines) == 3
            assert f"{name} was not started: port {port} is taken." == lines[0]
            assert f"(pid {os.getpid()})" in lines[1]
            assert f"--{option.replace('_', '-')}" in lines[2]
    assert health.status().health == "down"


def test_a_port_that_another_prometheus_has_is_said_to_be_its(home: Home, tmp_path: Path) -> None:
    other = Home(tmp_path / "other")
    theirs = running.up(QUICK, home=other).state
    try:
        holder = children(theirs)["prometheus"]
        port = int(theirs.prometheus.rpartition(":")[2])
        with pytest.raises(LaunchError) as error:
            running.up(MonitorSpec(port=port))
        assert error.value.what == f"Prometheus was not started: port {port} is taken."
        assert f"prometheus (pid {holder.pid})" in error.value.why
        assert health.status(home=other).health == "up"  # it is left alone
        assert health.status().health == "down"
    finally:
        running.down(home=other)


def test_an_inbox_that_does_not_answer_gets_its_alert_when_it_does(home: Home, exporter: Exporter) -> None:
    state = running.up(QUICK).state
    until(up_targets)
    inbox = Identity.from_json(state.process)
    processes.send(inbox, signal.SIGSTOP)
    try:
        exporter.waiting = 9
        until(lambda: [each for each in Prometheus(state.prometheus).alerts() if each["state"] == "firing"])
        time.sleep(2)  # Alertmanager has tried by now
        assert not [each for each in received(home.inbox) if each["alert"] == "QueueGrowing"]
    finally:
        processes.send(inbox, signal.SIGCONT)
    assert health.wait_for("QueueGrowing", "firing", server="s") is not None


def test_a_full_disk_is_said_and_over_when_there_is_room(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system of 600 kB where one may be mounted, else a limit on the size of files: the same for Prometheus."""
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", small], capture_output=True)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    tight = Home(small / "monitor")
    try:
        if mounted.returncode:
            resource.setrlimit(resource.RLIMIT_FSIZE, (28 * 1024, hard))
        running.up(MonitorSpec(every=1.0, hold=1.0, size=64), home=tight)
        if not mounted.returncode:
            (small / "junk").write_bytes(b"0" * 100_000)
            subprocess.run(["dd", "if=/dev/zero", f"of={small / 'junk'}", "bs=1k"], capture_output=True)
        until(lambda: health.status(home=tight).health == "broken")
        trouble = health.status(home=tight).troubles[0]
        assert (trouble.program, trouble.why) == ("prometheus", "the disk is full")
        assert re.search("no space left on device|file too large|bytes are free at", trouble.line)
        (small / "junk").unlink(missing_ok=True)
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        running.up(home=tight)
        assert health.status(home=tight).health == "up"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        running.down(home=tight)
        if not mounted.returncode:
            subprocess.run(["umount", small], check=True)


def test_only_those_who_know_the_token_may_read_or_write(home: Home) -> None:
    state = running.up(QUICK).state
    token = home.token.read_text()

    def ask(path: str, shown: str, body: bytes | None = None) -> int:
        request = urllib.request.Request(state.inbox + path, data=body, headers={"Authorization": f"Bearer {shown}"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    alert = {"alerts": [{"status": "firing", "labels": {"alertname": "X", "server": "s"}, "annotations": {}}]}
    assert ask("/metrics", "wrong") == ask("/alerts", "", json.dumps(alert).encode()) == 401
    assert received(home.inbox) == []
    assert (ask("/metrics", token), ask("/elsewhere", token)) == (200, 404)
    assert [ask("/alerts", token, body) for body in (b"{", b"[]", b'{"alerts": [1]}')] == [400, 200, 200]
    assert ask("/alerts", token, json.dumps(alert).encode()) == 200
    assert [(each["alert"], each["status"]) for each in received(home.inbox)] == [("X", "firing")]


def test_without_the_programs_it_is_said_what_to_type(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    for on in ("auto", "local"):
        with pytest.raises(LaunchError, match="There is no prometheus and no alertmanager on PATH") as error:
            running.up(MonitorSpec(on=on))
        assert "apt-get install prometheus prometheus-alertmanager" in error.value.then
    with pytest.raises(LaunchError, match="docker is not installed"):
        running.up(MonitorSpec(on="docker"))
    assert health.status().health == "down"


FAKE_DOCKER = """#!{python}
import os, shutil, sys
words = sys.argv[1:]
with open({log!r}, "a") as log:
    log.write(" ".join(words) + chr(10))
if words[0] == "run":
    place = next(n for n, word in enumerate(words) if word.startswith("docker.io/prom/"))
    name = words[place].split("/")[-1].split(":")[0]
    found = shutil.which(name) or shutil.which("prometheus-" + name)
    os.execv(found, [found, *words[place + 1:]])
print("1.0")
"""


def test_in_containers_they_share_the_loopback_interface_and_are_removed_by_name(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client is a stand-in that runs the program itself; what it was told is what docker would be."""
    docker, log = tmp_path / "bin" / "docker", tmp_path / "log"
    docker.parent.mkdir()
    docker.write_text(FAKE_DOCKER.format(python=sys.executable, log=str(log)))
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{docker.parent}{os.pathsep}{os.environ['PATH']}")
    state = running.up(MonitorSpec(on="docker", every=1.0)).state
    assert (state.on, health.status().health, len(state.containers)) == ("docker", "up", 2)
    assert running.down()
    said = log.read_text().splitlines()
    started = [line for line in said if line.startswith("run ")]
    assert len(started) == 2
    for line in started:
        assert "--network=host" in line
        assert f"--user={os.getuid()}:{os.getgid()}" in line
        assert "--web.listen-address=127.0.0.1:" in line
        assert f"--mount=type=bind,source={home.path},target={home.path}" in line
    removed = {line.split()[-1] for line in said if line.startswith("rm ")}
    assert removed == {each["name"] for each in state.containers}


def test_panels_need_a_monitor() -> None:
    from llm_magics.api import monitoring

    with pytest.raises(LLMMagicsError, match="No monitor runs"):
        monitoring.show()
