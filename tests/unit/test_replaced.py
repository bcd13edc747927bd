"""An upgrade under a running kernel is told with both versions and the way out, and never told where there was none."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

import llm_magics
from llm_magics import lines, replaced
from llm_magics.errors import LLMMagicsError, SpecError


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package's files as they were when this process loaded them, where a test may change them."""
    (tmp_path / "__init__.py").write_text((Path(llm_magics.__file__)).read_text())
    (tmp_path / "verbs.py").touch()
    for path in tmp_path.iterdir():
        os.utime(path, (1e9, 1e9))
    monkeypatch.setattr(replaced, "_ROOT", tmp_path)
    return tmp_path


def test_files_as_they_were_loaded_are_no_news(package: Path) -> None:
    assert replaced.since_loaded() == ""
    assert replaced.explained(TypeError("a bug")) is None


def test_another_version_is_told_with_both(package: Path) -> None:
    init = package / "__init__.py"
    init.write_text(init.read_text().replace(f'"{llm_magics.__version__}"', '"7.1.2"'))
    why = replaced.since_loaded()
    assert llm_magics.__version__ in why
    assert "7.1.2 is installed now" in why


def test_files_changed_since_are_told_with_the_time_where_the_version_is_the_same(package: Path) -> None:
    later = time.time() + 60
    os.utime(package / "verbs.py", (later, later))
    why = replaced.since_loaded()
    assert f"loaded llm-magics {llm_magics.__version__}" in why
    assert time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(later)) in why


def test_a_package_that_is_gone_is_told(package: Path) -> None:
    (package / "__init__.py").unlink()
    assert f"not at {package} any more" in replaced.since_loaded()


@pytest.mark.parametrize("error", [SpecError("max_num_seq: no such option"), KeyboardInterrupt(), SystemExit(2)])
def test_what_has_a_reason_of_its_own_keeps_it(package: Path, error: BaseException) -> None:
    (package / "__init__.py").unlink()
    assert replaced.explained(error) is None


def test_a_magic_that_meets_code_it_does_not_know_says_what_happened(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = InteractiveShell()
    llm_magics.load_ipython_extension(shell)

    def moved(_: str) -> None:
        raise ImportError("cannot import name 'serve' from 'llm_magics.lines'")

    monkeypatch.setattr(lines, "serve", moved)
    with capture_output() as said, pytest.raises(ImportError):
        shell.run_cell("%serve tiny").raise_error()
    assert "was replaced" not in said.stdout  # nothing was: it is a bug, with its traceback
    (package / "__init__.py").write_text('__version__ = "7.1.2"\n')
    with capture_output() as said, pytest.raises(LLMMagicsError) as raised:
        shell.run_cell("%serve tiny").raise_error()
    assert "7.1.2 is installed now" in raised.value.why
    assert "cannot import name 'serve'" in raised.value.why
    assert "restart the kernel" in said.stdout
    assert "Traceback" not in said.stdout
    llm_magics.unload_ipython_extension(shell)
