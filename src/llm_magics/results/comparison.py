"""Runs, or answers, side by side: what differs, by how much, and whether the difference is real."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_magics.errors import SpecError
from llm_magics.results import effects as differences
from llm_magics.results.effects import Effect, RoundFigures
from llm_magics.results.failures import Failures, unequal, without_survivors
from llm_magics.results.fairness import unfair
from llm_magics.results.pooling import paired, points_of, pooled
from llm_magics.results.showing import Shown
from llm_magics.results.statistics import LEVEL, Doubt
from llm_magics.results.verdict import Verdict, of_effects

if TYPE_CHECKING:
    import pandas as pd

    from llm_magics.results.answers import Answer
    from llm_magics.results.run import Run

# What a verdict speaks of, and so what is corrected for; the table holds more. The main figures are always spoken of;
# the others only where they differ: they may use little of the error, so that they cost the main ones little.
MAIN_METRICS = ("steady_output_throughput", "goodput", "median_ttft_ms", "p99_ttft_ms", "median_tpot_ms", "median_e2el_ms")  # fmt: skip  # noqa: E501
OTHER_METRICS = (
    "mean_ttft_ms", "p90_ttft_ms", "mean_tpot_ms", "p90_tpot_ms", "p99_tpot_ms", "mean_e2el_ms", "p90_e2el_ms",
    "p99_e2el_ms",
)  # fmt: skip
VERDICT_METRICS = MAIN_METRICS + OTHER_METRICS
WEIGHTS = {**dict.fromkeys(MAIN_METRICS, 1.0), **dict.fromkeys(OTHER_METRICS, 0.15)}

TABLE_METRICS = (
    "output_throughput", "steady_output_throughput", "request_throughput", "total_token_throughput", "goodput",
    "mean_ttft_ms", "median_ttft_ms", "p90_ttft_ms", "p99_ttft_ms",
    "mean_tpot_ms", "median_tpot_ms", "p90_tpot_ms", "p99_tpot_ms",
    "mean_itl_ms", "median_itl_ms", "p99_itl_ms",
    "mean_e2el_ms", "median_e2el_ms", "p90_e2el_ms", "p99_e2el_ms",
    "output_throughput_per_gpu", "output_tokens_per_dollar", "dollars_per_million_output_tokens",
    "output_tokens_per_joule",
)  # fmt: skip

ANSWER_FIGURES = ("ttft", "tokens_per_s", "tokens", "prompt_tokens", "e2e", "finish", "error")


class Comparison(Shown):
    """Two or more targets side by side.

    Attributes
    ----------
    rounds
        Label -> the runs of that side, one a round; empty for answers.
    runs
        Label -> its rounds pooled into one `Run`, whose repetitions are the rounds.
    prompt, answers
        The prompt, and label -> `Answer`; None and empty for runs.
    points
        Labels of the sweep points that every side has, in order. Where each side has one point and they differ, both
        names: they are compared, and a flag says so.
    level
        At which differences are judged: 0.95, or what a look at a comparison that may go on leaves (`looks.level`).
    stopped
        Why such a comparison ended when it did; "" where the rounds were given.
    left_out
        Sides that were asked for and could not be measured: label -> why.
    """

    def __init__(
        self,
        rounds: Mapping[str, Sequence[Run]] | None = None,
        *,
        prompt: str | None = None,
        answers: Mapping[str, Answer] | None = None,
        level: float = LEVEL,
        stopped: str = "",
        left_out: Mapping[str, str] | None = None,
    ) -> None:
        self.rounds: dict[str, list[Run]] = paired(rounds or {})
        self.runs: dict[str, Run] = {label: pooled(runs, label) for label, runs in self.rounds.items()}
        self.prompt = prompt
        self.level = level
        self.stopped = stopped
        self.left_out = dict(left_out or {})
        self.answers: dict[str, Answer] = dict(answers or {})
        self.points: list[str] = self._shared_points()

    @classmethod
    def of_runs(
        cls,
        runs: Mapping[str, Run | Sequence[Run]],
        *,
        level: float = LEVEL,
        stopped: str = "",
        left_out: Mapping[str, str] | None = None,
    ) -> Comparison:
        """Compare finished runs: label -> a run, or the runs of interleaved rounds in their order.

        Raises
        ------
        SpecError
            When there is no run, or a side has none.
        """
        from llm_magics.results.run import Run

        sides = {label: [each] if isinstance(each, Run) else list(each) for label, each in runs.items()}
        if not sides or not all(sides.values()):
            raise SpecError("A comparison needs a run on every side.")
        return cls(sides, level=level, stopped=stopped, left_out=left_out)

    @classmethod
    def of_answers(cls, prompt: str, answers: Mapping[str, Answer]) -> Comparison:
        """Put answers to one prompt side by side: label -> answer."""
        return cls(prompt=prompt, answers=answers)

    @property
    def labels(self) -> list[str]:
        """The sides, in the order given."""
        return list(self.runs or self.answers)

    @cached_property
    def throughput(self) -> str:
        """The metric shown as output tokens/s: the steady one, unless a side has none (a short run, another tool's)."""
        steady = "steady_output_throughput"
        whole = all(self._value(run, point, steady) is not None for run in self.runs.values() for point in self.points)
        return steady if whole else "output_throughput"

    @cached_property
    def effects(self) -> list[Effect]:
        """Every pair's difference in every metric of the verdict at every shared point, corrected for their number."""
        return without_survivors(self.effects_in(VERDICT_METRICS), self.failures)

    def effects_in(self, metrics: Sequence[str]) -> list[Effect]:
        """The same in some metrics, corrected for those alone; what is certain among more is certain here."""
        found: list[Effect] = []
        for base, other in combinations(self.runs, 2):
            for metric in metrics:
                found += self._across_points(metric, self.runs[base], self.runs[other])
        return differences.judged(found, self.level, WEIGHTS)

    @cached_property
    def failures(self) -> list[Failures]:
        """The sides that failed certainly more of their requests than another one."""
        return unequal(self.runs, self.points, self.level)

    @property
    def differences(self) -> pd.DataFrame:
        """`effects` as a DataFrame, one row an effect."""
        import pandas as pd

        return pd.DataFrame([asdict(effect) for effect in self.effects]).drop(
            columns=["doubts", "part"], errors="ignore"
        )

    @cached_property
    def table(self) -> pd.DataFrame:
        """Metric by target with 95 % intervals.

        For runs: index (point, metric), columns (label, `value` | `low` | `high`); NaN where there is no interval.
        Each interval is of that figure alone; whether two differ is said by `verdict` and `differences`.
        For answers: index metric, one column a label.
        """
        import pandas as pd

        if self.answers:
            return pd.DataFrame(
                {label: [getattr(answer, name) for name in ANSWER_FIGURES] for label, answer in self.answers.items()},
                index=pd.Index(ANSWER_FIGURES, name="metric"),
                dtype=object,
            )
        from llm_magics.results.intervals import interval

        rows: dict[tuple[str, str], dict[tuple[str, str], float | None]] = {}
        for point in self.points:
            for metric in TABLE_METRICS:
                values = {label: self._value(run, point, metric) for label, run in self.runs.items()}
                if all(value is None for value in values.values()):
                    continue
                row = rows.setdefault((point, metric), {})
                for label, value in values.items():
                    run = self.runs[label]
                    low, high = interval(run, self._place(run, point), metric, value, self.rounds[label])
                    row |= {(label, "value"): value, (label, "low"): low, (label, "high"): high}
        figures = pd.MultiIndex.from_product([self.labels, ["value", "low", "high"]], names=["target", "figure"])
        index = pd.MultiIndex.from_tuples(list(rows), names=["point", "metric"]) if rows else None
        cells = [[row[figure] for figure in figures] for row in rows.values()]
        return pd.DataFrame(cells, index=index, columns=figures, dtype=float)

    @cached_property
    def flags(self) -> list[str]:
        """What makes the comparison unfair or weak; plain sentences, none when nothing does."""
        missing = [f"{label} is left out: {why}" for label, why in self.left_out.items()]
        return missing + (unfair(self.rounds, self.runs) if self.runs else [])

    @cached_property
    def verdict(self) -> Verdict:
        """Which is better, by how much, and whether the difference is real; prints as words."""
        if self.answers:
            from llm_magics.results.answers_verdict import of_answers

            return of_answers(self.answers)
        return of_effects(
            self.effects, self.points, self.labels, self.flags, self.failures, self.stopped, OTHER_METRICS
        )

    def report(self, path: str | Path | None = None) -> Any:
        """The comparison as one HTML page that needs nothing from outside; written to `path` when one is given."""
        return self._drawn_by().report(self, path)

    def __repr__(self) -> str:
        return f"Comparison of {', '.join(self.labels)}\n{self.verdict}"

    def _shared_points(self) -> list[str]:
        names = [[str(point["label"]) for point in points_of(run)] for run in self.runs.values()]
        return [name for name in (names[0] if names else []) if all(name in each for each in names)]

    def _place(self, run: Run, point: str) -> int:
        """The index of a point in a run's records, or in its given summaries."""
        return next(number for number, each in enumerate(run.given or run.asked) if each["label"] == point)

    def _value(self, run: Run, point: str, metric: str) -> float | None:
        value = next(each for each in run.points if each["label"] == point).get(metric)
        return float(value) if isinstance(value, (int, float)) else None

    def _answered(self, run: Run, point: str) -> int:
        return int(next(each for each in run.points if each["label"] == point).get("completed") or 0)

    def _across_points(self, metric: str, base: Run, other: Run) -> list[Effect]:
        """One pair's effects in one metric, the doubt between rounds pooled over the points."""
        found, figures = [], []
        for point in self.points:
            places = self._place(base, point), self._place(other, point)
            key = metric
            values = self._value(base, point, metric), self._value(other, point, metric)
            if metric == "steady_output_throughput" and None in values:
                key = "output_throughput"
                values = self._value(base, point, key), self._value(other, point, key)
            if values[0] is None or values[1] is None:
                continue
            effect = differences.difference(point, key, base, other, (values[0], values[1]), places, self.level)
            if base.given is not None or other.given is not None:
                effect = differences.of_summaries(effect, self._answered(base, point), self._answered(other, point))
            found.append(effect)
            figures.append(self._round_figures(key, base, other, point, places))
        spread = differences.between(figures)
        if spread is None:
            return found
        variance, df = spread
        return [
            replace(
                differences.with_doubt(effect, Doubt((variance / len(each)) ** 0.5, df), self.level), rounds=len(each)
            )
            if len(each) >= differences.LEAST_ROUNDS and effect.outcome != "few"
            else effect
            for effect, (each, _) in zip(found, figures, strict=True)
        ]

    def _round_figures(self, metric: str, base: Run, other: Run, point: str, places: tuple[int, int]) -> RoundFigures:
        if base.given is None and other.given is None:
            return differences.round_figures(metric, base, other, places)
        sides = [self.rounds[base.label], self.rounds[other.label]]
        values = [
            [value for run in runs if (value := _in_round(run, point, metric)) is not None] for runs in sides
        ]  # fmt: skip
        return differences.scaled(metric, *values)


def _in_round(run: Run, point: str, metric: str) -> float | None:
    value = next((each.get(metric) for each in run.points if each["label"] == point), None)
    return float(value) if isinstance(value, (int, float)) else None
