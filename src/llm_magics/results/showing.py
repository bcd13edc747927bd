"""How results reach the screen without knowing it: `views` fills this slot, `results` never imports it.

Imports go down only; yet `run.figure` and a cell's last value must draw. So a result asks whatever renderer was put
here for its type; it is made when something is drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol


class Renderer(Protocol):
    """What `views` offers for one type of result."""

    def figure(self, result: Any) -> Any:
        """A plotly Figure."""

    def bundle(self, result: Any) -> dict[str, Any]:
        """The mime bundle of the result."""

    def text(self, result: Any) -> str:
        """The result as aligned text."""

    def widget(self, result: Any) -> Any:
        """The ipywidgets version."""

    def report(self, result: Any, path: str | Path | None) -> Any:
        """The result as one HTML page that needs nothing from outside; written to `path` when one is given."""


RENDERERS: dict[str, Callable[[], Renderer]] = {}  # name of a result's class -> what makes its renderer


class Shown:
    """A result that draws itself once `views` has registered a renderer for its class."""

    words_told = False  # a cell has shown its words already, as an output of their own: what it shows next has none

    @property
    def renderer(self) -> Renderer | None:
        """What draws it; None before `views` was imported."""
        return next((RENDERERS[kind.__name__]() for kind in type(self).__mro__ if kind.__name__ in RENDERERS), None)

    @property
    def figure(self) -> Any:
        """The result as a plotly Figure."""
        return self._drawn_by().figure(self)

    def widget(self) -> Any:
        """The result with live controls, as an ipywidgets widget."""
        return self._drawn_by().widget(self)

    def __str__(self) -> str:
        renderer = self.renderer
        return repr(self) if renderer is None else renderer.text(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        renderer = self.renderer
        return {"text/plain": repr(self)} if renderer is None else renderer.bundle(self)

    def _drawn_by(self) -> Renderer:
        renderer = self.renderer
        if renderer is None:
            raise RuntimeError("import llm_magics.views to draw results")
        return renderer
