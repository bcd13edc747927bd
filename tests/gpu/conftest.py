"""Tests that need an NVIDIA GPU: `make test-gpu`. Elsewhere they are not collected, for no machine of CI has one."""

from __future__ import annotations

from llm_magics.runtime import gpus

collect_ignore_glob = [] if gpus.gpus() else ["test_*.py"]
