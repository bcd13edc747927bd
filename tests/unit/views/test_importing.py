"""Importing views is cheap: a notebook that only serves must not wait for plotly, nor a terminal's list for numpy."""

from __future__ import annotations

import subprocess
import sys


def test_views_and_cards_load_neither_plotly_nor_pandas_nor_ipython() -> None:
    code = (
        "import sys; import llm_magics.views.cards, llm_magics.views.progress, llm_magics.views.tables;"
        "print([m for m in ('plotly', 'pandas', 'IPython', 'ipywidgets', 'openai', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
