"""Everything that is shown: figures, tables, cards, progress, reports.

Importing this package teaches `Run` and `Comparison` how to draw themselves. It imports no plotly and no IPython:
those load when something is drawn.
"""

from __future__ import annotations

from llm_magics.results.comparison import Comparison
from llm_magics.results.run import Run
from llm_magics.views.comparisons import ComparisonRenderer
from llm_magics.views.runs import RunRenderer

Run.renderer = RunRenderer()
Comparison.renderer = ComparisonRenderer()
