"""Every rule, put to Prometheus' own checker: what it says must be PromQL over what the engine exports, and it must
fire when it should and only then. A rule with a wrong name never fires, and nobody notices until the night it should.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from llm_magics import engines
from llm_magics.errors import SpecError
from llm_magics.monitor import alerts, config, dashboards, programs, signals
from llm_magics.monitor.page import METRICS

EXPORTED = yaml.safe_load((Path(__file__).parent / "exported.yaml").read_text())
WATCHED = [key for key in engines.names() if signals.of(engines.get(key))]
LIMITS = alerts.settled({})
MINUTES = 20  # of the series that rules are tried on
LABELS = 'server="s",model="m"'


@pytest.fixture(scope="module")
def promtool() -> str:
    found = programs.promtool()
    if found is None:
        pytest.fail("promtool is not here, and rules are checked by it: `make prometheus`", pytrace=False)
    return found


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    for name, text in config.rule_files(LIMITS, every=5.0).items():
        (tmp_path / name).write_text(text)
    return tmp_path


def checked(*words: str, cwd: Path) -> None:
    done = subprocess.run(words, capture_output=True, text=True, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr


# What is read, and by what names --------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", WATCHED)
def test_signals_read_what_the_engine_exports(key: str) -> None:
    known = {*EXPORTED[key]["names"], *EXPORTED[key]["older"]}
    assert signals.metrics_in(engines.get(key)) - known == set()


@pytest.mark.parametrize("alert", alerts.alerts(), ids=lambda each: each.name)
def test_an_alert_is_for_exactly_those_engines_that_have_its_signals(alert: alerts.Alert) -> None:
    if not alert.signals():
        assert alert.engines in (("all",), ("monitor",)) or set(alert.engines) == set(WATCHED)
        return
    able = {key for key in WATCHED if set(alert.signals(key)) <= set(signals.of(engines.get(key)))}
    assert set(alert.engines) == able, "an engine that exports what it needs has the alert, and no other"
    assert set(alert.instead) <= able


@pytest.mark.parametrize("alert", alerts.alerts(), ids=lambda each: each.name)
def test_an_alert_says_what_to_do_with_limits_and_cells_that_exist(alert: alerts.Alert) -> None:
    from llm_magics import verbs

    assert alert.meaning
    assert alert.todo
    assert set(alert.limits) <= set(alerts.limits())
    assert alert.severity in ("critical", "warning")
    said = re.findall(r"%llm (\w+)", " ".join([alert.cell, alert.meaning, *alert.todo]))
    assert said
    assert set(said) <= set(verbs.names())
    words = alert.cell.replace("{server}", "s").removeprefix("%llm ").split(maxsplit=1)
    verbs.parser(words[0], "%llm").read(words[1] if len(words) > 1 else "")


def test_every_limit_is_used_and_every_pages_metric_known() -> None:
    assert {name for each in alerts.alerts() for name in each.limits} == set(alerts.limits())
    read = {word for each in alerts.alerts() for word in re.findall(r"llm_\w+", each.expr)}
    assert read <= set(METRICS)


def test_engines_that_export_nothing_are_named() -> None:
    assert set(config.skipped()) == {"transformers", "ollama"}
    assert not any(alerts.rules(key, engines.get(key), LIMITS) for key in config.skipped())


def test_limits_are_read_as_people_write_them_and_wrong_ones_refused() -> None:
    with pytest.raises(SpecError, match="ttft: 250 - in what"):
        alerts.settled({"ttft": 250})
    assert alerts.settled({"ttft": "500ms", "queue": 8})["ttft"] == 0.5
    for wrong in ({"tftt": 1}, {"ttft": "soon"}, {"queue": 0}, {"errors": -1}, {"kv": "nan"}):
        with pytest.raises(SpecError) as error:
            alerts.settled(wrong)
        assert "%llm monitor up --limits" in error.value.then


def test_a_limit_and_a_hold_reach_the_rule() -> None:
    vllm = engines.get("vllm")
    made = {rule["alert"]: rule for rule in alerts.rules("vllm", vllm, alerts.settled({"ttft": "50ms"}), hold=3.0)
            if "alert" in rule}  # fmt: skip
    assert made["TtftOverSlo"]["expr"].endswith("> 0.05")
    assert {rule["for"] for rule in made.values()} == {"3000ms"}


# Prometheus' own checks -----------------------------------------------------------------------------------------------


def test_rules_are_taken_by_promtool(promtool: str, rules: Path) -> None:
    checked(promtool, "check", "rules", *sorted(path.name for path in rules.iterdir()), cwd=rules)


@pytest.mark.parametrize("name", dashboards.dashboards())
def test_queries_of_dashboards_are_promql_over_what_is_exported(promtool: str, name: str, tmp_path: Path) -> None:
    dashboard = dashboards.dashboards()[name]
    queries = dashboards.queries(dashboard)
    assert len(queries) == sum(len(panel["targets"]) for panel in dashboard["panels"]) > 4
    text = {"groups": [{"name": "g", "rules": [{"record": f"x:{n}", "expr": each} for n, each in enumerate(queries)]}]}
    (tmp_path / "queries.yml").write_text(yaml.safe_dump(text))
    checked(promtool, "check", "rules", "queries.yml", cwd=tmp_path)
    key = name.removeprefix("llm-").removesuffix(".json")
    named = {word for each in queries for word in re.findall(r"[A-Za-z_:][\w:]*(?=\{)", each)}
    ours = {*METRICS, "ALERTS", *(signals.recorded(signal) for signal in signals.MEANINGS)}
    engine = set() if key == "overview" else {*EXPORTED[key]["names"], *EXPORTED[key]["older"]}
    assert named - ours - engine == set()


# Firing, and not firing -----------------------------------------------------------------------------------------------


def steady(value: float) -> str:
    return f"{value}+0x{MINUTES * 4}"


def growing(step: float, start: float = 0.0) -> str:
    return f"{start}+{step}x{MINUTES * 4}"


def gauge(key: str, name: str, values: str) -> dict[str, str]:
    """The first name that the engine exports a portable gauge or counter under."""
    metrics = engines.get(key).metrics
    assert metrics
    first = {**metrics.names, **metrics.watched}[name][0].split(" + ")[0]
    return series(key, first, values)


def series(key: str, selector: str, values: str) -> dict[str, str]:
    name, _, labels = selector.partition("{")
    more = f",{labels.removesuffix('}')}" if labels else ""
    return {"series": f'{name}{{engine="{key}",job="engines",{LABELS}{more}}}', "values": values}


def histogram(key: str, name: str, seconds: float) -> list[dict[str, str]]:
    """One observation a second, each of them somewhat below `seconds`."""
    metrics = engines.get(key).metrics
    assert metrics
    base = metrics.names[f"{name}_sum"][0].removesuffix("_sum")
    bounds = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]
    return [
        series(key, f'{base}_bucket{{le="{bound}"}}', growing(15 if bound >= seconds else 0))
        for bound in [*bounds, "+Inf"]
        for bound in [float(bound)]
    ]


def mean(key: str, name: str, seconds: float) -> list[dict[str, str]]:
    return [gauge(key, f"{name}_sum", growing(15 * seconds)), gauge(key, f"{name}_count", growing(15))]


FAILING = {
    "vllm": ('http_requests_total{handler="/v1/completions",status="2xx"}',
             'http_requests_total{handler="/v1/completions",status="5xx"}',
             'http_requests_total{handler="/v1/completions",status="4xx"}'),
    "sglang": ('sglang:http_responses_total{endpoint="/v1/completions",status_code="200"}',
               'sglang:http_responses_total{endpoint="/v1/completions",status_code="500"}',
               'sglang:http_responses_total{endpoint="/health",status_code="503"}'),
    "tgi": ("tgi_request_count", 'tgi_request_failure{err="generation"}', 'tgi_request_failure{err="overloaded"}',
            'tgi_request_failure{err="validation"}', 'tgi_request_failure{err="template"}',
            'tgi_request_failure{err="dropped"}'),
    "triton": ("nv_inference_request_success", 'nv_inference_request_failure{reason="BACKEND"}',
               'nv_inference_request_failure{reason="CANCELED"}'),
}  # fmt: skip


def cases(alert: str, key: str) -> Iterator[tuple[str, bool, list[dict[str, str]]]]:
    """What happens to a server, whether the alert fires, and the engine's own series of it."""
    match alert:
        case "QueueGrowing":
            yield "more wait than run", True, [gauge(key, "waiting", steady(10)), gauge(key, "running", steady(2))]
            yield "the queue grows", True, [gauge(key, "waiting", growing(1, 5)), gauge(key, "running", steady(500))]
            yield "a short queue", False, [gauge(key, "waiting", steady(3)), gauge(key, "running", steady(1))]
            yield "a steady queue that turns over", False, [
                gauge(key, "waiting", steady(6)), gauge(key, "running", steady(8))]  # fmt: skip
        case "TtftOverSlo" if key == "tgi":
            yield "waits longer than the limit", True, histogram(key, "queue", 4.0)
            yield "waits", False, histogram(key, "queue", 0.4)
        case "TtftOverSlo":
            yield "slow", True, histogram(key, "ttft", 4.0)
            yield "quick", False, histogram(key, "ttft", 0.4)
            yield "nobody asks", False, [{**each, "values": steady(7)} for each in histogram(key, "ttft", 4.0)]
        case "TpotOverSlo":
            form = mean if key == "llamacpp" else histogram
            yield "slow", True, form(key, "tpot", 0.5)
            yield "quick", False, form(key, "tpot", 0.05)
        case "KvCacheFull":
            yield "full", True, [gauge(key, "kv_usage", steady(0.97))]
            yield "half full", False, [gauge(key, "kv_usage", steady(0.5))]
        case "Preemptions":
            yield "thrown out", True, [gauge(key, "preemptions", growing(15))]
            yield "none for long", False, [gauge(key, "preemptions", steady(40))]
        case "ErrorRate":
            good, failed, *others = FAILING[key]
            yield "one in five", True, [series(key, good, growing(80)), series(key, failed, growing(20))]
            yield "one in a thousand", False, [series(key, good, growing(1000)), series(key, failed, growing(1))]
            yield "not the server's", False, [series(key, good, growing(80)), series(key, failed, steady(3)),
                                              *(series(key, other, growing(80)) for other in others)]  # fmt: skip
        case "NoProgress":
            yield "hangs", True, [gauge(key, "running", steady(3)), gauge(key, "steps", steady(900))]
            yield "works", False, [gauge(key, "running", steady(3)), gauge(key, "steps", growing(15))]
            yield "has nothing to do", False, [gauge(key, "running", steady(0)), gauge(key, "steps", steady(900))]
        case _:
            raise AssertionError(f"no case for {alert}")


def tried(name: str, fires: bool, inputs: list[dict[str, str]], alert: alerts.Alert, labels: dict[str, str]) -> Any:
    """A test of promtool's: the alert waits for its time, then fires; or never does."""
    sample = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
    expr = f'count by (alertname, server) (ALERTS{{alertname="{alert.name}",alertstate="firing"}})'
    firing = [{"labels": f"{{{sample}}}", "value": 1}] if fires else []
    soon, late = max(0.0, alert.hold - 15), max(600.0, alert.hold + 300)
    checks = [{"expr": expr, "eval_time": f"{late:.0f}s", "exp_samples": firing}]
    if fires and alert.hold > 30:
        checks.append({"expr": expr, "eval_time": f"{soon:.0f}s", "exp_samples": []})
    return {"name": f"{alert.name}: {name}", "interval": "15s", "input_series": inputs, "promql_expr_test": checks}


@pytest.mark.parametrize("key", WATCHED)
def test_rules_of_an_engine_fire_when_they_should_and_only_then(promtool: str, rules: Path, key: str) -> None:
    groups = [
        tried(name, fires, inputs, alert, {"alertname": alert.name, "server": "s"})
        for alert in alerts.alerts()
        if key in alert.engines and alert.signals(key)
        for name, fires, inputs in cases(alert.name, key)
    ]
    assert {True, False} == {bool(each["promql_expr_test"][0]["exp_samples"]) for each in groups}
    test = {"rule_files": [f"{key}.yml"], "evaluation_interval": "15s", "tests": groups}
    (rules / "test.yml").write_text(yaml.safe_dump(test))
    checked(promtool, "test", "rules", "test.yml", cwd=rules)


def page(name: str, values: str, **labels: str) -> dict[str, str]:
    said = ",".join(f'{key}="{value}"' for key, value in labels.items())
    return {"series": f"{name}{{{said}}}", "values": values}


SERVER = {"server": "s", "engine": "ollama", "model": "m"}
OF_PAGE = {
    "ServerDown": [
        ("failed", True, [page("llm_server_up", steady(0), **SERVER)]),
        ("up", False, [page("llm_server_up", steady(1), **SERVER)]),
        ("stopped on purpose", False, [page("llm_server_up", "1 1 0 stale", **SERVER)]),
    ],
    "MetricsMissing": [
        ("answers, page does not", True, [page("llm_server_up", steady(1), **SERVER),
                                          page("up", steady(0), job="engines", **SERVER)]),
        ("both", False, [page("llm_server_up", steady(1), **SERVER), page("up", steady(1), job="engines", **SERVER)]),
        ("down altogether", False, [page("llm_server_up", steady(0), **SERVER),
                                    page("up", steady(0), job="engines", **SERVER)]),
    ],
    "ServerRestarting": [
        ("two failures", True, [page("llm_server_recoveries_total", "0x8 1x8 2x200", **SERVER)]),
        ("one, of a young series", False, [page("llm_server_recoveries_total", "_x30 0 1x200", **SERVER)]),
        ("two long ago", False, [page("llm_server_recoveries_total", steady(2), **SERVER)]),
        ("one, then dismissed", False, [page("llm_server_recoveries_total", "4x20 5x8 0x200", **SERVER)]),
    ],
    "GpuMemoryFull": [
        ("full", True, [page("llm_gpu_memory_used_bytes", steady(79), gpu="0", **SERVER),
                        page("llm_gpu_memory_total_bytes", steady(80), gpu="0", **SERVER)]),
        ("an engine's own share", False, [page("llm_gpu_memory_used_bytes", steady(74), gpu="0", **SERVER),
                                          page("llm_gpu_memory_total_bytes", steady(80), gpu="0", **SERVER)]),
    ],
    "AlertsNotDelivered": [
        ("nobody answers", True, [page("alertmanager_notifications_failed_total", growing(1), integration="webhook")]),
        ("all well", False, [page("alertmanager_notifications_failed_total", steady(0), integration="webhook")]),
    ],
    "MonitorDiskFull": [
        ("nearly", True, [page("llm_monitor_disk_free_bytes", steady(1e8))]),
        ("room", False, [page("llm_monitor_disk_free_bytes", steady(1e11))]),
    ],
}  # fmt: skip


def test_rules_of_the_page_fire_when_they_should_and_only_then(promtool: str, rules: Path) -> None:
    own = [alert for alert in alerts.alerts() if not alert.signals()]
    assert {alert.name for alert in own} == set(OF_PAGE)
    groups = [
        tried(name, fires, inputs, alert,
              {"alertname": alert.name, **({} if alert.engines == ("monitor",) else {"server": "s"})})
        for alert in own
        for name, fires, inputs in OF_PAGE[alert.name]
    ]  # fmt: skip
    test = {"rule_files": ["monitor.yml"], "evaluation_interval": "15s", "tests": groups}
    (rules / "test.yml").write_text(yaml.safe_dump(test))
    checked(promtool, "test", "rules", "test.yml", cwd=rules)
