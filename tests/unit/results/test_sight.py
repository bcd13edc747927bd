"""If these fail, a comparison that could see nothing reads as one that found two servers alike."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from synthetic import synthetic_run

from llm_magics.results import sight
from llm_magics.results.comparison import Comparison
from llm_magics.results.effects import Effect
from llm_magics.results.statistics import Doubt
from llm_magics.views.comparisons import fragments
from llm_magics.views.report import report
from llm_magics.views.words import words

EFFECT = Effect(
    "4 streams", "steady_output_throughput", "A", "B", 100.0, 104.0, 0.04, -0.2, 0.3, 0.6, 1.0, 0.48, 60, 5, "noise"
)


def moody(moods: dict[str, tuple[float, ...]], **how: Any) -> Comparison:
    """Each side's rounds are as a whole slower or faster by these."""
    sides = {
        name: [
            synthetic_run(name=name, seed=10 * i + k, workload_seed=i, tpot=0.01 * mood, concurrency=[4], **how)
            for i, mood in enumerate(each)
        ]
        for k, (name, each) in enumerate(moods.items())
    }
    return Comparison.of_runs(sides)


def test_a_fine_comparison_says_what_would_have_seen_means_and_asks_for_nothing() -> None:
    verdict = moody({"A": (1, 1, 1), "B": (1, 1, 1)}).verdict
    assert verdict.headline.startswith("Within noise: no difference was seen; a difference of ")
    (note,) = verdict.notes
    said = re.search(r"output tokens/s \(would have seen ([\d.]+ %)\)", verdict.sentences[0])
    assert said is not None
    assert note == (
        f'"Would have seen {said[1]}": had the sides differed by {said[1]}, 8 of 10 such comparisons would have found '
        "it; less may be there unseen."
    )


def test_one_that_misses_a_quarter_is_no_word_for_alike() -> None:
    verdict = moody({"A": (1, 1.1, 0.95, 1.05, 1), "B": (1.08, 0.95, 1.1, 1, 0.95)}).verdict
    assert re.fullmatch(
        r"Too noisy to tell: no difference below [345]\d % in output tokens/s would have been seen\.", verdict.headline
    )
    assert "within noise" not in verdict.sentences[0].partition(": too noisy to tell")[0].rpartition(";")[2]
    assert re.search(r"output tokens/s \(would have seen \d\d %\), .*: too noisy to tell", verdict.sentences[0])
    meaning, remedy = verdict.notes
    assert meaning.startswith('"Would have seen ')
    assert re.match(
        r"To see a difference of 25 % in output tokens/s: about (\d+) rounds like these \(--rounds \1\); fewer when ",
        remedy,
    )


def test_one_that_sees_nothing_says_that_and_that_rounds_alone_do_not_help() -> None:
    moods = {"A": (1, 3, 0.4, 2, 0.5), "B": (0.5, 1.1, 2.2, 0.7, 3)}
    verdict = moody(moods).verdict
    assert (
        verdict.headline == "Too noisy to tell: not even a difference of 100 % in output tokens/s would have been seen."
    )
    assert verdict.notes[-1].startswith(
        "Even 30 rounds like these would miss a difference of 25 % in output tokens/s: "
    )
    assert "on a machine that does nothing else" in verdict.notes[-1]


def test_less_than_three_rounds_are_asked_for_more_by_a_caveat_alone() -> None:
    verdict = moody({"A": (1,), "B": (1.05,)}, noise=0.9).verdict
    assert not any("rounds like these" in note for note in verdict.notes)
    assert any("3 rounds or more would show it" in each for each in verdict.caveats)


def test_of_three_sides_the_pair_that_is_known_least_counts() -> None:
    found = moody({"A": (1, 1, 1), "B": (1, 1, 1), "C": (1, 1.04, 0.96)})
    main = [each for each in found.effects if each.metric == "steady_output_throughput"]
    worst = sight.size(max(main, key=lambda each: each.detectable or 0.0))
    assert worst != sight.size(min(main, key=lambda each: each.detectable or 0.0))
    assert f"output tokens/s (would have seen {worst})" in found.verdict.sentences[0]


@pytest.mark.parametrize(
    ("changes", "needed"),
    [
        ({"doubts": (Doubt(0.10, 8.0),)}, 10),
        ({"doubts": (Doubt(0.02, 50.0), Doubt(0.10, 8.0))}, 10),  # the wider one counts
        ({"doubts": (Doubt(0.10, 8.0),), "part": 0.1}, 20),  # of many figures each is harder to find
        ({"doubts": (Doubt(0.60, 8.0),)}, None),
        ({"doubts": (Doubt(0.10, 8.0),), "rounds": 4}, 10),  # from five on they are paired: half the degrees of freedom
        ({"doubts": (Doubt(0.10, 8.0),), "metric": "goodput"}, 8),
        ({"doubts": (Doubt(0.01, 8.0),), "rounds": 1}, None),  # what changes between rounds was not seen
    ],
)
def test_how_many_rounds_would_see_it(changes: dict[str, Any], needed: int | None) -> None:
    assert sight.rounds_to_see(replace(EFFECT, **changes), 0.25) == needed


def test_more_rounds_are_never_fewer_than_were_played() -> None:
    assert sight.rounds_to_see(replace(EFFECT, doubts=(Doubt(0.10, 8.0),), rounds=12), 0.25) > 12  # type: ignore[operator]


def test_what_explains_a_verdict_is_shown_wherever_the_verdict_is() -> None:
    found = moody({"A": (1, 1.1, 0.95, 1.05, 1), "B": (1.08, 0.95, 1.1, 1, 0.95)})
    for note in found.verdict.notes:
        escaped = note.replace('"', "&quot;")
        shown = [str(part) for part in fragments(found) if part is not None]
        assert any(f'<p class="llmm-muted">{escaped}</p>' in part for part in shown)
        assert escaped in words(found)._repr_mimebundle_()["text/html"]  # type: ignore[union-attr]
        assert escaped in str(report(found))
        assert note in str(found.verdict)
