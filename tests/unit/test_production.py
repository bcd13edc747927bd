"""`monitor` on the line: what does not go together is said, and what is shown is what a person needs."""

from __future__ import annotations

import json
import math
import re
import time
from pathlib import Path

import pytest

from llm_magics import verbs
from llm_magics.answer import Answer
from llm_magics.cli import main
from llm_magics.errors import SpecError
from llm_magics.monitor.health import Status, Trouble
from llm_magics.monitor.home import State
from llm_magics.views.figures.monitor import Line, Panel
from llm_magics.views.monitor import Panels, StatusCard, notification


def run(line: str) -> Answer:
    return verbs.VERBS["monitor"].run(verbs.parser("monitor", "%llm").read(line))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("upp", "invalid choice"), ("down --port 9090", "--port is for `monitor up`"),
        ("dashboards", "--out DIR goes with"), ("show --out x", "--out DIR goes with"),
        ("up --purge", "--purge is for"), ("show --last soon", "--last and --watch take times"),
        ("show --last 0s", "shows nothing"), ("up --limits tftt=1", "ttft"), ("up --every 0s", "every"),
        ("up --on moon", "on"), ("rules --out x --limits ttft=never", "cannot be 'never'"), ("show", "No monitor runs"),
    ],
)  # fmt: skip
def test_what_does_not_go_is_said(line: str, reason: str) -> None:
    with pytest.raises(Exception, match=reason) as error:
        run(line)
    assert isinstance(error.value, SpecError) or "No monitor" in str(error.value)


def test_a_terminal_says_that_none_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["monitor", "status"]) == 0
    assert "No monitor runs. `llm-magics monitor up`" in capsys.readouterr().out
    assert main(["monitor", "status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["health"] == "down"
    assert main(["monitor", "down"]) == 0
    assert "no monitor ran" in capsys.readouterr().out


def test_rules_and_dashboards_are_written(tmp_path: Path) -> None:
    answer = run(f"rules --out {tmp_path / 'rules'} --limits ttft=50ms")
    assert {Path(each).name for each in answer.data["files"]} >= {"vllm.yml", "monitor.yml"}
    assert "> 0.05" in (tmp_path / "rules" / "vllm.yml").read_text()
    assert len(run(f"dashboards --out {tmp_path / 'boards'}").data["files"]) == 8
    (tmp_path / "file").write_text("")
    for action in ("rules", "dashboards"):
        with pytest.raises(SpecError, match="cannot be written") as refused:
            run(f"{action} --out {tmp_path / 'file' / 'x'}")
        assert "--out DIR" in refused.value.then


STATE = State(
    id="1", process={}, prometheus="http://127.0.0.1:1", alertmanager="http://127.0.0.1:2", inbox="http://127.0.0.1:3",
    on="local", limits={"ttft": 2.0, "disk": 5e8}, every=5.0, hold=None, retention=86400.0, rules=40,
    started=time.time(), versions={"prometheus": "2.42"},
)  # fmt: skip


def test_trouble_stands_on_top_with_what_to_type() -> None:
    trouble = Trouble("prometheus", "the disk is full", "write wal: no space <left>", "free some space")
    card = StatusCard(
        Status("broken", "/data", STATE, [trouble], left_out={"o": "Ollama exports no Prometheus metrics"})
    )
    lines = str(card).splitlines()
    assert lines[1:4] == ["! prometheus: the disk is full", "  write wal: no space <left>", "  -> free some space"]
    assert "left out" in str(card)
    assert "ttft 2s, disk 500 MB" in str(card)
    html = card._repr_mimebundle_()["text/html"]
    assert "no space &lt;left&gt;" in html
    assert "<left>" not in html


def test_an_alert_that_arrives_is_one_line() -> None:
    arrived = {"status": "firing", "alert": "X", "labels": {"server": "s"}, "at": time.time(),
               "annotations": {"summary": "9 wait\x1b[31m"}}  # fmt: skip
    said = notification(arrived)
    assert said.startswith("⚠ ")
    assert said.endswith("X firing: s 9 wait")
    assert notification({**arrived, "status": "resolved"}).endswith("X resolved: s is over")


def test_panels_say_in_the_figure_what_fires_and_are_small() -> None:
    now = time.time()
    times = [now - 300 + 3 * n for n in range(100)]
    lines = [Line("s", times, [2.0] * 100), Line("s", times, [1.0] * 100, dashed=True)]
    shown = [Panel(f"p{n}", "ms", lines, 5.0, "limit") for n in range(6)]
    panels = Panels(shown, 300, now, firing=[{"labels": {"alertname": "X", "server": "<s>"}}], said=["⚠ fired"])
    bundle = panels._repr_mimebundle_()
    layout = bundle["application/vnd.plotly.v1+json"]["layout"]
    assert "firing: X (&lt;s&gt;)" in layout["title"]["subtitle"]["text"]
    assert "⚠ fired" in layout["title"]["subtitle"]["text"]
    assert len(json.dumps(bundle)) < 60_000
    assert panels.stays
    rose = Panels([Panel("queue", "requests", [Line("s", times, [*[7.0] * 98, math.nan, 0.0], dashed=True)])], 300, now)
    for form in (rose._repr_mimebundle_()["text/html"], str(rose)):  # a page without the figure shows the rise, too
        assert "s (dotted)" in form
        assert re.search(r"\b7\b", re.sub("(?s)<style>.*</style>", "", form))
    empty = Panels([], 300, now)
    assert "application/vnd.plotly.v1+json" not in empty._repr_mimebundle_()
    assert "Nothing is recorded yet" in empty._repr_mimebundle_()["text/html"]


def test_the_doctor_says_whether_the_programs_are_here_and_what_installs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    from llm_magics.advice import doctor

    monkeypatch.setenv("PATH", "/nowhere")
    (missing,) = doctor._monitoring()
    assert (missing.state, "apt-get install prometheus" in missing.remedy) == ("missing", True)
    monkeypatch.setattr("llm_magics.monitor.programs.shutil.which", lambda name: f"/bin/{name}")
    (here,) = doctor._monitoring()
    assert (here.state, here.detail) == ("ok", "/bin/prometheus, /bin/alertmanager")
    assert "_monitoring" in doctor.examine.__code__.co_names
