"""The server's own figures over a point: right between the samples, absent where none was exported, saved."""

from __future__ import annotations

from pathlib import Path

import pytest
from synthetic import synthetic_run

from llm_magics.results import server_side
from llm_magics.results.comparison import Comparison
from llm_magics.results.pooling import pooled
from llm_magics.results.records import PointWindow, ServerSample
from llm_magics.results.run import Run


def samples(every: float = 0.5, until: float = 20.0, clock: int = 0, power: float = 100.0) -> list[ServerSample]:
    """A server that ends 4 requests/s, each after 50 ms to the first token, and uses 1.5 cores and 100 W."""
    found, t = [], 0.0
    while t <= until:
        values = {
            "ttft_sum": 0.05 * 4 * t, "ttft_count": 4 * t, "cached_tokens": 32 * t, "prefix_queries": 128 * t,
            "running": 3.0 if t < 10 else 5.0, "waiting": 0.0 if t < 10 else 2.0, "preemptions": 0.0,
            "cpu_seconds": 7 + 1.5 * t, "rss": 1e9 + 1e7 * t, "gpu_util": 0.8, "gpu_power": power,
            "gpu_energy": 5_000 + power * t,
        }  # fmt: skip
        found.append(ServerSample(t, values, clock))
        t += every
    return found


def test_counters_are_read_off_at_the_windows_ends_and_gauges_within() -> None:
    found = server_side.figures(samples(), [PointWindow(0, 0, 1.2, 9.3)], output_tokens=8_100)
    assert found["mean_server_ttft_ms"] == pytest.approx(50)
    assert found["server_prefix_hits"] == pytest.approx(0.25)
    assert found["server_cpu_cores"] == pytest.approx(1.5)
    assert (found["server_running"], found["max_server_waiting"]) == (3, 0)
    assert found["energy_joules"] == pytest.approx(810)
    assert found["output_tokens_per_joule"] == pytest.approx(10)
    assert found["energy_source"] == "GPUs (NVML)"
    assert found["server_preemptions"] == 0


def test_what_is_not_exported_is_none_and_said() -> None:
    bare = [ServerSample(t, {"running": 1.0}) for t in (0.0, 1.0, 2.0)]
    found = server_side.figures(bare, [PointWindow(0, 0, 0, 2)], 100)
    assert found["server_running"] == 1
    assert all(found[key] is None for key in ("mean_server_ttft_ms", "server_preemptions", "energy_joules", "gpu_util"))
    assert server_side.exported(bare) == {"server_running"}


def test_what_a_short_run_did_not_see_is_not_called_missing() -> None:
    """One look says nothing against what the engine declares, two without it do."""
    declared = ("tpot_sum", "tpot_count", "running", "kv_usage")
    look, machine = {"running": 1.0}, ServerSample(0.1, {"rss": 1e6})
    once, twice = [ServerSample(0.0, look), machine], [ServerSample(t, look) for t in (0.0, 0.5)]
    assert "mean_server_tpot_ms" in server_side.exported([machine], declared)
    assert "mean_server_tpot_ms" in server_side.exported(once, declared)
    assert "mean_server_ttft_ms" not in server_side.exported(once, declared)
    assert "mean_server_tpot_ms" not in server_side.exported(twice, declared)
    assert "mean_server_tpot_ms" not in server_side.exported(once)


def test_nothing_that_ended_between_two_looks_is_unseen_and_exported() -> None:
    declared = ("tpot_sum", "tpot_count", "running")
    still = [ServerSample(t, {"tpot_sum": 3.0, "tpot_count": 40.0, "running": 1.0, "rss": 1e6}) for t in (0.0, 0.5)]
    points = [server_side.figures(still, [PointWindow(0, 0, 0.0, 0.6)], 8)]
    assert server_side.unseen(points, still, declared) == {"mean_server_tpot_ms"}
    assert server_side.unseen([{**points[0], "mean_server_tpot_ms": 1.0}], still, declared) == set()
    assert server_side.unseen(points, still, ()) == set()


def test_a_window_that_the_samples_do_not_cover_has_no_counters() -> None:
    found = server_side.figures(samples(until=5), [PointWindow(0, 0, 4, 19)], 100)
    assert found["mean_server_ttft_ms"] is None
    assert found["energy_joules"] is None


def test_the_end_of_a_run_lies_a_little_beyond_its_last_sample() -> None:
    found = server_side.figures(samples(until=10), [PointWindow(0, 0, 5, 10.9)], 590)
    assert found["energy_joules"] == pytest.approx(590)


def test_power_is_integrated_where_the_card_counts_no_energy() -> None:
    without = [
        ServerSample(each.t, {key: value for key, value in each.values.items() if key != "gpu_energy"})
        for each in samples()
    ]
    found = server_side.figures(without, [PointWindow(0, 0, 2, 12)], 1_000)
    assert found["energy_joules"] == pytest.approx(1_000)
    assert "integrated" in found["energy_source"]


def test_a_package_counts_where_there_is_no_gpu() -> None:
    rapl = [ServerSample(t, {"cpu_energy": 20.0 * t}) for t in (0.0, 5.0, 10.0)]
    found = server_side.figures(rapl, [PointWindow(0, 0, 0, 10)], 400)
    assert (found["energy_joules"], found["output_tokens_per_joule"]) == (pytest.approx(200), pytest.approx(2))


def test_pooled_rounds_keep_their_clocks_apart() -> None:
    one, two = synthetic_run(concurrency=[4]), synthetic_run(concurrency=[4])
    for run, power in ((one, 100.0), (two, 300.0)):
        run.server_samples = samples(power=power, until=run.windows[0].end + 1)
    both = pooled([one, two])
    length = sum(window.end - window.start for window in (*one.windows, *two.windows))
    assert both.points[0]["gpu_power"] == pytest.approx(200, rel=0.03)
    assert both.points[0]["energy_joules"] == pytest.approx(200 * length, rel=0.01)


def test_moments_turn_counters_into_what_they_did_meanwhile() -> None:
    rows = server_side.moments(samples())
    assert "cpu_cores" not in rows[0]
    assert rows[3]["cpu_cores"] == pytest.approx(1.5)
    assert rows[3]["ttft_ms"] == pytest.approx(50)
    assert rows[3]["gpu_power"] == pytest.approx(100)


def test_a_run_carries_them_through_its_file(tmp_path: Path) -> None:
    run = synthetic_run(concurrency=[4])
    run.server_samples = samples(until=run.windows[0].end + 1)
    again = Run.load(run.save(tmp_path / "run.json"))
    assert again.points[0]["mean_server_ttft_ms"] == pytest.approx(50)
    assert next(iter(again.server["cpu_cores"].dropna())) == pytest.approx(1.5)


def test_tokens_per_joule_and_per_dollar_stand_in_a_comparison() -> None:
    sides = {}
    for label, price in (("a", 2.0), ("b", 4.0)):
        run = synthetic_run(name=label, concurrency=[4])
        run.server_samples = samples(until=run.windows[0].end + 1)
        run.header["workload"]["price"] = price
        sides[label] = run
    table = Comparison.of_runs(sides).table
    row = table.loc[("4 streams", "output_tokens_per_dollar")]
    assert row["a", "value"] / row["b", "value"] == pytest.approx(2, rel=0.05)
    assert ("4 streams", "output_tokens_per_joule") in table.index
