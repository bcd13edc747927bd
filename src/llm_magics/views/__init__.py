"""Everything that is shown: figures, tables, cards, progress, reports.

Importing this package teaches `Run`, `Comparison` and `Sweep` how to draw themselves. It imports neither them nor
plotly, numpy or IPython: those load when something is drawn, and a terminal's `list` draws none of it.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from llm_magics.results.showing import RENDERERS

if TYPE_CHECKING:
    from llm_magics.results.showing import Renderer


@cache
def _run() -> Renderer:
    from llm_magics.views.runs import RunRenderer

    return RunRenderer()


@cache
def _comparison() -> Renderer:
    from llm_magics.views.comparisons import ComparisonRenderer

    return ComparisonRenderer()


@cache
def _sweep() -> Renderer:
    from llm_magics.views.sweeps import SweepRenderer

    return SweepRenderer()


RENDERERS.update(Run=_run, Comparison=_comparison, Sweep=_sweep)
