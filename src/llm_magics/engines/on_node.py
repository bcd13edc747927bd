"""Asked on a node of a cluster, from a parcel: is this engine here, and are these files?

`python -m llm_magics.engines.on_node`, one JSON document in, one out. Only the standard library.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from llm_magics import engines
from llm_magics.engines import asking, environments
from llm_magics.engines.base import Engine, Executable

_OLDEST = (3, 11)


def examine(question: dict[str, Any]) -> dict[str, Any]:
    """`python`, `binary`, `version` of the engine here; or `lacks`, in words."""
    if sys.version_info < _OLDEST:
        return {"lacks": f"has Python {sys.version_info[0]}.{sys.version_info[1]}; 3.11 or newer is needed"}
    for path in question["paths"]:
        if not Path(path).exists():
            return {"lacks": f"does not see {path}"}
    engine = engines.load(question["reference"])
    found = _find(engine, question["given"])
    if found is None:
        given = question["given"].get("python") or question["given"].get("bin")
        return {"lacks": f"has no {engine.title}{f' at {given}' if given else f' ({sys.executable}, PATH)'}"}
    if question["across"] and (where := Path(found.python or str(found.binary))).parent != Path(sys.executable).parent:
        return {"lacks": f"has {engine.title} at {where}; over several nodes it works in Ray's own workers, which are "
                         f"{sys.executable}, and is not there"}  # fmt: skip
    return {"python": found.python, "binary": found.binary, "version": found.version}


def _find(engine: Engine, given: dict[str, str | None]) -> Executable | None:
    if binary := given.get("bin"):
        path = shutil.which(binary)
        return asking.program(engine, path, "given") if path else None
    if python := given.get("python"):
        place = Path(python).expanduser()
        return asking.examined(engine, environments.python_of(place) if place.is_dir() else place, "given")
    own = [sys.executable]
    if folder := os.environ.get(environments.VARIABLE):
        own.append(str(environments.python_of(Path(folder).expanduser() / engine.key)))
    own.append(str(environments.python_of(Path.home() / ".local/share/jupyter/llm-magics/envs" / engine.key)))
    for each in own:
        if found := asking.examined(engine, each, "of the node"):
            return found
    path = shutil.which(engine.install.binary) if engine.install.binary else None
    return asking.program(engine, path, "on PATH") if path else None


if __name__ == "__main__":
    print(json.dumps(examine(json.load(sys.stdin))))  # noqa: T201 - the answer
