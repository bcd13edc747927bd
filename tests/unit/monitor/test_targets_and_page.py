"""What Prometheus is told to scrape, and what the monitor's own page says: a wrong label, a leaked key or a server that
is called up while it is down would be believed by everybody who looks.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from llm_magics import engines
from llm_magics.engines.metrics import parse
from llm_magics.monitor import config, page
from llm_magics.monitor.home import Home
from llm_magics.monitor.inbox import Inbox, received
from llm_magics.monitor.page import Page
from llm_magics.monitor.process import Monitor, Plan, adapter
from llm_magics.monitor.targets import keys, targets
from llm_magics.runtime import gpus
from llm_magics.runtime.identity import current
from llm_magics.runtime.record import Record


def record(name: str, engine: str, **changes: Any) -> Record:
    made = Record(
        name=name, engine=engine, model="m", served_model="m", state="ready", created=1.0, host="h", reuse_key="",
        spec={}, supervisor={}, id=name, url="http://127.0.0.1:8000",
    )  # fmt: skip
    return replace(made, **changes)


def test_servers_become_targets_with_their_page_and_no_path_of_this_machine() -> None:
    found = targets(
        [record("v", "vllm", served_model="/home/me/models/qwen"), record("t", "triton", url="http://[::1]:9000"),
         record("r", "tensorrt_llm"), record("l", "llamacpp"), record("w", "vllm", state="loading", url=""),
         record("x", "vllm", state="failed")],
        adapter, lambda name: name == "l",
    )  # fmt: skip
    by_name = {each["labels"]["server"]: each for each in found.keyless}
    assert set(by_name) == {"v", "t", "r"}
    assert by_name["v"]["labels"] == {
        "server": "v", "engine": "vllm", "model": "qwen", "job": "engines", "__metrics_path__": "/metrics",
    }  # fmt: skip
    assert by_name["t"]["targets"] == ["[::1]:9002"], "Triton's page has a port of its own"
    assert by_name["r"]["labels"]["__metrics_path__"] == "/prometheus/metrics", "the other page empties when read"
    assert set(found.keyed) == {"l"}
    assert set(found.files()) == {"engines.json", "server-l.json"}
    assert json.loads(found.files()["server-l.json"])[0]["labels"]["server"] == "l"


@pytest.mark.parametrize("engine", ["ollama", "transformers", "of_a_package_that_is_gone"])
def test_a_server_that_exports_nothing_is_left_out_by_name(engine: str) -> None:
    found = targets([record("o", engine)], adapter, lambda _: False)
    assert (found.keyless, found.keyed) == ([], {})
    assert "exports no Prometheus metrics" in found.left_out["o"]


def test_a_key_is_named_by_its_file_only(tmp_path: Path) -> None:
    found = targets([record("l", "llamacpp")], adapter, lambda _: True)
    text = config.prometheus(
        Home(tmp_path), inbox="127.0.0.1:1", alertmanager="127.0.0.1:2", prometheus="127.0.0.1:3", every=5,
        keys=keys(found, lambda name: tmp_path / f"{name}.key"),
    )  # fmt: skip
    job = next(each for each in yaml.safe_load(text)["scrape_configs"] if each["job_name"] == "server-l")
    assert job["authorization"] == {"credentials_file": str(tmp_path / "l.key")}
    assert yaml.safe_load(text)["global"]["scrape_timeout"] == "5000ms"


def lines(text: str) -> dict[tuple[str, str], float]:
    return {(each.name, each.labels.get("server", "")): each.value for each in parse(text)}


def test_up_is_what_the_readiness_page_says_and_what_was_stopped_is_no_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {8000: "HTTP/1.0 200 OK", 8001: None}
    monkeypatch.setattr(page.Probe, "fetch", lambda self, _: answers[self._address[1]])
    records = [
        record("good", "vllm"), record("hangs", "vllm", url="http://127.0.0.1:8001"),
        record("sleeps", "vllm", url="http://127.0.0.1:8001", asleep=True), record("gone", "vllm", state="lost"),
        record("failed", "ollama", state="failed"), record("stopped", "vllm", state="stopped"),
        record("loads", "vllm", state="loading"),
    ]  # fmt: skip
    asked = {each.name: ("/health", "key") for each in records}
    found = lines(Page(tmp_path).look(records, asked))
    up = {server: value for (name, server), value in found.items() if name == "llm_server_up"}
    assert up == {"good": 1, "hangs": 0, "sleeps": 1, "gone": 0, "failed": 0}
    assert found["llm_server_asleep", "sleeps"] == 1
    assert found["llm_monitor_disk_free_bytes", ""] > 0
    assert "key" not in Page(tmp_path).look(records, asked).replace("HELP", "")


@pytest.mark.parametrize(
    ("now", "said"), [("ready", {"s": 0}), ("failed", {"s": 0}), ("stopping", {}), ("stopped", {}), (None, {})]
)
def test_what_was_stopped_since_its_record_was_read_is_not_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, now: str | None, said: dict[str, float]
) -> None:
    """One such sample outlives the monitor: Prometheus, started again within five minutes, would call it down."""
    monkeypatch.setattr(page.Probe, "fetch", lambda *_: None)
    again = {"s": None if now is None else record("s", "vllm", state=now)}
    text = Page(tmp_path, again.get).look([record("s", "vllm")], {"s": ("/health", "key")})
    assert {server: value for (name, server), value in lines(text).items() if name == "llm_server_up"} == said


def test_recoveries_are_the_records_own_count_whoever_looks_and_since_when(tmp_path: Path) -> None:
    text = Page(tmp_path).look([record("s", "vllm", state="loading", recoveries=3)], {})
    assert lines(text)["llm_server_recoveries_total", "s"] == 3


def test_memory_of_the_tree_and_gpus_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "gpus", lambda: [gpus.Gpu(1, "u", "Card", "1", 80, 79)])
    server = record("s", "vllm", gpus=[1], process={"tree": [current().to_json(), {"broken": True}]})
    found = lines(Page(tmp_path).look([server], {}))
    assert found["llm_gpu_memory_used_bytes", "s"] == 79
    assert found["llm_gpu_memory_total_bytes", "s"] == 80
    assert found["llm_server_memory_bytes", "s"] > 1e6


def test_a_look_that_fails_leaves_no_old_page_and_the_next_one_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A page that stays as it was would say of a server that died that it is up, and no alert would fire."""
    plan = Plan(str(tmp_path), str(tmp_path / "r"), {}, {}, {}, {}, "", every=0.01)
    monitor = Monitor(plan)
    seen: list[str] = []

    def look(*_: Any) -> str:
        seen.append(monitor.text)
        if len(seen) == 2:
            raise RuntimeError("the driver is gone")
        if len(seen) == 4:
            monitor.asked.set()
        return "a page"

    monkeypatch.setattr(monitor.page, "look", look)
    monitor._keep_looking()
    assert seen == ["", "a page", "", "a page"]
    assert "the driver is gone" in capsys.readouterr().err


def test_what_alertmanager_tells_again_is_no_news(tmp_path: Path) -> None:
    inbox = Inbox(0, "t", tmp_path / "alerts.json", lambda: "")
    try:
        first = {"labels": {"alertname": "A", "server": "s"}, "status": "firing", "startsAt": "2026-01-01T00:00:00Z"}
        other = {**first, "labels": {"alertname": "B", "server": "s"}}
        over = {**first, "status": "resolved", "endsAt": "2026-01-01T00:01:00Z"}
        again = {**first, "startsAt": "2026-01-01T00:02:00Z"}
        for group in ([first], [first, other], [over, other], [again, other]):
            inbox.take({"alerts": group})
    finally:
        inbox.close()
    said = [(each["alert"], each["status"], each["starts"][14:16]) for each in received(tmp_path / "alerts.json")]
    assert said == [("A", "firing", "00"), ("B", "firing", "00"), ("A", "resolved", "00"), ("A", "firing", "02")]


def test_labels_are_escaped() -> None:
    text = page.text([page.Line("llm_server_up", {"model": 'a"b\\c\nd'}, 1)])
    (sample,) = parse(text)
    assert sample.labels["model"] == 'a"b\\c\nd'


def test_every_engine_that_exports_has_a_rule_file_and_files_are_yaml() -> None:
    from llm_magics.monitor.alerts import settled

    files = config.rule_files(settled({}), every=5.0)
    assert set(files) == {"monitor.yml", *(f"{key}.yml" for key in engines.names() if key not in config.skipped())}
    for text in files.values():
        assert yaml.safe_load(text)["groups"][0]["rules"]
