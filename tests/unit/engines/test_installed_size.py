"""The size of an engine is that of its own environment, and none where it shares one with other programs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from llm_magics import engines
from llm_magics.engines.base import Executable
from llm_magics.engines.installed_size import installed_size


def test_environment_of_its_own_is_counted_whole_and_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_MAGICS_ENVS", str(tmp_path))
    site = tmp_path / "vllm" / "lib" / "python3.11" / "site-packages"
    site.mkdir(parents=True)
    (site / "big.so").write_bytes(bytes(5000))
    (tmp_path / "vllm" / "bin").mkdir()
    python = tmp_path / "vllm" / "bin" / "python"
    python.symlink_to("/usr/bin/python3")
    found = Executable("1", python=str(python))
    size = installed_size(engines.get("vllm"), found)
    assert size is not None
    assert 5000 <= size < 5100  # the link counts as a link
    before = site.stat()
    (site / "big.so").write_bytes(bytes(9000))  # no package came or went: the kept answer holds
    os.utime(site, (before.st_atime, before.st_mtime))
    assert installed_size(engines.get("vllm"), found) == size
    (site / "another").write_bytes(bytes(1000))
    assert installed_size(engines.get("vllm"), found) >= 10_000


def test_shared_interpreter_has_no_size_and_a_program_its_own(tmp_path: Path) -> None:
    assert installed_size(engines.get("vllm"), Executable("1", python="/opt/shared/bin/python")) is None
    program = tmp_path / "llama-server"
    program.write_bytes(bytes(123))
    assert installed_size(engines.get("llamacpp"), Executable("1", binary=str(program))) == 123
