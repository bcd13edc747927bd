"""The floors of docs/architecture.md, held by the code: imports go down only, and loading costs nothing heavy."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import llm_magics

ROOT = Path(llm_magics.__file__).parent
FLOORS = [
    {"errors", "paths", "models", "printable", "replaced"},
    {"results", "spec", "cluster"},
    {"views", "learn", "engines", "load"},
    {"runtime", "advice", "monitor", "deployment"},
    {"api", "lab"},
    {"magics", "cli", "lines", "verbs", "answer", "tending", "choosing", "learning", "production"}
    | {"reader", "watching", "__main__"},
]
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}
HEAVY = {"plotly", "pandas", "openai", "torch", "pydantic", "numpy", "yaml", "jupyter_server", "uvloop", "xllamacpp"}


def imports(path: Path) -> set[str]:
    """The places of our own package that a file imports, wherever in the file it does."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "llm_magics":
            parts = node.module.split(".")[1:]
            found |= {parts[0]} if parts else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("llm_magics.")}
    return found - {"__version__"}


def place(path: Path) -> str:
    relative = path.relative_to(ROOT)
    return relative.parts[0].removesuffix(".py")


FILES = [path for path in ROOT.rglob("*.py") if path.parent != ROOT or path.name != "__init__.py"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down_only(path: Path) -> None:
    here = place(path)
    for there in imports(path) - {here}:
        assert FLOOR[there] <= FLOOR[here], f"{here} (floor {FLOOR[here]}) imports {there} (floor {FLOOR[there]})"


def test_no_circles_on_a_floor() -> None:
    arrows = {name: set() for name in FLOOR}
    for path in FILES:
        arrows[place(path)] |= imports(path) - {place(path)}
    for start in arrows:
        seen, ahead = set(), set(arrows[start])
        while ahead:
            name = ahead.pop()
            assert name != start, f"{start} imports itself through {seen}"
            if name not in seen:
                seen.add(name)
                ahead |= arrows[name]


def test_runtime_and_load_know_neither_each_other_nor_the_notebook() -> None:
    for path in FILES:
        here, words = place(path), path.read_text()
        if here in ("runtime", "load"):
            assert not imports(path) & {"views", "load" if here == "runtime" else "runtime"}, path
            for name in ("IPython", "plotly", "jupyter_server"):
                assert f"import {name}" not in words, path
                assert f"from {name}" not in words, path


def loaded_after(code: str) -> set[str]:
    """Top-level modules in sys.modules of a fresh interpreter after some code."""
    program = f"{code}\nimport sys; print(' '.join({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split("\n")[-2].split())


def test_importing_loads_nothing_heavy() -> None:
    assert not loaded_after("import llm_magics") & (HEAVY | {"IPython"})


def test_load_ext_loads_nothing_heavy() -> None:
    bare = "from IPython.core.interactiveshell import InteractiveShell; shell = InteractiveShell.instance()\n"
    ours = loaded_after(bare + "shell.run_line_magic('load_ext', 'llm_magics')") - loaded_after(bare)
    assert not ours & HEAVY, ours


@pytest.mark.parametrize("words", [["list"], ["list", "--json"], ["gpus"], ["logs", "nobody"], ["--help"]])
def test_a_terminal_that_lists_loads_nothing_heavy(words: list[str], isolated: Path) -> None:
    """It answers in a sixth of a second; numpy alone takes as long again, and so do pydantic's models."""
    assert not loaded_after(f"from llm_magics.cli import main; main({words!r}); print()") & (HEAVY | {"IPython"})


def test_supervisor_loads_only_the_standard_library() -> None:
    assert not loaded_after("import llm_magics.runtime.supervisor") & (HEAVY | {"IPython", "psutil", "jupyter_core"})
