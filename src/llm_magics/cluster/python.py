"""Which Python has Ray: the one that a variable names, this one, or an environment made for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from llm_magics import paths
from llm_magics.errors import LLMMagicsError, SpecError

VARIABLE = "LLM_MAGICS_RAY_PYTHON"
_LOOK = 0.5  # s
_ENTRY = Path(__file__).with_name("entry.py")


def ray_python(environ: Mapping[str, str] = os.environ) -> str:
    """The interpreter that has Ray.

    Raises
    ------
    SpecError
        When none has it.
    """
    if given := environ.get(VARIABLE):
        if not os.access(given, os.X_OK):
            raise SpecError(
                f"{VARIABLE} names no Python.", why=f"{given} cannot be run", then="correct it, or unset it"
            )
        return str(Path(given).expanduser().absolute())
    if find_spec("ray") is not None:
        return sys.executable
    folder = environ.get("LLM_MAGICS_ENVS")
    own = (Path(folder).expanduser() if folder else paths.data_dir() / "envs") / "ray" / "bin" / "python"
    if os.access(own, os.X_OK):
        return str(own)
    raise SpecError(
        "Ray is not installed.",
        why=f"neither {sys.executable} nor an environment of its own ({own.parents[1]}) has it",
        then="pip install 'llm-magics[ray]', in the cluster's versions of Ray and Python; "
        f"or point {VARIABLE} at a Python that has it",
    )


def command(module: str, *words: str, python: str | None = None) -> list[str]:
    """What runs a module of this package in Ray's Python."""
    return [python or ray_python(), str(_ENTRY), module, *words]


def asked(
    module: str, question: Mapping[str, Any], seconds: float, on_wait: Callable[[float], None] = lambda _: None
) -> dict[str, Any]:
    """The answer of a module that reads one JSON document and writes one; `on_wait` hears how long it takes, s.

    Raises
    ------
    SpecError
        With the module's own words, or when it has not answered within `seconds`.
    """
    pipe, began = subprocess.PIPE, time.monotonic()
    told: str | None = json.dumps(question)
    with subprocess.Popen(command(module), stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            while True:
                try:
                    out, err = process.communicate(told, timeout=_LOOK)
                    break
                except subprocess.TimeoutExpired:
                    told, waited = None, time.monotonic() - began
                    on_wait(waited)
                    if waited > seconds:
                        raise SpecError(
                            "The Ray cluster did not answer in time.",
                            why=f"nothing came back within {seconds:g} s",
                            then="see whether it is well: ray status",
                        ) from None
        except BaseException:  # an interrupt too: what it held is given back when it ends
            process.kill()
            raise
    if process.returncode == 0:
        answer: dict[str, Any] = json.loads(out.splitlines()[-1])
        return answer
    raise failure(err)


def failure(said: str) -> LLMMagicsError:
    """The error that a process of `entry` told on stderr."""
    lines = said.strip().splitlines()
    for line in reversed(lines):
        if line.startswith('{"what"'):
            return SpecError(**json.loads(line))
    return SpecError(
        "Speaking to the Ray cluster failed.", why="\n".join(lines[-4:]), then="see whether it is well: ray status"
    )
