"""A sweep over a server's own options: `--sweep max_num_seqs=8,16,32`, several of them a grid.

An option with one value is the same for every setting; every setting is a whole `ServerSpec`, so that a wrong name or
value is found here, before anything starts.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llm_magics.errors import SpecError
from llm_magics.spec.reading import build, nearest, read_value
from llm_magics.spec.server import ServerSpec

MOST = 64  # settings; each is a start of a server
_NOT_SWEPT = ("name", "engine", "keep", "idle", "host", "port", "timeout")


@dataclass(frozen=True)
class Setting:
    """One server of a sweep: how it is called in tables, what is set, and its spec."""

    label: str
    values: dict[str, Any]
    spec: ServerSpec


def read_sweep(text: str) -> dict[str, list[Any]]:
    """`max_num_seqs=8,16` as it stands on a line.

    Raises
    ------
    SpecError
        When it is no option with values.
    """
    option, equals, values = text.partition("=")
    if not equals or not values.strip():
        raise SpecError(f"--sweep {text}: an option and its values.", then="write --sweep max_num_seqs=8,16,32")
    return {option.strip().replace("-", "_"): [read_value(each) for each in values.strip().strip("[]").split(",")]}


def settings(
    sweep: Mapping[str, Any], base: Mapping[str, Any], mark: str, lines: Mapping[str, int] | None = None
) -> list[Setting]:
    """Every combination of the values, the last option changing fastest.

    Parameters
    ----------
    sweep
        Option -> its values (one or a list).
    base
        The other options of every server.
    mark
        What the servers' names end in, so that they meet nobody else's.
    lines
        Line of the cell on which each option stands, for error messages.

    Raises
    ------
    SpecError
        For an unknown option, a value that it does not take, no values, or too many settings.
    """
    where = f"Line {lines['sweep']}: " if lines and "sweep" in lines else ""
    if not isinstance(sweep, Mapping) or not sweep:
        raise SpecError(f"{where}sweep takes options and their values.", then="sweep: {max_num_seqs: [8, 16, 32]}")
    known = [name for name in ServerSpec.model_fields if name not in _NOT_SWEPT]
    values: dict[str, list[Any]] = {}
    for option, given in sweep.items():
        if option not in known:
            raise SpecError(
                f"{where}sweep: there is no option {option!r}{nearest(str(option), known)} to be swept.",
                then=f"options: {', '.join(known)}",
            )
        values[option] = list(given) if isinstance(given, (list, tuple)) else [given]
        if not values[option] or any(values[option].count(each) > 1 for each in values[option]):
            raise SpecError(f"{where}sweep: {option} needs values, each once.", why=str(given))
    varied = [option for option, each in values.items() if len(each) > 1]
    combined = list(itertools.product(*values.values()))
    if len(combined) > MOST:
        raise SpecError(f"{where}sweep: {len(combined)} settings are too many.", why=f"at most {MOST} are started")
    found = []
    for number, each in enumerate(combined, 1):
        chosen = dict(zip(values, each, strict=True))
        label = ", ".join(f"{option}={_said(chosen[option])}" for option in varied or values)
        spec = build(ServerSpec, {**base, **chosen, "name": f"sweep{number}_{mark}", "keep": "cell"})
        found.append(Setting(label, chosen, spec))
    return found


def _said(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
