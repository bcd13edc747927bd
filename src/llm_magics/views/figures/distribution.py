"""Latency distributions: the share of requests that were at least so fast, one curve a sweep point.

A cumulative curve hides nothing that a histogram's bins would, and its percentiles can be read off. What is saved are
quantiles, not requests: 60 numbers a curve however long the run was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from llm_magics.views import format as fmt
from llm_magics.views.figures.board import Board, Panel, plain, spans

# Per cent; dense where a reader looks, in the tail. Whole numbers take a byte each.
SHARES = np.concatenate([np.arange(0, 90, 2), np.arange(90, 101)])

METRICS = {"ttft": "TTFT", "tpot": "TPOT", "e2e": "E2E"}

Samples = Mapping[str, Sequence[NDArray[np.float64]]]  # metric -> samples (s) of each series


def switched(
    board: Board,
    row: int,
    span: tuple[float, float],
    samples: Samples,
    names: Sequence[str],
    colours: Sequence[str],
    slo: Mapping[str, float],
    where: str = "",
) -> None:
    """One panel for all three latencies; buttons above it (Plotly's own, no kernel needed) choose which is shown.

    `where` names the load when all series are of one. It stands below the panel: a narrow one has no room for it
    between its heading and the buttons.
    """
    first = next(iter(METRICS))
    unit = f"ms, at {plain(where)}" if where else "ms"
    panel = board.panel(row, *span, _heading(first), x=unit, y="share of requests", yaxis=_SHARE_AXIS)
    start, limits = len(board.traces), len(board.shapes)
    for key in METRICS:
        _curves(panel, key, samples[key], names, colours, shown=key == first)
    for key in METRICS:
        _limit(panel, key, samples[key], slo, shown=key == first)
    places = range(start, len(board.traces))
    shown_by = [board.traces[place]["meta"] for place in places]
    axis = f"xaxis{panel.name}"
    buttons = [
        {
            "label": title,
            "method": "update",
            "args": [
                {"visible": [owner == key for owner in shown_by]},
                {
                    f"annotations[{panel.heading}].text": _heading(key),
                    f"{axis}.type": _kind(samples[key]),
                    f"{axis}.dtick": _dtick(samples[key]),
                    f"{axis}.autorange": True,
                    **{
                        f"shapes[{place}].visible": board.shapes[place]["name"] == key
                        for place in range(limits, len(board.shapes))
                    },
                },
                list(places),
            ],
        }
        for key, title in METRICS.items()
    ]
    panel.axis("x").update(type=_kind(samples[first]), dtick=_dtick(samples[first]))
    panel.buttons(buttons)
    panel.legend([(plain(name), colour) for name, colour in zip(names, colours, strict=True)])


def side_by_side(
    board: Board, row: int, samples: Samples, names: Sequence[str], colours: Sequence[str], slo: Mapping[str, float]
) -> None:
    """A panel for each latency: what a run of one point shows in place of curves over the load."""
    for key, span in zip(METRICS, spans(len(METRICS)), strict=True):
        unit = "share of requests" if key == "ttft" else ""
        panel = board.panel(
            row,
            *span,
            _heading(key),
            x="ms",
            y=unit,
            yaxis=_SHARE_AXIS,
            xaxis={"type": _kind(samples[key]), "dtick": _dtick(samples[key])},
        )
        _curves(panel, key, samples[key], names, colours, shown=True)
        _limit(panel, key, samples[key], slo, shown=True)
        if len(names) == 1:
            _percentile_marks(panel, samples[key][0], colours[0])
        elif key == "ttft":
            panel.legend([(plain(name), colour) for name, colour in zip(names, colours, strict=True)])


def quantiles(samples: NDArray[np.float64]) -> list[float]:
    """The samples' quantiles at `SHARES`, ms; empty without samples."""
    known = samples[~np.isnan(samples)]
    return [] if not len(known) else [float(value) for value in np.quantile(known, SHARES / 100) * 1000]


def _curves(
    panel: Panel,
    key: str,
    series: Sequence[NDArray[np.float64]],
    names: Sequence[str],
    colours: Sequence[str],
    *,
    shown: bool,
) -> None:
    for name, colour, samples in zip(names, colours, series, strict=True):
        values = quantiles(samples)
        panel.add(
            x=values,
            y=SHARES.tolist() if values else [],
            mode="lines",
            line={"color": colour},
            name=plain(name),
            meta=key,
            visible=shown,
            hovertemplate="%{y} % within <b>%{x:,.4~g} ms</b>",
        )


def _limit(
    panel: Panel, key: str, series: Sequence[NDArray[np.float64]], slo: Mapping[str, float], *, shown: bool
) -> None:
    if key in slo:
        most = max((float(np.nanmax(samples)) for samples in series if not np.isnan(samples).all()), default=0.0)
        panel.upright(slo[key] * 1000, f"SLO {fmt.latency(slo[key])}", most * 1000, visible=shown, name=key)


def _percentile_marks(panel: Panel, samples: NDArray[np.float64], colour: str) -> None:
    """Median and 99th percentile: dots on the curve, their values under the heading."""
    known = samples[~np.isnan(samples)]
    if not len(known):
        return
    middle, high = (float(value) * 1000 for value in np.quantile(known, [0.5, 0.99]))
    panel.add(
        x=[middle, high],
        y=[50, 99],
        mode="markers",
        marker={"size": 8, "color": colour},
        hoverinfo="skip",
    )
    panel.subheading(f"p50 <b>{fmt.milliseconds(middle)}</b> &nbsp; p99 <b>{fmt.milliseconds(high)}</b>")


def _heading(key: str) -> str:
    return f"<b>{METRICS[key]}</b>"


def _kind(series: Sequence[NDArray[np.float64]]) -> str:
    """Logarithmic where the slowest hundredth is 30 times the fastest: else everything but the tail is a wall."""
    known = np.concatenate([samples[~np.isnan(samples)] for samples in series]) if series else np.zeros(0)
    known = known[known > 0]
    if not len(known):
        return "linear"
    low, high = np.quantile(known, [0.01, 0.99])
    return "log" if high / low > 30 else "linear"


def _dtick(series: Sequence[NDArray[np.float64]]) -> int | None:
    """Labels at powers of ten only; left to Plotly where the axis is linear."""
    return 1 if _kind(series) == "log" else None


_SHARE_AXIS = {"range": [0, 102], "tickvals": [0, 50, 100], "ticktext": ["0 %", "50 %", "100 %"]}
