"""One server under several settings: which gives the most, which answers soonest, and which nobody beats in both.

Each setting was measured once, by the same requests; so this describes. A verdict takes rounds (`Comparison`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_magics.results.metrics import METRICS
from llm_magics.results.showing import Shown

if TYPE_CHECKING:
    import pandas as pd

    from llm_magics.results.comparison import Comparison
    from llm_magics.results.run import Run

TOKENS, REQUESTS = "output_throughput", "request_throughput"
LATENCIES = ("median_e2el_ms", "median_ttft_ms", "median_tpot_ms")  # the first decides the words
_COST = "dollars_per_million_output_tokens"
_GOOD = 0.95  # share within the SLO from which a point counts as keeping it


@dataclass(frozen=True)
class Point:
    """One load under one setting; `figures` as in `Run.points`."""

    setting: str
    load: str
    figures: Mapping[str, Any]

    @property
    def name(self) -> str:
        """`max_num_seqs=8 at 4 streams`."""
        return f"{self.setting} at {self.load}" if self.load else self.setting

    def value(self, key: str) -> float | None:
        """A figure that is a number, or None."""
        value = self.figures.get(key)
        return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


class Sweep(Shown):
    """The runs of a sweep.

    Attributes
    ----------
    runs
        Label of a setting -> its run, in the order of the sweep.
    settings
        Label -> option -> value, of all settings.
    failed
        Label -> why it was not measured.
    notes
        Sentences a reader must know: what was stopped meanwhile, that it was interrupted.
    """

    def __init__(
        self,
        runs: Mapping[str, Run],
        settings: Mapping[str, Mapping[str, Any]],
        *,
        failed: Mapping[str, str] | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        self.runs: dict[str, Run] = dict(runs)
        self.settings = {label: dict(values) for label, values in settings.items()}
        self.failed = dict(failed or {})
        self.notes = list(notes)

    @property
    def partial(self) -> bool:
        """Whether a setting is missing or was broken off."""
        return bool(self.failed) or any(run.partial for run in self.runs.values())

    @cached_property
    def points(self) -> list[Point]:
        """Every load of every setting that answered anything."""
        return [
            Point(label, str(point.get("label") or ""), point)
            for label, run in self.runs.items()
            for point in run.points
            if point.get(TOKENS) or (point.get(TOKENS) is None and point.get("completed"))
        ]

    @cached_property
    def gain(self) -> str:
        """The figure of which more is better: output tokens/s; requests/s where some server did not count its tokens.

        All settings were sent the same requests, so that requests/s compare them; where answers differ in length, less
        exactly.
        """
        return TOKENS if all(point.value(TOKENS) is not None for point in self.points) else REQUESTS

    def front(self, latency: str = LATENCIES[0]) -> list[Point]:
        """The points that no other one beats in throughput without being slower: the Pareto front, fastest first."""
        known = [point for point in self.points if point.value(latency) is not None]
        kept: list[Point] = []
        for point in sorted(known, key=lambda each: (each.value(latency) or 0.0, -self._gain(each))):
            if not kept or self._gain(point) > self._gain(kept[-1]):
                kept.append(point)
        return kept

    @property
    def most(self) -> Point | None:
        """The point with the highest throughput (`gain`)."""
        return max(self.points, key=self._gain, default=None)

    @property
    def soonest(self) -> Point | None:
        """The point with the lowest median E2E."""
        known = [point for point in self.points if point.value(LATENCIES[0]) is not None]
        return min(known, key=lambda each: each.value(LATENCIES[0]) or 0.0, default=None)

    @property
    def most_within(self) -> Point | None:
        """The point with the highest throughput of those that keep the SLO (95 % of the requests)."""
        good = [point for point in self.points if (point.value("goodput") or 0.0) >= _GOOD]
        return max(good, key=self._gain, default=None)

    @property
    def best(self) -> list[str]:
        """The best settings, in words."""
        return list(self._sentences())

    @property
    def headline(self) -> str:
        """The first of the words."""
        return self.best[0]

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a setting and load: the options, the load, whether it is on the front, and its figures."""
        import pandas as pd

        front = {(point.setting, point.load) for point in self.front()}
        return pd.DataFrame(
            [
                {"setting": point.setting, **self.settings.get(point.setting, {}), "load": point.load,
                 "pareto": (point.setting, point.load) in front,
                 **{key: value for key in METRICS if (value := point.value(key)) is not None}}
                for point in self.points
            ]
        )  # fmt: skip

    @property
    def comparison(self) -> Comparison:
        """The same runs as a comparison; of one round each, so it claims nothing."""
        from llm_magics.results.comparison import Comparison

        return Comparison.of_runs(self.runs)

    @property
    def flags(self) -> list[str]:
        """What a reader must know: the notes, what failed, and each run's own flags."""
        found = [*self.notes, *(f"{label} was not measured: {why}" for label, why in self.failed.items())]
        return found + [f"{label}: {flag}" for label, run in self.runs.items() for flag in run.flags]

    def report(self, path: str | Path | None = None) -> Any:
        """The sweep as one HTML page that needs nothing from outside; written to `path` when one is given."""
        return self._drawn_by().report(self, path)

    def __repr__(self) -> str:
        return f"Sweep of {', '.join(self.settings)}\n" + "\n".join(self.best)

    def _gain(self, point: Point) -> float:
        return point.value(self.gain) or 0.0

    def _amount(self, point: Point) -> str:
        """A point's throughput, in words."""
        many = self._gain(point)
        return f"{many:,.0f} output tokens/s" if self.gain == TOKENS else f"{many:,.4g} requests/s"

    def _sentences(self) -> Iterator[str]:
        most, soonest = self.most, self.soonest
        if most is None:
            yield "No setting answered anything."
            return
        yield from self._searched()
        yield f"{most.setting} gives the most: {self._amount(most)}{_at(most)}."
        if self.gain == REQUESTS:
            yield "Judged by requests/s, for the server does not count its tokens; answers may differ in length."
        if any(point.value("goodput") is not None for point in self.points):
            yield self._within_slo()
        if soonest is not None:
            yield f"{soonest.setting} answers soonest: E2E p50 {_ms(soonest.value(LATENCIES[0]))}{_at(soonest)}."
        front = list(dict.fromkeys(point.setting for point in self.front()))
        beaten = [label for label in self.runs if label not in front]
        if beaten and len(self.runs) > 1:
            yield f"Beaten in both throughput and E2E p50 by another one, at every load: {'; '.join(beaten)}."
        priced = [point for point in self.points if point.value(_COST) is not None]
        if priced:
            low = min(priced, key=lambda each: each.value(_COST) or 0.0)
            yield f"{low.setting} is the cheapest: {low.value(_COST):.3g} $ for a million output tokens{_at(low)}."
        if len(self.runs) > 1:
            yield "Each was measured once: this describes; a verdict takes rounds (%compare A B --load)."

    def _searched(self) -> Iterator[str]:
        """What each setting's search found; of searches for the highest good load the highest first."""
        found = [(label, run.search) for label, run in self.runs.items() if run.search is not None]
        if any(search.goal == "slo" for _, search in found):
            found.sort(key=lambda each: each[1].answer or 0.0, reverse=True)
        for label, search in found:
            doubt = "" if search.sure or search.answer is None else " (not sure: a larger budget tells more)"
            yield f"{label}: {search.headline.rstrip('.')}{doubt}."

    def _within_slo(self) -> str:
        found = self.most_within
        if found is None:
            return "No setting keeps the SLO for 95 % of the requests at any load."
        return f"Within the SLO {found.setting} gives the most: {self._amount(found)}{_at(found)}."


def _at(point: Point) -> str:
    return f" at {point.load}" if point.load else ""


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f} ms" if value >= 10 else f"{value:.2g} ms"
