"""If these fail, a verdict says something its runs do not support, or leaves out what makes it unfair."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from synthetic import synthetic_run

from llm_magics.errors import SpecError
from llm_magics.results.answers import Answer
from llm_magics.results.comparison import WEIGHTS, Comparison
from llm_magics.results.pooling import pooled
from llm_magics.results.run import Run
from llm_magics.views.provenance import table


def rounds(name: str, count: int = 3, **server: Any) -> list[Run]:
    """Interleaved rounds: each its own noise and its own prompts, the same for every side."""
    salt = sum(map(ord, name))
    return [synthetic_run(name=name, seed=1000 * i + salt, workload_seed=i, **server) for i in range(count)]


def effect(comparison: Comparison, metric: str, point: str) -> Any:
    return next(each for each in comparison.effects if (each.metric, each.point) == (metric, point))


def flagged(comparison: Comparison, words: str) -> bool:
    return any(words in flag for flag in comparison.flags)


def test_a_faster_server_is_found_and_named_with_its_interval() -> None:
    found = Comparison.of_runs({"A": rounds("A"), "B": rounds("B", tpot=0.0088)})
    here = effect(found, "median_tpot_ms", "4 streams")
    assert here.outcome == "different"
    assert here.low < -0.12 < here.high
    said = str(found.verdict)
    assert said.startswith("B is better: it gives 1")
    assert "] more output tokens/s than A at 1 stream; ahead in 9 of 12" in found.verdict.headline
    assert found.verdict.better == "B"
    assert "At 4 streams: B gives 12 % [" in said
    assert "TTFT p50: within noise, no difference seen (would have seen" in said
    assert repr(found.verdict) == said
    assert not found.flags


def test_equal_servers_are_within_noise_and_what_would_have_been_seen_is_said_once() -> None:
    found = Comparison.of_runs({"A": rounds("A", concurrency=[4]), "B": rounds("B", concurrency=[4])})
    assert re.fullmatch(
        r"Within noise: no difference was seen; a difference of [\d.]+ % in output tokens/s would have been seen\.",
        found.verdict.headline,
    )
    assert found.verdict.better is None
    assert re.match(
        r"At 4 streams: within noise, no difference seen: output tokens/s \(would have seen [\d.]+ %\), "
        r"TTFT p50 \([\d.]+ %\), TPOT p50 \([\d.]+ %\), E2E p50 \([\d.]+ %\)\.$",
        found.verdict.sentences[0],
    )


def test_what_only_the_correction_forbids_is_not_called_noise() -> None:
    found = Comparison.of_runs({"A": rounds("A"), "B": rounds("B")})
    assert effect(found, "median_ttft_ms", "4 streams").outcome == "unsure"
    assert found.verdict.headline.startswith("No difference is certain; a difference of ")
    assert "(not certain among so many comparisons)" in str(found.verdict)


def test_what_cannot_be_told_comes_last_and_is_said_once() -> None:
    """Three rounds that differ by half: not even the double of a time would have been seen."""
    sides = {
        name: [
            synthetic_run(name=name, seed=10 * i + k, workload_seed=i, tpot=0.01 * mood, concurrency=[4])
            for i, mood in enumerate(moods)
        ]
        for k, (name, moods) in enumerate({"A": (1, 2, 0.7), "B": (0.8, 1.1, 2.2)}.items())
    }
    said = Comparison.of_runs(sides).verdict.sentences[0]
    assert re.search(r"; output tokens/s, TPOT p50, E2E p50: too noisy to tell\.$", said)
    assert said.startswith("At 4 streams: TTFT p50: within noise, no difference seen (would have seen ")


def test_mean_and_tail_are_named_beside_a_median_that_says_the_same() -> None:
    """And never counted: they are spoken of only where they differ, so they would be ahead in all of themselves."""
    found = Comparison.of_runs({"A": rounds("A"), "B": rounds("B", tpot=0.0088)})
    assert re.search(r"B's TPOT p50 is 1\d % \[\d+, \d+\] shorter than A's, mean and p90 too;", str(found.verdict))
    assert "TPOT mean" not in str(found.verdict)
    assert "ahead in 9 of 12 comparisons" in found.verdict.headline  # four figures at three loads, TTFT p50 the same


def test_a_tail_alone_is_spoken_of() -> None:
    """One request of eight waits: the median does not know."""

    def tailed(name: str, slow: float) -> list[Run]:
        runs = rounds(name, concurrency=[4], requests=120)
        for run in runs:
            late = np.where(run.columns.index % 8 == 0, slow, 0.0)
            first, last = run.columns.first_token + late, run.columns.last_token + late
            run.columns = replace(run.columns, first_token=first, first_byte=first, last_token=last, done=last)
        return runs

    said = str(Comparison.of_runs({"A": tailed("A", 0.2), "B": tailed("B", 0.0)}).verdict)
    assert re.search(r"B's TTFT p90 is [\d.]+ times \[", said)
    assert "TTFT p50: within noise" in said or "TTFT p50 (" in said


def test_each_side_may_be_ahead_in_something() -> None:
    found = Comparison.of_runs({"A": rounds("A", ttft=0.2, tpot=0.005), "B": rounds("B", ttft=0.05, tpot=0.01)})
    assert found.verdict.headline == (
        "It depends: A is ahead in output tokens/s, TPOT p50 and E2E p50; B is ahead in TTFT p50."
    )
    assert found.verdict.better is None
    assert "B's TTFT p50 is 4.0 times [" in str(found.verdict)


def test_three_sides_are_all_set_against_each_other() -> None:
    found = Comparison.of_runs({"A": rounds("A"), "B": rounds("B"), "C": rounds("C", tpot=0.02)})
    assert {(each.base, each.other) for each in found.effects} == {("A", "B"), ("A", "C"), ("B", "C")}
    assert found.verdict.headline == "A and B are ahead of C; between them no difference is certain."


def test_more_looks_make_each_claim_harder() -> None:
    one = Comparison.of_runs({"A": rounds("A", concurrency=[4]), "B": rounds("B", concurrency=[4], tpot=0.0095)})
    many = Comparison.of_runs({"A": rounds("A", concurrency=[4]), "B": rounds("B", concurrency=[4], tpot=0.0095), "C": rounds("C", concurrency=[4])})  # fmt: skip  # noqa: E501
    few_looks, many_looks = (effect(each, "median_tpot_ms", "4 streams") for each in (one, many))
    assert many_looks.p == few_looks.p
    assert many_looks.corrected > few_looks.corrected >= few_looks.p
    # what would have been seen is said of the corrected test: a share of the error for each of them, by its weight
    assert many_looks.detectable > few_looks.detectable
    tested = [WEIGHTS[each.metric] for each in one.effects if each.p is not None]
    share = 0.05 * WEIGHTS["median_tpot_ms"] / sum(tested)
    stated = max(doubt.detectable(1 - share) for doubt in few_looks.doubts)
    assert few_looks.detectable == pytest.approx(np.expm1(stated))


def test_no_p99_under_300_requests() -> None:
    few = Comparison.of_runs({"A": rounds("A"), "B": rounds("B", ttft=0.2)})
    assert effect(few, "p99_ttft_ms", "4 streams").outcome == "few"
    assert "No verdict on TTFT p99: it takes 300 requests a point, there were 150." in str(few.verdict)
    enough = Comparison.of_runs({"A": rounds("A", requests=100), "B": rounds("B", requests=100, ttft=0.2)})
    assert effect(enough, "p99_ttft_ms", "4 streams").outcome == "different"


def test_a_handful_of_requests_gets_no_verdict() -> None:
    found = Comparison.of_runs({"A": rounds("A", 1, requests=6), "B": rounds("B", 1, requests=6, tpot=0.05)})
    assert found.verdict.headline.startswith("No verdict")
    assert found.verdict.better is None


def test_what_changes_from_round_to_round_widens_the_interval() -> None:
    def moody(name: str, moods: list[float]) -> list[Run]:
        salt = sum(map(ord, name))
        return [synthetic_run(name=name, seed=salt + i, workload_seed=i, tpot=0.01 * mood, concurrency=[4]) for i, mood in enumerate(moods)]  # fmt: skip  # noqa: E501

    calm = Comparison.of_runs({"A": moody("A", [1, 1, 1]), "B": moody("B", [0.95, 0.95, 0.95])})
    moving = Comparison.of_runs({"A": moody("A", [1, 1.1, 0.9]), "B": moody("B", [0.95, 0.85, 1.05])})
    calm_effect, moving_effect = (effect(each, "median_tpot_ms", "4 streams") for each in (calm, moving))
    assert calm_effect.high - calm_effect.low < (moving_effect.high - moving_effect.low) / 3
    assert moving_effect.outcome == "noise"


def test_goodput_is_compared_in_requests_of_a_hundred() -> None:
    slo = {"ttft": 0.055}
    found = Comparison.of_runs({"A": rounds("A", slo=slo), "B": rounds("B", slo=slo, ttft=0.06)})
    assert "A meets the SLO for" in str(found.verdict)
    assert effect(found, "goodput", "4 streams").difference < -0.5


def test_rates_are_compared_over_the_part_where_both_are_loaded() -> None:
    found = Comparison.of_runs({"A": rounds("A", rate=[8], requests=120), "B": rounds("B", rate=[8], requests=120, ttft=0.1)})  # fmt: skip  # noqa: E501
    assert effect(found, "steady_output_throughput", "8 req/s").outcome == "noise"  # both carried what was sent
    assert effect(found, "median_ttft_ms", "8 req/s").outcome == "different"


def test_all_at_once_the_whole_run_counts() -> None:
    def burst(name: str, tpot: float) -> list[Run]:
        runs = rounds(name, rate=[1e6], requests=60, tpot=tpot)
        for run in runs:
            run.header["points"] = [{"arrival": "throughput", "label": "all at once"}]
        return runs

    found = Comparison.of_runs({"A": burst("A", 0.01), "B": burst("B", 0.007)})
    here = effect(found, "output_throughput", "all at once")
    assert here.outcome == "different"
    assert here.low < 0.41 < here.high


def test_table_has_values_with_intervals_around_them() -> None:
    table = Comparison.of_runs({"A": rounds("A"), "B": rounds("B", tpot=0.0088)}).table
    assert table.index.names == ["point", "metric"]
    row = table.loc[("4 streams", "median_tpot_ms")]
    for label, truth in {"A": 10.0, "B": 8.8}.items():
        assert row[label, "low"] < truth < row[label, "high"]
        assert row[label, "low"] <= row[label, "value"] <= row[label, "high"]
    assert np.isnan(table.loc[("4 streams", "p99_ttft_ms")]["A", "high"])  # 150 requests cannot bound a p99
    assert list(table.columns.get_level_values("target").unique()) == ["A", "B"]


def test_differences_are_a_frame() -> None:
    found = Comparison.of_runs({"A": rounds("A"), "B": rounds("B")})
    assert isinstance(found.differences, pd.DataFrame)
    assert len(found.differences) == len(found.effects)
    assert {"point", "metric", "difference", "low", "high", "corrected", "detectable", "outcome"} <= set(
        found.differences
    )


def test_same_runs_same_verdict() -> None:
    one, other = (str(Comparison.of_runs({"A": rounds("A"), "B": rounds("B", tpot=0.0097)}).verdict) for _ in range(2))
    assert one == other


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"workload_seed": 99}, "the prompts are not the same"),
        ({"prompt_tokens": 140}, "different tokens in: A 128.0 on average, B 140.0 on average"),
        ({"output_tokens": 60}, "different tokens out"),
        ({"cached_tokens": 64}, "caches helped unequally: A 0 % of the prompt tokens, B 50 % of the prompt tokens"),
        ({"errors": 5}, "15 of 150 requests to B failed"),
        ({"status": "cancelled"}, "B is partial"),
        ({"concurrency": [1, 4]}, "16 streams was not measured for B"),
        ({"header": {"gpu": "H100"}}, "measured on different machines (gpu: A L4, B H100)"),
    ],
)
def test_what_is_unfair_is_said(changes: dict[str, Any], words: str) -> None:
    base = {"header": {"gpu": "L4"}}
    found = Comparison.of_runs({"A": synthetic_run(name="A", **base), "B": synthetic_run(name="B", seed=1, **(base | changes))})  # fmt: skip  # noqa: E501
    assert flagged(found, words)
    assert f"Careful: {next(flag for flag in found.flags if words in flag)}." in str(found.verdict)


@pytest.mark.parametrize("load", [{"concurrency": [4]}, {"rate": [8]}])
def test_without_counts_of_tokens_no_throughput_is_compared(load: dict[str, Any]) -> None:
    """Chunks a second against tokens a second would be a verdict about how many tokens a chunk has."""
    sides = {name: [synthetic_run(name=name, seed=3 * i + k, **load) for k in range(3)] for i, name in enumerate("AB")}
    for run in sides["A"]:
        run.columns = replace(run.columns, output_tokens=np.full(len(run.columns), -1))
    found = Comparison.of_runs(sides)
    assert not any("throughput" in effect.metric or "tpot" in effect.metric for effect in found.effects)
    assert any(effect.metric == "median_ttft_ms" for effect in found.effects)
    assert flagged(found, "A gave no token counts for 150 of 150 answers")
    assert not flagged(found, "B gave no token counts")


def test_runs_made_apart_with_one_seed_have_other_words() -> None:
    sides = {name: synthetic_run(name=name, seed=i, header={"prompts": {"salt": i}}) for i, name in enumerate("AB")}
    assert flagged(Comparison.of_runs(sides), "the same lengths but not the same words")


@pytest.mark.parametrize("kind", ["file", "dataframe"])
def test_rows_of_ones_own_are_the_same_whatever_the_salt(kind: str) -> None:
    def sides(**prompts: Any) -> Comparison:
        found = {}
        for i, name in enumerate("AB"):
            notes = {key: values[i] for key, values in prompts.items()}
            found[name] = synthetic_run(name=name, seed=i, header={"prompts": notes})
            found[name].header["workload"]["workload"] = kind
        return Comparison.of_runs(found)

    assert not flagged(sides(salt=(1, 2)), "the prompts")
    assert not flagged(sides(salt=(1, 2), digest=("x", "x")), "the prompts")
    assert not flagged(sides(salt=(1, 2), digest=("x", None)), "the prompts")
    assert flagged(sides(salt=(1, 1), digest=("x", "y")), "the prompts are not the same, their rows differ")


def test_other_schedules_with_one_seed_are_said() -> None:
    sides = {name: synthetic_run(name=name, rate=[8]) for name in "AB"}
    for name, run in sides.items():
        run.header["points"][0]["schedule"] = [f"digest of {name}"]
    assert flagged(Comparison.of_runs(sides), "the schedules are not the same")


def test_a_side_with_a_round_or_a_load_more_was_sent_the_same_in_the_others() -> None:
    """A comparison that was broken off has them: nothing was made apart, and no version differs."""

    def side(name: str, rounds: int, rate: list[float]) -> list[Run]:
        found = [synthetic_run(name=name, rate=rate, requests=20, workload_seed=number, header={"prompts": {"salt": number}}) for number in range(rounds)]  # fmt: skip  # noqa: E501
        for number, run in enumerate(found):
            for point in run.header["points"]:
                point["schedule"] = [f"round {number} at {point['label']}"]
        return found

    more = Comparison.of_runs({"A": side("A", 3, [4.0, 8.0]), "B": side("B", 2, [4.0])})
    assert not flagged(more, "the prompts")
    assert not flagged(more, "the schedules")
    assert flagged(more, "8 req/s was not measured for B")
    loads = Comparison.of_runs({"A": side("A", 3, [4.0]), "B": side("B", 3, [8.0])})
    assert flagged(loads, "the loads are not the same")
    assert not flagged(loads, "the schedules")
    others = side("B", 2, [4.0])
    others[1].header["workload"]["seed"] = 7
    assert flagged(Comparison.of_runs({"A": side("A", 3, [4.0]), "B": others}), "their seeds differ")


def test_other_sampling_is_said() -> None:
    one, other = synthetic_run(name="A"), synthetic_run(name="B", seed=1)
    other.header["workload"]["temperature"] = 1.0
    assert flagged(Comparison.of_runs({"A": one, "B": other}), "temperature differs: A 0.0, B 1.0")


def test_one_side_that_ignores_the_asked_length_is_said() -> None:
    one, other = synthetic_run(name="A"), synthetic_run(name="B", seed=1)
    other.columns = replace(other.columns, asked_tokens=other.columns.asked_tokens * 2)
    assert flagged(Comparison.of_runs({"A": one, "B": other}), "the fixed length was not honoured by B")


def test_an_overloaded_client_is_said() -> None:
    one, other = synthetic_run(name="A"), synthetic_run(name="B", seed=1)
    other.audits[0].core = 0.9
    assert flagged(Comparison.of_runs({"A": one, "B": other}), "overloaded while it measured B (90 % of a core)")
    late = synthetic_run(name="B", seed=1)
    late.audits[0].loop_lag_p99 = 0.0123
    assert flagged(Comparison.of_runs({"A": one, "B": late}), "measured B (its loop woke 12.3 ms late, p99)")
    assert "its loop woke at most 12.3 ms late (p99)" in str(table({"B": late}))


def test_one_round_is_said_and_three_are_enough() -> None:
    assert flagged(Comparison.of_runs({"A": rounds("A", 1), "B": rounds("B", 1)}), "1 round each")
    assert not flagged(Comparison.of_runs({"A": rounds("A"), "B": rounds("B")}), "round")
    repeated = {name: synthetic_run(name=name, seed=seed, repeats=3) for seed, name in enumerate("AB")}
    assert not flagged(Comparison.of_runs(repeated), "round")


def test_rounds_are_pooled_into_repetitions_by_the_label_of_their_points() -> None:
    first, second = synthetic_run(concurrency=[1, 4], seed=1), synthetic_run(concurrency=[4, 16], seed=2)
    both = pooled([first, second], "both")
    assert [point["label"] for point in both.points] == ["1 stream", "4 streams", "16 streams"]
    assert [point["repeats"] for point in both.points] == [1, 2, 1]
    middle = both.points[1]
    assert middle["completed"] == 100
    assert middle["duration"] == pytest.approx(first.points[1]["duration"] + second.points[0]["duration"])
    assert both.label == "both"
    assert len(both.requests) == len(first.requests) + len(second.requests)


def test_no_shared_point_is_said() -> None:
    found = Comparison.of_runs({"A": synthetic_run(concurrency=[1, 2]), "B": synthetic_run(rate=[4])})
    assert "nothing can be compared" in str(found.verdict)
    assert found.table.empty


def test_nothing_to_compare_is_an_error() -> None:
    with pytest.raises(SpecError):
        Comparison.of_runs({"A": []})


def test_summaries_of_another_tool_can_be_compared_and_say_that_they_have_no_intervals() -> None:
    theirs = Run.load(Path(__file__).parent / "vllm_bench_serve.json")
    ours = synthetic_run(name="ours", concurrency=[16])
    found = Comparison.of_runs({"ours": ours, "theirs": theirs})
    assert found.verdict.better is None
    assert "(no interval can be given)" in str(found.verdict)
    assert flagged(found, "of theirs there are only summaries")
    row = found.table.loc[("16 streams", "median_ttft_ms")]
    assert row["theirs", "value"] == pytest.approx(242.3088)
    assert np.isnan(row["theirs", "low"])


def test_three_rounds_of_summaries_do_have_intervals() -> None:
    def given(name: str, factor: float) -> list[Run]:
        runs = []
        for i in range(3):
            run = synthetic_run(
                name=name, seed=i + sum(map(ord, name)), concurrency=[4], requests=400, tpot=0.01 * factor
            )
            runs.append(Run(run.header, run.columns.take(np.zeros(0, dtype=np.int64)), given=run.points))
        return runs

    found = Comparison.of_runs({"A": given("A", 1.0), "B": given("B", 0.8)})
    assert effect(found, "median_tpot_ms", "4 streams").outcome == "different"
    assert found.table.loc[("4 streams", "median_tpot_ms")]["A", "low"] < 10 < found.table.loc[("4 streams", "median_tpot_ms")]["A", "high"]  # fmt: skip  # noqa: E501


def test_answers_side_by_side() -> None:
    given = {
        "qwen": Answer("qwen", "m", "yes", ttft=0.2, tokens=10, tokens_per_s=40.0, prompt_tokens=7, finish="stop"),
        "tiny": Answer("tiny", "t", "no", ttft=0.1, tokens=12, tokens_per_s=20.0, prompt_tokens=9, finish="stop"),
        "gone": Answer("gone", error="connection refused"),
    }
    found = Comparison.of_answers("Is it?", given)
    said = str(found.verdict)
    assert "One prompt decides nothing" in said
    assert "tiny was first to speak (tiny 100 ms, qwen 200 ms)" in said
    assert "qwen wrote fastest" in said
    assert "The answers differ (qwen 10 tokens, tiny 12 tokens)" in said
    assert "gone did not answer: connection refused" in said
    assert found.table.loc["tokens_per_s", "qwen"] == 40.0
    assert found.labels == ["qwen", "tiny", "gone"]
    same = {name: Answer(name, text="yes", tokens=1) for name in "ab"}
    assert "The answers are identical." in str(Comparison.of_answers("?", same).verdict)


def test_report_goes_through_the_renderer(monkeypatch: pytest.MonkeyPatch) -> None:
    class Pen:
        def report(self, result: Comparison, path: Any) -> str:
            return f"{result.labels} on {path}"

    monkeypatch.setattr(Comparison, "renderer", Pen())
    assert Comparison.of_runs({"A": synthetic_run()}).report("x.html") == "['A'] on x.html"
