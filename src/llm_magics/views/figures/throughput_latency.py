"""The sweep: throughput, TTFT and TPOT against the load, with the limits that count as good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llm_magics.views import format as fmt
from llm_magics.views import palette
from llm_magics.views.figures.board import Board, Panel, plain, spans
from llm_magics.views.figures.load_axis import load_axis

if TYPE_CHECKING:
    from llm_magics.results.search import Search

LATENCIES = {"ttft": ("TTFT", "time to first token"), "tpot": ("TPOT", "time per output token")}


def throughput_latency(
    board: Board,
    row: int,
    points: Sequence[Mapping[str, Any]],
    slo: Mapping[str, float],
    search: Search | None = None,
) -> None:
    """Three panels over a sweep's points (two or more); `slo` in seconds.

    Those of a search are green where the load holds and red where it does not, and its answer is marked; a search by
    SLO has its goodput in place of the throughput.
    """
    positions, title, axis = load_axis(points)
    left, middle, right = spans(3)
    colours = [palette.series(number) for number in range(len(points))]
    if search is not None and len(search.probes) == len(points):
        colours = [palette.GOOD if probe.holds else palette.BAD for probe in search.probes]
        if search.goal == "saturation" and search.over == "concurrency":
            colours = [palette.GOOD if probe.load == search.answer else palette.BLUE for probe in search.probes]
    if search is not None and search.goal == "slo":
        panel = board.panel(
            row,
            *left,
            f"<b>Goodput</b>  90 % intervals; {search.share * 100:g} % asked for",
            x=title,
            y="%",
            xaxis=axis,
        )
        _goodput(panel, search, colours)
    else:
        panel = board.panel(row, *left, "<b>Output throughput</b>", x=title, y="tok/s", xaxis=axis)
        _throughput(panel, positions, points, colours)
    _answer(panel, search)
    for (key, (name, meaning)), span in zip(LATENCIES.items(), (middle, right), strict=True):
        panel = board.panel(row, *span, f"<b>{name}</b>  {meaning}", x=title, y="ms", xaxis=axis)
        _percentiles(panel, positions, points, key, colours)
        if key in slo:
            known = [point[f"p99_{key}_ms"] for point in points if point.get(f"p99_{key}_ms")]
            panel.level(slo[key] * 1000, f"SLO {fmt.latency(slo[key])}", max(known, default=0.0))
        _answer(panel, search, named=False)


def _goodput(panel: Panel, search: Search, colours: Sequence[str]) -> None:
    shown = [(100 * (probe.goodput or 0.0), probe) for probe in search.probes]
    panel.add(
        x=[probe.load for probe in search.probes],
        y=[value for value, _ in shown],
        mode="lines+markers",
        line={"color": palette.BLUE},
        marker={"size": 9, "color": list(colours)},
        error_y={
            "type": "data", "symmetric": False, "thickness": 1, "width": 3, "color": palette.LINE,
            "array": [100 * (probe.high or 0.0) - value for value, probe in shown],
            "arrayminus": [value - 100 * (probe.low or 0.0) for value, probe in shown],
        },
        cliponaxis=False,
        hovertemplate="%{x}<br><b>%{y:.3~g} %</b> within the SLO%{text}<extra></extra>",
        text=[f"<br>{plain(probe.overloaded, 90)}" if probe.overloaded else "" for probe in search.probes],
    )  # fmt: skip
    panel.axis("y")["range"] = [0, 108]
    panel.level(100 * search.share, "", 100)  # named in the heading: points and their intervals lie all along it


def _answer(panel: Panel, search: Search | None, *, named: bool = True) -> None:
    """Where the answer stands."""
    if search is None or search.answer is None:
        return
    label = {
        "text": search.named(search.answer) if named else "", "textposition": "start", "textangle": 0,
        "yanchor": "bottom", "xanchor": "right", "font": {"size": 11, "color": palette.GOOD},
    }  # fmt: skip
    line = {"color": palette.GOOD, "width": 1.5, "dash": "dash"}
    panel.upright(search.answer, "", search.answer, line=line, label=label)


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
