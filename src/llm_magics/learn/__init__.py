"""The learning path: tasks that tick themselves by what was really done, their notebooks, checks of exercises.

`path.yaml` is the path; `evidence` says when a task is done; `progress` is the state of the path as plain data for
table, terminal and sidebar. What can only be seen from above (GPUs, installed engines) is handed in (`api.learning`).
"""

from __future__ import annotations

from llm_magics.learn.exercise import check
from llm_magics.learn.notebooks import notebook
from llm_magics.learn.progress import overview, tick
from llm_magics.learn.quality import agreement, quality
from llm_magics.learn.structured import structured

__all__ = ["agreement", "check", "notebook", "overview", "quality", "structured", "tick"]
