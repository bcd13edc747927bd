"""The one place that builds mime bundles: what a result leaves in a saved notebook, in under 50 kB.

Plotly JSON for front ends that draw it (JupyterLab, Notebook 7, VS Code), HTML for pages that run nothing, text for
terminals and diffs. A notebook file is JSON with every list element on a line of its own, deeply indented: a plain
number costs 20 bytes there. So long lists of numbers go as Plotly's base64 arrays (plotly.js 2.28 and later, what
plotly 6 and later itself sends for numpy), 4 bytes a number before encoding.
"""

from __future__ import annotations

import math
from typing import Any

from llm_magics.views.still import still, wanted

SHORT = 16  # numbers; shorter lists stay readable
PLOTLY = "application/vnd.plotly.v1+json"

# No logo, and only the tools that help with these figures. Not `responsive`: with it Plotly takes the height of its
# container at every redraw, which is 0 in JupyterLab: the figure vanishes at the first click. Lab resizes by itself.
_CONFIG = {
    "displaylogo": False,
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d"],
}


def bundle(figure: Any = None, html: str | None = None, text: str = "", *, stills: bool = True) -> dict[str, Any]:
    """A mime bundle.

    Parameters
    ----------
    figure
        A plotly Figure, or None.
    html
        A complete fragment (see `markup.page`), or None.
    text
        The plain form; always there.
    stills
        Whether a picture is made of it where one is asked for (`still.wanted`): not of what is replaced before long (a
        live view, a slider's answer), and not where a browser draws the figure anyway (the sidebar).
    """
    made: dict[str, Any] = {"text/plain": text}
    if html is not None:
        made["text/html"] = html
    if figure is not None:
        made[PLOTLY] = plotly_json(figure)
        if stills and (kind := wanted()):
            made |= still(figure, made[PLOTLY], kind)
    return made


def plotly_json(figure: Any) -> dict[str, Any]:
    """A figure as JSON values without its template (7 kB that repeat what the figure says), floats rounded.

    `config` goes along: the mime renderers hand it to Plotly.
    """
    drawn = _plain(figure.to_plotly_json())
    drawn["layout"].pop("template", None)
    return {"data": drawn["data"], "layout": drawn["layout"], "config": dict(_CONFIG)}


def rounded(value: float, digits: int = 5) -> float | int | None:
    """A float with so many significant digits; None where it is not finite (JSON has no NaN)."""
    if not math.isfinite(value):
        return None
    if value == 0:
        return 0
    short = round(value, digits - 1 - math.floor(math.log10(abs(value))))
    return int(short) if short == int(short) else short


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        if "bdata" in value and "dtype" in value:
            return _packed(decoded(value))
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return _packed([_plain(item) for item in value])
    if isinstance(value, float):
        return rounded(value)
    if hasattr(value, "tolist"):  # numpy arrays and scalars
        return _plain(value.tolist())
    return value


def _packed(values: list[Any]) -> Any:
    """A long list of numbers as a base64 array of the smallest type that holds it; any other list as it is.

    Single precision: seven digits, more than `rounded` leaves. NaN stands for a missing number.
    """
    import base64

    import numpy as np

    if len(values) < SHORT or not all(isinstance(value, (int, float)) or value is None for value in values):
        return values
    if any(isinstance(value, bool) for value in values):
        return values
    numbers = np.array([math.nan if value is None else value for value in values])
    whole = bool(np.isfinite(numbers).all() and (numbers == np.round(numbers)).all())
    least, most = (numbers.min(), numbers.max()) if whole else (0, 0)
    kind = "<f4" if not whole or least < 0 or most > 65535 else "u1" if most < 256 else "<u2"
    return {"dtype": kind.lstrip("<"), "bdata": base64.b64encode(numbers.astype(kind).tobytes()).decode()}


def decoded(typed: Any) -> list[Any]:
    """The numbers of a typed array as plotly writes it (`dtype`, `bdata`, `shape`); anything else as it is."""
    import base64

    import numpy as np

    if not isinstance(typed, dict) or "bdata" not in typed:
        return list(typed)
    flat = np.frombuffer(base64.b64decode(typed["bdata"]), dtype=np.dtype(typed["dtype"]).newbyteorder("<"))
    shape = [int(size) for size in str(typed.get("shape", "")).split(",") if size]
    return list((flat.reshape(shape) if shape else flat).tolist())
