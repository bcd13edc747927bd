"""If these fail, a server that swaps or a busy machine is measured without a word, or a quiet one is accused."""

from __future__ import annotations

import pytest
from synthetic import synthetic_run

from llm_magics.results import flags
from llm_magics.results.comparison import Comparison
from llm_magics.results.records import ServerSample
from llm_magics.results.run import Run

MIB = 2**20


def seen(*, cores: int | None = 4, client: float = 0.1, **rates: float) -> Run:
    """A run whose server's machine was looked at: each counter grows by so much a second, `swapped` is what it is."""
    run = synthetic_run(concurrency=[2], requests=12, header={"cores": cores})
    usual = {"cpu_seconds": 1.0, "machine_cpu_seconds": 1.2, "machine_steal_seconds": 0.0, "machine_swap": 0.0}
    grown = {**usual, "major_faults": 0.0, **{key: value for key, value in rates.items() if key != "swapped"}}
    end = run.windows[-1].end
    run.server_samples = [
        ServerSample(
            t, {**{key: 100 + value * t for key, value in grown.items()}, "swapped": rates.get("swapped", 0.0)}
        )
        for t in (0.0, end / 2, end)
    ]
    for audit in run.audits:
        audit.core = client
    return run


def test_a_quiet_machine_is_not_accused() -> None:
    assert flags.disturbed(seen()) == []
    assert flags.disturbed(seen(major_faults=5, swapped=MIB, machine_swap=MIB / 10)) == []


@pytest.mark.parametrize(
    ("rates", "word"),
    [
        ({"major_faults": 200.0}, "(200 a second)"),
        ({"swapped": 64.0 * MIB}, "64 MiB of the engine were swapped out"),
        ({"machine_swap": 100.0 * MIB}, "the machine was swapping"),
        ({"machine_cpu_seconds": 3.0}, "other processes used 1.9 of the 4 cores"),
        ({"machine_steal_seconds": 0.5}, "the hypervisor kept 0.50 of the 4 cores"),
    ],
)
def test_what_goes_on_beside_is_said_of_the_run_and_in_the_verdict(rates: dict[str, float], word: str) -> None:
    run = seen(**rates)
    assert [word in each for each in flags.disturbed(run)] == [True]
    assert any(word in flag for flag in run.flags)
    found = Comparison.of_runs({"A": run, "B": seen()})
    assert [word in flag for flag in found.flags if flag.startswith("while ")] == [True]
    assert "while A was measured" in str(found.verdict)


@pytest.mark.parametrize(("times", "told"), [(1.0, False), (1.05, False), (1.5, True)])
def test_requests_of_others_are_told_by_the_servers_own_count(times: float, told: bool) -> None:
    run = seen()
    (window,), own = run.windows, int(run.measured.output_tokens.sum())
    rate = times * own / (window.end - window.start)
    moments = [window.start + share * (window.end - window.start) for share in (-0.1, 0.1, 0.3, 0.5, 0.7, 0.99, 1.0)]
    run.server_samples = [ServerSample(t, {"output_tokens": 500 + rate * (t - moments[0])}) for t in moments]
    said = f"it counts {times * own:,.0f} output tokens, those of this run had {own:,}"
    assert any(said in each for each in run.flags) is told
    assert any(each.startswith("other requests") for each in run.flags) is told


def test_the_engines_and_the_clients_own_load_is_nobody_elses() -> None:
    assert flags.disturbed(seen(machine_cpu_seconds=3.9, cpu_seconds=2.0, client=1.8)) == []


def test_the_callers_own_load_is_nobody_elses() -> None:
    assert flags.disturbed(seen(machine_cpu_seconds=3.0, caller_cpu_seconds=1.8)) == []


def test_a_moment_says_nothing_of_others() -> None:
    run = seen(machine_cpu_seconds=4.0)
    for window in run.windows:
        window.end = window.start + 1.0
    assert flags.disturbed(run) == []


def test_whose_the_load_is_is_not_guessed_without_the_engines_share() -> None:
    run = seen(machine_cpu_seconds=4.0)
    for sample in run.server_samples:
        del sample.values["cpu_seconds"]
    assert flags.disturbed(run) == []
    assert flags.disturbed(seen(machine_cpu_seconds=4.0, cores=None)) == []


def test_the_servers_counters_tell_of_caches_where_answers_do_not() -> None:
    sides = {"A": seen(cached_tokens=60, prefix_queries=100), "B": seen(cached_tokens=10, prefix_queries=100)}
    for run in sides.values():
        run.columns.cached_tokens[:] = -1
    assert "caches helped unequally: A 60 % of the prompt tokens, B 10 % of the prompt tokens" in Comparison.of_runs(sides).flags  # fmt: skip  # noqa: E501
    alike = {label: seen(cached_tokens=10, prefix_queries=100) for label in "AB"}
    for run in alike.values():
        run.columns.cached_tokens[:] = -1
    assert not any("caches" in flag for flag in Comparison.of_runs(alike).flags)
