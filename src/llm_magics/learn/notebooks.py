"""Where the tutorial notebooks are, and how a learner gets one without losing what is in the last copy."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from llm_magics.errors import SpecError
from llm_magics.learn import path as the_path
from llm_magics.learn.handout import handout

_HERE = Path(__file__).resolve().parent


def shipped() -> Path:
    """The folder of the tutorials: in the package of a wheel, `examples/` of a checkout."""
    inside = _HERE / "notebooks"
    return inside if inside.is_dir() else _HERE.parents[2] / "examples"


def notebook(task: str, folder: str | Path = ".") -> Path:
    """Copy a task's notebook into a folder, unless a copy is there: what the learner wrote in it stays.

    The copy has no outputs, and its links name what opens their targets (`handout`).

    Raises
    ------
    SpecError
        When there is no such task, it has no notebook, or the folder cannot be written.
    """
    found = the_path.task(task)
    if found.notebook is None:
        raise SpecError(f"{found.id} has no notebook yet.", why=found.today, then=f"%llm learn {found.id}")
    target = Path(folder) / found.notebook
    source = shipped() / found.notebook
    if not source.is_file():
        raise SpecError(f"{found.notebook} is missing from this installation.", then="install llm-magics again")
    try:
        # Made whole beside it first: of two that copy at once neither sees half a notebook, and none overwrites.
        made = target.with_name(f".{target.name}.{os.getpid()}")
        made.write_text(handout(source.read_text("utf-8")), "utf-8")
        try:
            _put(made, target)
        finally:
            made.unlink()
    except OSError as error:
        if target.exists():
            return target
        raise SpecError(
            f"{found.notebook} cannot be written there.", why=str(error), then="name another folder"
        ) from error
    return target


def _put(made: Path, target: Path) -> None:
    """The content of one file under another name, unless something has that name."""
    try:
        os.link(made, target)
    except FileExistsError:
        pass
    except OSError:  # a disk without hard links: FAT, some network and container mounts
        with suppress(FileExistsError), target.open("xb") as file:
            try:
                file.write(made.read_bytes())
            except OSError:
                target.unlink()
                raise
