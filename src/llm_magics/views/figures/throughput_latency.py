"""The sweep: throughput, TTFT and TPOT against the load, with the limits that count as good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llm_magics.views import format as fmt
from llm_magics.views import palette
from llm_magics.views.figures.board import Board, Panel, spans
from llm_magics.views.figures.load_axis import load_axis

LATENCIES = {"ttft": ("TTFT", "time to first token"), "tpot": ("TPOT", "time per output token")}


def throughput_latency(board: Board, row: int, points: Sequence[Mapping[str, Any]], slo: Mapping[str, float]) -> None:
    """Three panels over a sweep's points (two or more); `slo` in seconds."""
    positions, title, axis = load_axis(points)
    left, middle, right = spans(3)
    colours = [palette.series(number) for number in range(len(points))]
    panel = board.panel(row, *left, "<b>Output throughput</b>", x=title, y="tok/s", xaxis=axis)
    _throughput(panel, positions, points, colours)
    for (key, (name, meaning)), span in zip(LATENCIES.items(), (middle, right), strict=True):
        panel = board.panel(row, *span, f"<b>{name}</b>  {meaning}", x=title, y="ms", xaxis=axis)
        _percentiles(panel, positions, points, key, colours)
        if key in slo:
            known = [point[f"p99_{key}_ms"] for point in points if point.get(f"p99_{key}_ms")]
            panel.level(slo[key] * 1000, f"SLO {fmt.latency(slo[key])}", max(known, default=0.0))


def _throughput(
    panel: Panel, positions: Sequence[Any], points: Sequence[Mapping[str, Any]], colours: Sequence[str]
) -> None:
    shares = [point.get("goodput") for point in points]
    values = [point.get("output_throughput") for point in points]
    panel.add(
        x=list(positions),
        y=values,
        mode="lines+markers",
        line={"color": palette.BLUE},
        marker={"size": 9, "color": list(colours)},
        cliponaxis=False,
        hovertemplate=f"%{{x}} {_unit(panel)}<br><b>%{{y:,.4~g}} tok/s</b>%{{text}}<extra></extra>",
        text=["" if share is None else f"<br>{fmt.percent(share)} within the SLO" for share in shares],
    )
    highest = max((value for value in values if value), default=1.0)
    panel.axis("y")["range"] = [0, highest * 1.1]


def _percentiles(
    panel: Panel, positions: Sequence[Any], points: Sequence[Mapping[str, Any]], key: str, colours: Sequence[str]
) -> None:
    """Median and 99th percentile with the space between them filled; their names stand at their right ends."""
    name = LATENCIES[key][0]
    for quantile, field in (("p99", f"p99_{key}_ms"), ("p50", f"median_{key}_ms")):
        values = [point.get(field) for point in points]
        panel.add(
            x=list(positions),
            y=values,
            mode="lines+markers+text",
            line={"color": palette.BLUE} if quantile == "p50" else {"color": palette.BLUE, "width": 1.5, "dash": "dot"},
            marker={"size": 9 if quantile == "p50" else 7, "color": list(colours)},
            text=[*[""] * (len(points) - 1), quantile],
            textposition="top left" if quantile == "p99" else "bottom left",
            textfont={"size": 11},
            cliponaxis=False,
            hovertemplate=f"%{{x}} {_unit(panel)}<br>{name} {quantile} <b>%{{y:,.4~g}} ms</b><extra></extra>",
            **({"fill": "tonexty", "fillcolor": palette.faded(palette.BLUE, 0.1)} if quantile == "p50" else {}),
        )
    known = [point[field] for point in points for field in (f"p99_{key}_ms", f"median_{key}_ms") if point.get(field)]
    if known and max(known) / min(known) > 50:
        panel.axis("y").update(type="log", rangemode="normal", dtick=1)


def _unit(panel: Panel) -> str:
    """What a position on the load axis counts, for a hover."""
    return "req/s" if "req/s" in panel.axis("x")["title"]["text"] else "streams"
