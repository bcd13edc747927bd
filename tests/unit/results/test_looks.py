"""If these fail, a comparison that may stop early stops for the wrong reason, or is judged as if nobody had looked."""

from __future__ import annotations

from dataclasses import replace

import pytest
from trials import SCENARIOS, compared

from llm_magics.results import looks, statistics
from llm_magics.results.comparison import Comparison
from llm_magics.results.effects import Effect

EFFECT = Effect(
    "4 streams", "steady_output_throughput", "a", "b", 100.0, 101.0, 0.01, low=-0.02, high=0.025, p=0.4, corrected=0.9,
    rounds=3, requests=90, outcome="noise",
)  # fmt: skip


def test_the_looks_spend_what_a_verdict_may_err() -> None:
    assert sum(looks.SPENT.values()) == pytest.approx(1 - statistics.LEVEL)
    assert [looks.level(rounds) for rounds in (1, 3, 4, 5)] == pytest.approx([0.99, 0.99, 0.985, 0.975])


def test_narrow_or_certain_is_enough_wide_is_not() -> None:
    wide = replace(EFFECT, point="8 streams", low=-0.1, high=0.1)
    sure = replace(wide, outcome="different")
    assert "known to 5 %" in looks.enough([EFFECT])
    assert looks.enough([sure]).startswith("every difference")
    assert looks.enough([EFFECT, sure])
    assert not looks.enough([EFFECT, wide])
    assert not looks.enough([])
    assert not looks.enough([replace(EFFECT, low=None, high=None)])


def test_at_a_rate_throughput_says_nothing() -> None:
    """Every server that keeps up gives what is sent."""
    rate = replace(EFFECT, point="5 req/s")
    latency = replace(rate, metric="median_e2el_ms", low=-0.3, high=0.3)
    assert not looks.enough([rate, latency])
    assert looks.enough([rate, replace(latency, low=-0.01, high=0.01)])


def test_a_look_is_judged_at_its_own_level() -> None:
    """The interval of an early look is wider, and holds the one of a comparison whose rounds were given."""
    found = compared(SCENARIOS[0], 3)
    sides = {label: runs[:3] for label, runs in found.rounds.items()}
    early = Comparison.of_runs(sides, level=looks.level(3)).effects
    plain = Comparison.of_runs(sides).effects
    both = [(x, y) for x, y in zip(early, plain, strict=True) if x.low is not None and y.low is not None]
    assert both
    assert all(x.low < y.low and x.high > y.high for x, y in both)
    assert all((x.detectable or 0) > (y.detectable or 0) for x, y in both)


def test_weighted_holm() -> None:
    assert statistics.holm([0.01, 0.04]) == pytest.approx([0.02, 0.04])
    # Holm 1979, section 4, by hand: 0.01/3 first against all weight (4), then 0.04/1 against what is left (1)
    assert statistics.holm([0.01, 0.04], [3, 1]) == pytest.approx([4 * 0.01 / 3, 0.04])
    assert statistics.holm([0.01, 0.04], [6, 2]) == pytest.approx(statistics.holm([0.01, 0.04], [3, 1]))
