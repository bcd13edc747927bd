"""How results reach the screen without knowing it: `views` fills this slot, `results` never imports it.

Imports go down only; yet `run.figure` and a cell's last value must draw. So a result asks whatever renderer was put
here for its type.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Protocol


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


class Shown:
    """A result that draws itself once `views` has registered a renderer for its class."""

    renderer: ClassVar[Renderer | None] = None
    words_told = False  # a cell has shown its words already, as an output of their own: what it shows next has none

    @property
    def figure(self) -> Any:
        """The result as a plotly Figure."""
        return self._drawn_by().figure(self)

    def widget(self) -> Any:
        """The result with live controls, as an ipywidgets widget."""
        return self._drawn_by().widget(self)

    def __str__(self) -> str:
        return self.renderer.text(self) if self.renderer else repr(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return self._drawn_by().bundle(self) if self.renderer else {"text/plain": repr(self)}

    def _drawn_by(self) -> Renderer:
        if self.renderer is None:
            raise RuntimeError("import llm_magics.views to draw results")
        return self.renderer
