"""Everything that is shown: figures, tables, cards, progress, reports.

Importing this package teaches `Run`, `Comparison` and `Sweep` how to draw themselves. It imports no plotly and no
IPython: those load when something is drawn.
"""

from __future__ import annotations

from llm_magics.results.comparison import Comparison
from llm_magics.results.run import Run
from llm_magics.results.sweep import Sweep
from llm_magics.views.comparisons import ComparisonRenderer
from llm_magics.views.runs import RunRenderer
from llm_magics.views.sweeps import SweepRenderer

Run.renderer = RunRenderer()
Comparison.renderer = ComparisonRenderer()
Sweep.renderer = SweepRenderer()
