"""Several runs of one target as one run whose repetitions are the rounds.

A comparison measures A B, B A, A B …; each round is a run of its own. Pooled, a side is drawn, summarized and tested
like any run, and its rounds stay apart as repetitions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from llm_magics.results.columns import Columns
from llm_magics.results.records import Audit, PointWindow
from llm_magics.results.run import Run


def pooled(runs: Sequence[Run], label: str | None = None) -> Run:
    """One run of all, in the order given; points are matched by their label.

    The header is that of the first run, with `rounds` (the ids of all) added. A single run is returned as it is, but
    for its label. Times stay those of each run's own clock, so only figures within a repetition may be set against
    each other in time; summaries do just that, and each sample of the server names
    its clock.
    """
    if len(runs) == 1:
        only = runs[0]
        return _relabelled(only, label) if label and label != only.label else only
    order = list(dict.fromkeys(point["label"] for run in runs for point in points_of(run)))
    parts: list[Columns] = []
    windows, audits, samples, rounds = [], [], [], 0
    asked: dict[str, dict[str, Any]] = {}
    for run in runs:
        place = [order.index(point["label"]) for point in run.asked] if run.given is None else []
        if run.given is None:
            asked = {**{point["label"]: point for point in run.asked}, **asked}
        repeats = int(run.columns.repeat.max()) + 1 if len(run.columns) else 1
        parts.append(
            replace(
                run.columns,
                point=np.array(place or [0], dtype=np.int64)[run.columns.point],
                repeat=run.columns.repeat + rounds,
            )
        )
        windows += [replace(each, point=place[each.point], repeat=each.repeat + rounds) for each in run.windows]
        audits += [replace(each, point=place[each.point], repeat=each.repeat + rounds) for each in run.audits]
        samples += [replace(each, clock=rounds) for each in run.server_samples]
        rounds += repeats
    first = runs[0]
    status = next((run.status for run in runs if run.partial), "complete")
    given = [_averaged(name, runs) for name in order] if any(run.given is not None for run in runs) else None
    return Run(
        {
            **first.header,
            "label": label or first.label,
            "points": [asked.get(name, {"label": name}) for name in order],
            "rounds": [run.id for run in runs],
        },
        Columns.concatenated(parts),
        windows=windows,
        audits=audits,
        samples=samples,
        status=status,
        given=given,
        notes=list(dict.fromkeys(note for run in runs for note in run.notes)),
    )


def apart(run: Run) -> Run:
    """The other way round: each repetition as a point of its own, for formats that know none. Labels stay."""
    pairs = sorted(set(zip(run.columns.point.tolist(), run.columns.repeat.tolist(), strict=True)))
    if run.given is not None or all(repeat == 0 for _, repeat in pairs):
        return run
    place = {pair: number for number, pair in enumerate(pairs)}

    def alone(each: PointWindow | Audit) -> dict[str, int]:
        return {"point": place[each.point, each.repeat], "repeat": 0}

    points = [place[pair] for pair in zip(run.columns.point.tolist(), run.columns.repeat.tolist(), strict=True)]
    return Run(
        {**run.header, "points": [run.asked[point] for point, _ in pairs]},
        replace(run.columns, point=np.array(points, dtype=np.int64), repeat=np.zeros_like(run.columns.repeat)),
        windows=[replace(each, **alone(each)) for each in run.windows if (each.point, each.repeat) in place],
        audits=[replace(each, **alone(each)) for each in run.audits if (each.point, each.repeat) in place],
        samples=run.server_samples if all(sample.clock == 0 for sample in run.server_samples) else (),
        status=run.status,
        notes=run.notes,
    )


def repetitions(labels: Sequence[str]) -> list[tuple[int, int]]:
    """Of loads one after the other the point and the repetition that each is: a load that comes again is one more."""
    order, seen = list(dict.fromkeys(labels)), Counter[str]()
    found = []
    for label in labels:
        found.append((order.index(label), seen[label]))
        seen[label] += 1
    return found


def points_of(run: Run) -> list[dict[str, Any]]:
    """The points a run reached, as mappings with a `label`: as asked, or as the given summaries say."""
    if run.given is not None:
        return run.given
    return [run.asked[number] for number in map(int, np.unique(run.measured.point))]


def paired(sides: Mapping[str, Sequence[Run]]) -> dict[str, list[Run]]:
    """Sides of one point each that share no label, under one label: whoever names two such runs means these points.

    What each was asked for stays in the header (`asked_for`), where `fairness` finds it. Other sides are returned as
    they are.
    """
    names = {side: list(dict.fromkeys(str(each["label"]) for run in runs for each in points_of(run))) for side, runs in sides.items()}  # fmt: skip  # noqa: E501
    if any(len(each) != 1 for each in names.values()) or len({each[0] for each in names.values()}) < 2:
        return {side: list(runs) for side, runs in sides.items()}
    common = " / ".join(dict.fromkeys(each[0] for each in names.values()))
    return {side: [_renamed(run, names[side][0], common) for run in runs] for side, runs in sides.items()}


def _renamed(run: Run, old: str, new: str) -> Run:
    points = [{**point, "label": new} if point["label"] == old else point for point in run.asked]
    twin = _relabelled(run, run.label, {"points": points, "asked_for": old})
    if twin.given is not None:
        twin.given = [{**point, "label": new} for point in twin.given]
    vars(twin).pop("points", None)
    return twin


def _relabelled(run: Run, label: str, header: Mapping[str, Any] | None = None) -> Run:
    twin = Run(
        {**run.header, **(header or {}), "label": label},
        run.columns,
        windows=run.windows,
        audits=run.audits,
        samples=run.server_samples,
        status=run.status,
        given=run.given,
        notes=run.notes,
    )
    twin.spool = run.spool
    if "points" in vars(run):
        twin.points = run.points  # summaries do not depend on the label
    return twin


def _averaged(label: str, runs: Sequence[Run]) -> dict[str, Any]:
    """A given point as the mean of the rounds that have it; where a figure is no number, the first one's."""
    rounds: list[Mapping[str, Any]] = [point for run in runs for point in run.points if point.get("label") == label]
    counts = (
        "completed",
        "failed",
        "cancelled",
        "num_prompts",
        "duration",
        "total_input_tokens",
        "total_output_tokens",
    )
    found: dict[str, Any] = {}
    for key in dict.fromkeys(key for point in rounds for key in point):
        values = [point.get(key) for point in rounds]
        numbers = [value for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)]
        if len(numbers) == len(values) and key != "max_concurrency":
            found[key] = sum(numbers) if key in counts else float(np.mean(numbers))
        else:
            found[key] = values[0]
    return found
