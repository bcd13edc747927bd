"""Tests that need an NVIDIA GPU: `make test-gpu`. Elsewhere they are not collected, for no machine of CI has one."""

from __future__ import annotations

import os

from llm_magics.runtime import gpus

collect_ignore_glob = [] if os.environ.get("LLM_MAGICS_GPU_MODEL") and gpus.gpus() else ["test_*.py"]
