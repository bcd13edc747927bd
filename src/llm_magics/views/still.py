"""A picture of a figure beside its Plotly form, on request: for notebooks that are read where nothing draws Plotly.

`LLM_MAGICS_PICTURES=png` (or `svg`) asks for it. A PNG is drawn by kaleido, in a browser that it starts, some seconds
each; where kaleido or a browser is missing it is our own SVG (`picture.py`), and that is said once. Without the
request a saved notebook has the SVG in its HTML form, which most readers show.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from typing import Any

ASKED = "LLM_MAGICS_PICTURES"
_SCALE = 2  # pixels of the PNG a pixel of the figure: sharp on a dense screen
_WIDTH = 860  # pixels, as wide as a notebook's column


def wanted() -> str | None:
    """`png`, `svg`, or None where no picture is asked for.

    Raises
    ------
    SpecError
        For anything else.
    """
    from llm_magics.errors import SpecError

    said = os.environ.get(ASKED, "").strip().lower()
    if said in ("", "0", "off", "none"):
        return None
    if said not in ("png", "svg"):
        raise SpecError(f"{ASKED}={said!r} is no kind of picture.", then=f"%env {ASKED}=png (or svg, or off)")
    return said


def still(figure: Any, drawn: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """`image/png` (base64, as notebooks hold it) or `image/svg+xml`; nothing where a figure has no panels.

    Parameters
    ----------
    figure
        The plotly Figure.
    drawn
        The same as JSON (see `bundle.plotly_json`).
    kind
        `png` or `svg`.
    """
    if kind == "png":
        try:
            return {"image/png": _png(figure)}
        except Exception as error:  # noqa: BLE001 - whatever a browser does, the result is still shown
            why = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            warnings.warn(f"No PNG could be made ({why}); an SVG stands in its place.", RuntimeWarning, stacklevel=2)
    from llm_magics.views.picture import svg

    found = svg(drawn)
    return {} if found is None else {"image/svg+xml": found}


def _png(figure: Any) -> str:
    import base64
    import importlib.util

    if importlib.util.find_spec("kaleido") is None:
        raise RuntimeError("kaleido is not installed: pip install kaleido")
    import plotly.graph_objects as go

    drawn = go.Figure(figure)
    drawn.layout.updatemenus = ()  # nothing happens when a picture's buttons are pressed
    return base64.b64encode(drawn.to_image(format="png", scale=_SCALE, width=_WIDTH)).decode()
