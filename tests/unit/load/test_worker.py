"""The worker starts light: nothing is imported that would cost its first request half a second."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {"pydantic", "pandas", "plotly", "openai", "numpy", "yaml", "IPython", "jupyter_core", "psutil", "torch"}


def test_worker_loads_nothing_heavy() -> None:
    code = "import llm_magics.load.worker, sys; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not HEAVY & set(done.stdout.split())


def test_worker_without_a_plan_ends() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "llm_magics.load.worker"], stdin=subprocess.DEVNULL, capture_output=True, timeout=30
    )
    assert done.returncode == 3


def test_priority_is_one_of_the_words_and_undone_with_the_process() -> None:
    code = "import os; from llm_magics.load.priority import urgent; print(urgent(), os.sched_getscheduler(0))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    word, policy = done.stdout.split()
    assert word in ("realtime", "slice", "normal")
    assert (word == "realtime") == (policy == "2")
