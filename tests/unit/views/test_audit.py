"""The line in which the client accounts for itself."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from llm_magics.results.records import Audit
from llm_magics.views import audit

GOOD = Audit(0, 0, core=0.12, loop_lag_p99=1e-4, send_lag_p99=2e-4, chunks_per_read=1.25, held=8.0)


def run(*audits: Audit, **point: Any) -> Any:
    asked = [{"ramp": point.pop("ramp", None)}]
    return SimpleNamespace(
        audits=list(audits), points=[{"point": 0, **point}], given=[], header={}, asked=asked, workload={}
    )


def test_all_is_well() -> None:
    said = audit.text(run(GOOD, max_concurrency=8, achieved_concurrency=7.99))
    assert said == (
        "client: 12 % of a core, loop woke 0.100 ms late (p99), requests sent 0.200 ms late (p99), "
        "99.9 % of the asked load, 1.25 chunks a read"
    )


@pytest.mark.parametrize(
    ("changes", "red"), [({"core": 0.71}, "!71 % of a core"), ({"loop_lag_p99": 2e-3}, "!loop woke 2 ms late (p99)")]
)
def test_what_is_beyond_its_threshold_is_red(changes: dict[str, float], red: str) -> None:
    bad = run(GOOD, replace(GOOD, **changes))
    assert red in audit.text(bad)
    assert audit.text(bad).count("!") == 1
    assert f'worse">{red[1:]}<' in str(audit.html(bad))


def test_workers_and_rates() -> None:
    said = audit.text(run(replace(GOOD, workers=3), scheduled_rate=10.0, achieved_rate=9.0))
    assert "busiest of 3 workers" in said
    assert "90.0 % of the asked load" in said


def test_streams_that_come_and_go_as_asked_are_no_part_of_the_load() -> None:
    """A ramp of 1 to 16 streams holds half of 16 on average, and has made all that was asked for."""
    ramp = {"from": 1, "to": 16, "shape": "linear"}
    assert "asked load" not in audit.text(run(GOOD, max_concurrency=16, achieved_concurrency=8.0, ramp=ramp))
    assert "50.0 % of the asked load" in audit.text(run(GOOD, max_concurrency=16, achieved_concurrency=8.0))


def test_each_node_accounts_for_itself_and_for_its_clock() -> None:
    node = {"node": "10.0.0.2", "requests": 8, "core": 0.2, "loop_lag_p99": 1e-4, "error": 0.0004}
    several = run(replace(GOOD, workers=2))
    several.header["nodes"] = [node, {**node, "node": "10.0.0.3", "error": 0.05}, {**node, "lost": "the node is gone"}]
    said = audit.text(several)
    assert ", 10.0.0.2: 8 requests, 20 % of a core, woke 0.100 ms late, clock ±0.400 ms" in said
    assert "!10.0.0.3" in said  # known to 50 ms only
    assert "lost (the node is gone)" in said


def test_runs_of_other_tools_have_no_line() -> None:
    assert audit.text(run()) == ""
    assert audit.html(run()) is None
