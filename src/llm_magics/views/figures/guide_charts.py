"""The guide's charts, measured: throughput, requests held at once, latency of a request, effort of set-up.

Only the steps of a set-up are no measurement: they are counted, and headed so. Each chart stands beside the guide's own
figures, which are drawn faint and hatched and named for what they are: of 2024, of other models, on other hardware.
They are there to be compared in shape, never in numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from llm_magics.views import format as fmt
from llm_magics.views import palette
from llm_magics.views.figures.board import Board, plain, spans

if TYPE_CHECKING:
    from llm_magics.results.comparison import Comparison
    from llm_magics.results.run import Run

BAR = 30  # px
HELD = 0.95  # share of requests within the SLO from which a load counts as held
NOTE = (
    "Hatched: the guide's own figures, from 2024, with other models on other hardware. Compare which is ahead and how "
    "clearly, not the numbers."
)


@dataclass(frozen=True)
class Chart:
    """One chart: what is measured of a run, and what the guide says of the same (`figures`: engine -> value).

    `most` is the largest value that a run could have shown; one that reached it may hold more. `how` says where the
    values come from.
    """

    title: str
    unit: str
    value: Callable[[Run], float | None]
    about: str = ""
    figures: Mapping[str, float] | None = None
    most: Callable[[Run], float | None] | None = None
    how: str = "measured"


def charts(comparison: Comparison) -> list[Chart]:
    """The charts for a comparison; one whose figure no run has is left out."""
    limited = any(run.slo for run in comparison.runs.values())
    held = "Requests held under the SLO" if limited else "Requests at once without an error"
    found = [
        Chart("Output throughput, best load", "tok/s", partial(_best, comparison.throughput), "Llama 7B, A100",
              {"vLLM": 2500, "DeepSpeed": 2000, "HF Pipeline": 750}),
        Chart(held, "at once", _held, "memory efficiency, concurrent requests",
              {"vLLM": 64, "DeepSpeed": 32, "HF Pipeline": 8}, _heaviest),
        Chart("Latency of a request, lightest load", "ms, median", _latency, "latency, Llama 70B, 4 x H100",
              {"TensorRT-LLM": 25, "vLLM": 40}),
        Chart("Set-up: steps by hand", "commands", _header("setup_steps"), "set-up complexity, relative",
              {"vLLM": 1, "TensorRT-LLM": 4}, how="counted"),
        Chart("Set-up: from command to ready", "s", _header("ready_after")),
        Chart("Set-up: from command to first token", "s", _header("first_token_after")),
        Chart("Set-up: installed size", "GiB", _header("install_size", 1 << 30)),
    ]  # fmt: skip
    return [chart for chart in found if any(chart.value(run) is not None for run in comparison.runs.values())]


def several_engines(comparison: Comparison) -> bool:
    """Whether there is something to set beside the guide: runs of two engines or more."""
    return len({run.header.get("engine") for run in comparison.runs.values()} - {None, "unknown"}) > 1


def guide_figure(comparison: Comparison) -> Any:
    """The charts as a plotly Figure: measured at the left, the guide's at the right; None without several engines."""
    drawn = charts(comparison) if several_engines(comparison) else []
    if not drawn:
        return None
    height = BAR * max(3, len(comparison.runs))
    board = Board("", "", [height] * len(drawn))
    for row, chart in enumerate(drawn):
        left, right = spans(2, 0.08)
        names, runs = list(comparison.runs), list(comparison.runs.values())
        values = [chart.value(run) for run in runs]
        more = [chart.most is not None and value is not None and value == chart.most(run)
                for run, value in zip(runs, values, strict=True)]  # fmt: skip
        colours = [palette.series(number) for number in range(len(names))]
        heading = f"<b>{chart.title}</b>  {chart.how}, {chart.unit}"
        _bars(board, row, left, heading, names, values, {"color": colours}, more)
        if chart.figures:
            hatched = {"color": palette.faded(palette.SLATE, 0.25),
                       "pattern": {"shape": "/", "fgcolor": palette.SLATE, "size": 5}}  # fmt: skip
            heading = f"<b>The guide, 2024</b>  {chart.about}"
            _bars(board, row, right, heading, list(chart.figures), list(chart.figures.values()), hatched, [])
    return board.figure()


def _bars(
    board: Board, row: int, span: tuple[float, float], heading: str, names: Sequence[str],
    values: Sequence[float | None], marker: Mapping[str, Any], more: Sequence[bool],
) -> None:  # fmt: skip
    """Horizontal bars with name and value behind each: names of servers are too long for an axis."""
    most = max((value for value in values if value is not None), default=1.0) or 1.0
    axes: dict[str, Any] = {
        "xaxis": {"range": [0, most * 1.9], "showticklabels": False, "showgrid": False, "ticks": ""},
        "yaxis": {"type": "category", "autorange": "reversed", "showticklabels": False, "showgrid": False},
    }
    panel = board.panel(row, *span, heading, **axes)
    shown = [
        f"{'at least ' * (place < len(more) and more[place])}{fmt.number(each)}" for place, each in enumerate(values)
    ]
    panel.add(
        "bar", orientation="h", y=[plain(name) for name in names], x=list(values), marker=dict(marker), width=0.6,
        text=[f"{plain(name, 24)} <b>{value}</b>" for name, value in zip(names, shown, strict=True)],
        textposition="outside", cliponaxis=False, hovertemplate="%{text}<extra></extra>",
    )  # fmt: skip


def _best(metric: str, run: Run) -> float | None:
    return _most(point.get(metric) for point in run.points)


def _held(run: Run) -> float | None:
    """The most requests at once of any load that was held; 0 when none was."""
    if _heaviest(run) is None:
        return None
    good = (
        _at_once(point)
        for point in run.points
        if (point.get("goodput") or 0.0) >= HELD or (point.get("goodput") is None and not point.get("failed"))
    )
    return _most(good) or 0.0


def _heaviest(run: Run) -> float | None:
    return _most(_at_once(point) for point in run.points)


def _at_once(point: Mapping[str, Any]) -> float | None:
    return point.get("max_concurrency") or point.get("max_concurrent_requests")


def _latency(run: Run) -> float | None:
    lightest = min(run.points, key=lambda point: _at_once(point) or 0.0, default={})
    value = lightest.get("median_e2el_ms")
    return float(value) if isinstance(value, (int, float)) else None


def _header(key: str, unit: float = 1.0) -> Callable[[Run], float | None]:
    def fact(run: Run) -> float | None:
        value = run.header.get(key)
        return value / unit if isinstance(value, (int, float)) and value > 0 else None

    return fact


def _most(values: Any) -> float | None:
    return max((float(value) for value in values if isinstance(value, (int, float))), default=None)
