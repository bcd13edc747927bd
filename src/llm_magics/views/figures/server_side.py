"""The server's side of a run: its own times beside the client's, and what it used while the run went on."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from llm_magics.results.records import ServerSample
from llm_magics.results.server_side import moments, unseen
from llm_magics.views import palette
from llm_magics.views.figures.board import Board, Panel
from llm_magics.views.figures.load_axis import load_axis
from llm_magics.views.run_tables import TOO_SHORT

STEPS = 100  # most points of a line
MIB = 1024**2

# The pairs that can be set side by side, the first that the server exports.
_TIMES = (
    ("TTFT", "mean_ttft_ms", "mean_server_ttft_ms"),
    ("TPOT", "mean_tpot_ms", "mean_server_tpot_ms"),
)
# What was used: (key of a moment, name, unit, factor), by the first group of which something is known.
_USED = (
    (("gpu_util", "GPU use", "%", 100.0), ("gpu_power", "power", "W", 1.0)),
    (("cpu_cores", "CPU", "cores", 1.0), ("rss", "memory", "MiB", 1 / MIB)),
)


def worth_drawing(points: Sequence[Mapping[str, Any]], samples: Sequence[ServerSample]) -> bool:
    """Whether the server's side says anything."""
    seen = {name for sample in samples for name in sample.values}
    return bool(seen & {"gpu_util", "gpu_power", "cpu_seconds", "rss"}) or _pair(points) is not None


def server_row(
    board: Board,
    row: int,
    points: Sequence[Mapping[str, Any]],
    samples: Sequence[ServerSample],
    declared: Collection[str] = (),
) -> None:
    """Two panels: times here and in the server at each point; GPU or CPU over the time of the run.

    `declared` is what the engine is known to export (see `results.server_side.exported`).
    """
    _times(board, row, points, unseen(points, samples, declared))
    rows = [each for each in moments(samples) if any(key in each for key, *_ in _USED[0] + _USED[1])]
    for group in _USED:
        lines = [(each, _line(rows, each[0], each[3])) for each in group]
        known = [(each, line) for each, line in lines if line]
        if known:
            _used(board, row, known)
            return


def _times(board: Board, row: int, points: Sequence[Mapping[str, Any]], dark: set[str]) -> None:
    pair = _pair(points)
    if pair is None:
        panel = board.panel(row, 0, 0.4, "<b>Times in the server</b>")
        panel.axis("x")["visible"] = panel.axis("y")["visible"] = False
        panel.subheading(TOO_SHORT if dark & {theirs for *_, theirs in _TIMES} else "not exported by this engine")
        return
    name, ours, theirs = pair
    positions, title, axis = load_axis(points)
    panel = board.panel(row, 0, 0.4, f"<b>{name}</b>  mean, here and in the server", x=title, y="ms", xaxis=axis)
    for key, where, colour, dash in ((ours, "here", palette.BLUE, "solid"), (theirs, "server", palette.ORANGE, "dot")):
        panel.add(
            x=list(positions), y=[point.get(key) for point in points], mode="lines+markers", name=where,
            line={"color": colour, "dash": dash}, marker={"size": 8}, cliponaxis=False,
            hovertemplate=f"%{{x}}<br>{name} {where} <b>%{{y:,.4~g}} ms</b><extra></extra>",
        )  # fmt: skip
    panel.legend([("here", palette.BLUE), ("server", palette.ORANGE)])


def _used(
    board: Board, row: int, lines: Sequence[tuple[tuple[str, str, str, float], tuple[list[float], list[float]]]]
) -> None:
    (_, name, unit, _), line = lines[0]
    panel = board.panel(row, 0.5, 0.96, "<b>What the server used</b>", x="time, s", y=unit)
    _draw(panel, line, name, unit, palette.TEAL)
    legend = [(name, palette.TEAL)]
    if len(lines) > 1:
        (_, second, other, _), line = lines[1]
        right = f"y{panel.name}8"
        board.axes[f"yaxis{panel.name}8"] = {
            **{key: value for key, value in panel.axis("y").items() if key not in ("domain", "anchor", "gridcolor")},
            "overlaying": f"y{panel.name}", "tickmode": "auto", "anchor": f"x{panel.name}", "side": "right",
            "showgrid": False,
            "title": {"text": other, "standoff": 6, "font": {"size": 11}},
        }  # fmt: skip
        _draw(panel, line, second, other, palette.PURPLE, yaxis=right)
        legend.append((f"{second} (right)", palette.PURPLE))
    panel.legend(legend)


def _draw(panel: Panel, line: tuple[list[float], list[float]], name: str, unit: str, colour: str, **more: Any) -> None:
    panel.add(
        x=line[0], y=line[1], mode="lines", line={"color": colour, "width": 1.5}, name=name,
        hovertemplate=f"%{{x:.2f}} s<br>{name} <b>%{{y:,.3~g}} {unit}</b><extra></extra>", **more,
    )  # fmt: skip


def _pair(points: Sequence[Mapping[str, Any]]) -> tuple[str, str, str] | None:
    return next((pair for pair in _TIMES if any(point.get(pair[2]) is not None for point in points)), None)


def _line(rows: Sequence[Mapping[str, float]], key: str, factor: float) -> tuple[list[float], list[float]] | None:
    pairs = [(row["t"], row[key] * factor) for row in rows if key in row]
    if not pairs:
        return None
    kept = pairs[:: -(-len(pairs) // STEPS)]
    return [moment for moment, _ in kept], [value for _, value in kept]
