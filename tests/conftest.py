"""Every test runs on directories of its own, so that no test sees, stops or leaves anything of the user's."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A machine that is busy decides no test: no deadline, no judgement of speed, the same examples each time. Others are
# looked for with --hypothesis-profile=explore.
settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("steady", settings.get_profile("explore"), derandomize=True)
settings.load_profile("steady")


@pytest.fixture(autouse=True)
def isolated(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Private Jupyter runtime and data directories; every server that a test forgot is stopped and reported."""
    home = tmp_path_factory.mktemp("jupyter")
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(home / "runtime"))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(home / "data"))
    monkeypatch.setenv("IPYTHONDIR", str(home / "ipython"))
    monkeypatch.setenv("LLM_MAGICS_NONINTERACTIVE", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    yield home
    records = home / "runtime" / "llm-magics"
    left = []
    if records.is_dir() and os.access(records, os.R_OK) and stat.S_ISDIR(records.stat().st_mode):
        from llm_magics.runtime.registry import Registry
        from llm_magics.runtime.stop import stop

        for record in Registry(records).list():
            if record.state in ("starting", "loading", "ready", "stopping"):
                left.append(record.name)
                stop(record.name, registry=Registry(records))
    assert not left, f"the test left servers running: {left}"
