"""If these fail, the sentence above a run says what was not measured, or nothing of what was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from made import synthetic_run

from llm_magics.views import headline


def test_a_run_without_counts_of_tokens_is_told_in_requests() -> None:
    run = synthetic_run(concurrency=[4])
    run.columns = replace(run.columns, output_tokens=np.full(len(run.columns), -1))
    said = headline.of_run(run)
    assert "req/s" in said
    assert "nothing was measured" not in said
