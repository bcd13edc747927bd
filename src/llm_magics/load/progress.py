"""What a person watching a run is told, four times a second, from the lines that the worker publishes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Progress:
    """A run at one moment.

    Attributes
    ----------
    point, points, label
        Which point of the sweep (from 0), of how many, and its name.
    repeat, repeats
        Which repetition (from 0), of how many.
    done, errors, in_flight
        Requests of the whole run, warm-up included: ended, of these with an error, under way.
    total
        Requests of the whole run where it is known, else None.
    warmup
        How many of `total` are for warm-up.
    elapsed, expected
        Seconds since the load began; seconds the whole run is expected to take, None while nobody can know.
    ttft, tokens_per_s
        Mean time to first token (s) and output tokens/s over the last quarter second; ttft is None when none ended.
    draining
        Nothing more is sent: seconds that what is in flight still has to end; None before.
    """

    point: int
    points: int
    label: str
    repeat: int
    repeats: int
    done: int
    errors: int
    in_flight: int
    total: int | None
    elapsed: float
    expected: float | None
    ttft: float | None
    tokens_per_s: float
    draining: float | None = None
    warmup: int = 0


class Follower:
    """Turns the worker's lines into `Progress`."""

    def __init__(self, steps: list[dict[str, Any]], labels: list[str]) -> None:
        self.steps = steps
        self.labels = labels
        self.began = time.monotonic()
        counts = [step["answers"] for step in steps]
        self.total = None if None in counts else sum(count or 0 for count in counts)
        self._step = 0
        self._took: list[float] = []
        self._step_began = self.began
        self._done_before = 0

    def read(self, line: dict[str, Any]) -> Progress:
        """The progress that one line of the worker tells."""
        now = time.monotonic()
        number = line["step"]
        if number != self._step:
            self._took.append(now - self._step_began)
            self._step, self._step_began, self._done_before = number, now, line["done"]
        step = self.steps[number]
        return Progress(
            point=step["point"],
            points=len(self.labels),
            label=self.labels[step["point"]],
            repeat=step["repeat"],
            repeats=max(item["repeat"] for item in self.steps) + 1,
            done=line["done"],
            errors=line["errors"],
            in_flight=line["in_flight"],
            total=self.total,
            elapsed=now - self.began,
            expected=self._expected(line["done"], now),
            ttft=line["ttft"],
            tokens_per_s=line["tokens_per_s"],
            draining=line.get("draining"),
            warmup=sum(item["warmup"] for item in self.steps),
        )

    def _expected(self, done: int, now: float) -> float | None:
        """Past steps as they were, this one by its share, coming ones by their schedule or like the last."""
        step, here = self.steps[self._step], now - self._step_began
        current = _scheduled(step)
        if current is None:
            ended = done - self._done_before
            wanted = step["answers"] or 0
            if not ended and not self._took:
                return None
            current = here * max(1.0, wanted / ended) if ended else self._took[-1]
        later = [_scheduled(item) or current for item in self.steps[self._step + 1 :]]
        return sum(self._took) + max(current, here) + sum(later)


def together(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """The lines of several workers as one: sums, the step of the last, TTFT weighted by what it was measured on."""
    if len(lines) == 1:
        return lines[0]
    first = sum(line["fresh"] for line in lines)
    return {
        "step": min(line["step"] for line in lines),
        **{key: sum(line[key] for line in lines) for key in ("done", "errors", "in_flight", "tokens_per_s")},
        "ttft": sum(line["ttft"] * line["fresh"] for line in lines if line["fresh"]) / first if first else None,
        "draining": max((line["draining"] for line in lines if line["draining"] is not None), default=None),
    }


def _scheduled(step: dict[str, Any]) -> float | None:
    """Seconds that a step takes by its own plan; None where the server decides."""
    if step["duration"] is not None:
        return float(step["duration"])
    times = step.get("times")
    return float(times[-1]) if times and times[-1] > 0 else None
