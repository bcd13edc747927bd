"""What people read of alerts, and what Grafana reads of dashboards, is what the code has."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import jsonschema
import pytest

from llm_magics import engines
from llm_magics.monitor import alerts, dashboards, signals

ROOT = Path(__file__).resolve().parents[3]
SCHEMA = json.loads((Path(__file__).parent / "grafana_dashboard.schema.json").read_text())


def test_the_page_of_alerts_is_made_from_the_alerts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import alert_docs

    assert (ROOT / "docs" / "alerts.md").read_text() == alert_docs.page(), "python tools/alert_docs.py writes it"
    sys.modules.pop("alert_docs")


@pytest.mark.parametrize("name", dashboards.dashboards())
def test_dashboards_hold_to_grafanas_schema(name: str) -> None:
    dashboard = dashboards.dashboards()[name]
    jsonschema.Draft7Validator(SCHEMA).validate(dashboard)
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    taken = set()
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, "panels do not lie over each other"
        taken |= cells


def test_there_is_a_dashboard_for_each_engine_that_exports_anything_and_files_are_written(tmp_path: Path) -> None:
    written = dashboards.write(tmp_path / "new")
    keys = {key for key in engines.names() if signals.of(engines.get(key))}
    assert {path.stem for path in written} == {"llm-overview", *(f"llm-{key}" for key in keys)}
    for path in written:
        assert json.loads(path.read_text()) == dashboards.dashboards()[path.name]
        assert "key" not in path.read_text().lower().replace("monkey", "")


def test_a_schema_that_takes_everything_would_prove_nothing() -> None:
    wrong = {**dashboards.dashboards()["llm-vllm.json"], "panels": [{"id": 1, "titel": "x"}]}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(SCHEMA).validate(wrong)


def test_a_dashboards_limit_is_the_alerts() -> None:
    panels = {panel["title"]: panel for panel in dashboards.dashboards()["llm-vllm.json"]["panels"]}
    steps = panels["Time to first token"]["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert steps[-1]["value"] == alerts.limits()["ttft"].default
