"""A figure of ours as a small static picture, for pages that draw no Plotly: GitHub, nbviewer, a printed notebook.

The picture is made from the figure itself (its panels, lines and limits), so there is no second truth. It is an SVG in
an `<img>`: sanitizers let that through where they drop inline SVG, and no script can run in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from llm_magics.views import palette
from llm_magics.views.axis_scale import Scale, scales
from llm_magics.views.bundle import decoded, plotly_json
from llm_magics.views.markup import Markup, escape, tag

WIDTH = 880  # px
_SAFE = " =:/,.;()'-_!*+$[]@?"


def picture(figure: Any, description: str) -> Markup | None:
    """A figure as an `<img>`; None when it has no panels. `description` is what a reader without images gets."""
    drawing = svg(plotly_json(figure))
    if drawing is None:
        return None
    return tag("img", src=Markup("data:image/svg+xml," + quote(drawing, safe=_SAFE)), alt=description, width=WIDTH)


def svg(drawn: Mapping[str, Any]) -> str | None:
    """The first row of panels of a plotly JSON as an SVG document: the curves that a reader wants to see at once.

    Tables are left out, the page has them as HTML; the rows below would double what a notebook keeps.
    """
    layout = drawn["layout"]
    lines = [_opened(trace) for trace in drawn["data"] if trace.get("type") == "scatter"]
    found = _first_row(scales(layout, lines, WIDTH))
    if not found:
        return None
    bottom = round(max(scale.bottom for scale in found.values() if scale.which == "y") + 40)
    notes = layout.get("annotations", ())
    heads = [note.get("yshift", 0) for note in notes if note["xref"] == "paper" and note["y"] == 1]
    top = max(0, round(min(scale.top for scale in found.values()) - max(heads, default=0) - 14))
    parts = [_axis(found, scale) for scale in found.values()]
    parts += [_shape(found, shape) for shape in layout.get("shapes", ()) if _here(found, shape)]
    previous: str | None = None
    for trace in lines:
        if trace.get("visible") in (None, True) and trace["x"] and _axis_key(trace["xaxis"]) in found:
            path = _path(found, trace)
            parts.append(_trace(found, trace, path, previous))
            previous = path
    parts += [_note(found, layout, note) for note in notes if _here(found, note)]
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{bottom - top}' "
        f"viewBox='0 {top} {WIDTH} {bottom - top}' xml:space='preserve' "
        f"font-family='system-ui,sans-serif' font-size='11' fill='{palette.TEXT}'>{''.join(parts)}</svg>"
    )


def _first_row(found: Mapping[str, Scale]) -> dict[str, Scale]:
    """The axes of the highest panels."""
    tops = {key: scale.top for key, scale in found.items()}
    return {key: scale for key, scale in found.items() if scale.top == min(tops.values())}


def _here(found: Mapping[str, Scale], item: Mapping[str, Any]) -> bool:
    """Whether a shape or a note belongs to the panels that are drawn; on the page: whether it stands at their top."""
    if item.get("visible") is False:
        return False
    if item["xref"] == "paper":
        return bool(item.get("y") == 1)
    return all(_axis_key(item[ref].removesuffix(" domain")) in found for ref in ("xref", "yref"))


def _opened(trace: Mapping[str, Any]) -> dict[str, Any]:
    """A trace with its numbers as lists, NaN as None."""
    numbers = {key: [None if value != value else value for value in decoded(trace.get(key) or [])] for key in "xy"}
    return {**trace, **numbers}


def _axis(found: Mapping[str, Scale], scale: Scale) -> str:
    other = found[scale.partner]
    out = []
    for value, label in scale.ticks():
        at = scale(value)
        if scale.which == "x":
            out.append(_text(label, at, other.bottom + 16, "middle"))
        else:
            right = scale.side == "right"
            edge = other.right + 5 if right else other.left - 6
            if not right:
                out.append(_line(other.left, at, other.right, at, palette.GRID))
            out.append(_text(label, edge, at + 4, "start" if right else "end"))
    if scale.which == "x":
        out.append(_line(scale.left, other.bottom, scale.right, other.bottom, palette.LINE))
        out.append(_text(scale.title, (scale.left + scale.right) / 2, other.bottom + 32, "middle"))
    elif scale.title:
        x, y = other.left - 42, (scale.top + scale.bottom) / 2
        turned = f" transform='rotate(-90 {_n(x)} {_n(y)})'"
        out.append(_text(scale.title, x, y, "middle", turned))
    return "".join(out)


def _path(found: Mapping[str, Scale], trace: Mapping[str, Any]) -> str:
    """The line of a trace as path commands; gaps where a value is missing."""
    across, up = found[_axis_key(trace["xaxis"])], found[_axis_key(trace["yaxis"])]
    out, pen, at, before = [], "M", "", ""
    steps = trace.get("line", {}).get("shape") == "hv"
    for x, y in zip(trace["x"], trace["y"], strict=False):
        if x is None or y is None:
            pen = "M"
            continue
        at, level = _n(across(x)), _n(up(y))
        if not steps or pen == "M":
            out.append(f"{pen}{at} {level}")
        elif level != before:
            out.append(f"H{at}V{level}")
        pen, before = "L", level
    return "".join(out) + (f"H{at}" if steps and out else "")


def _trace(found: Mapping[str, Scale], trace: Mapping[str, Any], path: str, previous: str | None) -> str:
    up = found[_axis_key(trace["yaxis"])]
    mode, line, marker = trace.get("mode", "lines"), trace.get("line", {}), trace.get("marker", {})
    out = []
    if trace.get("fill") == "tozeroy" and path:
        start, end = re.findall(r"[-\d.]+", path)[0], found[_axis_key(trace["xaxis"])](trace["x"][-1])
        out.append(f"<path d='{path}H{_n(end)}V{_n(up.bottom)}H{start}Z' fill='{trace['fillcolor']}'/>")
    elif trace.get("fill") == "tonexty" and previous and "H" not in previous + path:
        back = "L".join(reversed(re.findall(r"[-\d.]+ [-\d.]+", previous)))
        out.append(f"<path d='{path}L{back}Z' fill='{trace['fillcolor']}'/>")
    if "lines" in mode and path:
        dash = {"dot": " stroke-dasharray='2 3'", "dash": " stroke-dasharray='6 4'"}.get(line.get("dash", ""), "")
        out.append(
            f"<path d='{path}' fill='none' stroke='{line.get('color')}' stroke-width='{line.get('width', 2)}'{dash}/>"
        )
    across = found[_axis_key(trace["xaxis"])]
    for place, (x, y) in enumerate(zip(trace["x"], trace["y"], strict=False)):
        if y is None:
            continue
        at, level = across(x), up(y)
        out.append(_bars(trace, "y", up, y, at, place))
        out.append(_bars(trace, "x", across, x, level, place))
        if "markers" in mode:
            colour, size = _nth(marker.get("color"), place), _nth(marker.get("size", 6), place)
            out.append(f"<circle cx='{_n(at)}' cy='{_n(level)}' r='{_n(size / 2)}' fill='{colour}'/>")
        if "text" in mode and (label := _nth(trace.get("text"), place)):
            where = _nth(trace.get("textposition", "top center"), place)
            anchor = "end" if "left" in where else "start" if "right" in where else "middle"
            shift = {"end": -5, "start": 6}.get(anchor, 0)
            out.append(
                _text(label, at + shift, level + (14 if "bottom" in where else 4 if "middle" in where else -7), anchor)
            )
    return "".join(out)


def _bars(trace: Mapping[str, Any], which: str, scale: Scale, value: Any, at: float, place: int) -> str:
    """The interval of one mark, along an axis."""
    error = trace.get(f"error_{which}") or {}
    if not error.get("array"):
        return ""
    above, below = decoded(error["array"])[place], decoded(error.get("arrayminus") or error["array"])[place]
    if above is None or below is None or above != above or below != below:
        return ""
    ends, colour = (scale(value - below), scale(value + above)), error.get("color", palette.LINE)
    x = (at, ends[0], at, ends[1]) if which == "y" else (ends[0], at, ends[1], at)
    return _line(*x, colour, 1.5)


def _shape(found: Mapping[str, Scale], shape: Mapping[str, Any]) -> str:
    x, y = (found[_axis_key(shape[ref].removesuffix(" domain"))] for ref in ("xref", "yref"))
    inside = {}
    for ref, scale, keys in (("xref", x, ("x0", "x1")), ("yref", y, ("y0", "y1"))):
        for key in keys:
            inside[key] = scale.at_share(shape[key]) if shape[ref].endswith("domain") else scale(shape[key])
    if not (x.left - 1 <= inside["x0"] <= x.right + 1 and y.top - 1 <= inside["y0"] <= y.bottom + 1):
        return ""
    line = shape["line"]
    drawn = _line(
        inside["x0"], inside["y0"], inside["x1"], inside["y1"], line["color"], line["width"], dot="dash" in line
    )
    if label := shape.get("label"):
        level = inside["y0"] if inside["y0"] == inside["y1"] else y.bottom
        end = label.get("xanchor") == "right"
        where = (inside["x0"] - 3, level - 4, "end") if end else (inside["x0"] + 3, level - 4, "start")
        drawn += _text(label["text"], *where, f" fill='{label['font']['color']}'")
    return drawn


def _note(found: Mapping[str, Scale], layout: Mapping[str, Any], note: Mapping[str, Any]) -> str:
    if note["xref"] == "paper":
        margin = layout["margin"]
        x = margin["l"] + note["x"] * (WIDTH - margin["l"] - margin["r"])
        y = margin["t"] + (1 - note["y"]) * (layout["height"] - margin["t"] - margin["b"])
    else:
        across, up = (found[_axis_key(note[ref].removesuffix(" domain"))] for ref in ("xref", "yref"))
        x = across.at_share(note["x"]) if note["xref"].endswith("domain") else across(note["x"])
        y = up.at_share(note["y"]) if note["yref"].endswith("domain") else up(note["y"])
        y += {"bottom": -8, "top": 8}.get(note.get("yanchor", ""), 0)
    x, y = x + note.get("xshift", 0), y - note.get("yshift", 0)
    font = note.get("font") or {}
    more = f" font-size='{font['size']}'" if "size" in font else ""
    more += f" fill='{font['color']}'" if "color" in font else ""
    anchor = {"left": "start", "right": "end"}.get(note.get("xanchor", ""), "middle")
    return _text(note["text"], x, y + 4, anchor, more)


_TAGS = re.compile(r"<b>|</b>|<span style=\"color:([^\"]+)\">|</span>|<br>")


def _text(text: str, x: float, y: float, anchor: str, more: str = "") -> str:
    """A text with Plotly's few tags turned into SVG's."""
    out, end = [], 0
    for found in _TAGS.finditer(text):
        out.append(_words(text[end : found.start()]))
        word = found.group()
        out.append(
            "<tspan font-weight='600'>" if word == "<b>"
            else "</tspan>" if word.startswith("</")
            else f"<tspan fill='{found.group(1)}'>" if found.group(1)
            else " "
        )  # fmt: skip
        end = found.end()
    out.append(_words(text[end:]))
    anchored = "" if anchor == "start" else f" text-anchor='{anchor}'"
    return f"<text x='{_n(x)}' y='{_n(y)}'{anchored}{more}>{''.join(out)}</text>"


def _words(text: str) -> str:
    import html

    return str(escape(html.unescape(text)))


def _line(x0: float, y0: float, x1: float, y1: float, colour: str, width: float = 1, *, dot: bool = False) -> str:
    dash = " stroke-dasharray='2 3'" if dot else ""
    ends = f"x1='{_n(x0)}' y1='{_n(y0)}' x2='{_n(x1)}' y2='{_n(y1)}'"
    return f"<line {ends} stroke='{colour}' stroke-width='{width}'{dash}/>"


def _axis_key(reference: str) -> str:
    """`x2` -> `xaxis2`."""
    return f"{reference[0]}axis{reference[1:]}"


def _nth(value: Any, place: int) -> Any:
    return value[place] if isinstance(value, Sequence) and not isinstance(value, str) else value


def _n(value: float) -> str:
    return f"{round(value * 2) / 2:g}"  # half pixels
