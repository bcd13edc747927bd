"""What the guide says of engines side by side, each statement with what is true of it now.

Its strengths lists, "When to choose" tables and figures are data (`guide.yaml`); `%llm engines A B` shows those of two
engines beside their cells of the matrix, and says for every situation whom the rules of `recommend` name today.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from llm_magics.advice.matrix import Matrix, cited, matrix
from llm_magics.errors import SpecError
from llm_magics.spec.reading import nearest

Holds = Literal["yes", "partly", "no"]


@dataclass(frozen=True)
class Claim:
    """A strength that the guide names: what it says of `engine`, whether that holds, what is so now, from where."""

    engine: str
    says: str
    holds: Holds
    now: str
    source: str
    date: str


@dataclass(frozen=True)
class Situation:
    """A row of "When to choose": the guide's choice, whether it holds, whom to take now; `first` by `recommend`."""

    case: str
    best: str
    holds: Holds
    now: str
    answers: Mapping[str, str]
    first: tuple[str, ...]
    source: str
    date: str


@dataclass(frozen=True)
class Figure:
    """One of the guide's charts: its title, and what it claims for each engine (2024)."""

    chart: str
    values: Mapping[str, float]


@dataclass(frozen=True)
class Other:
    """A section of "Other engines"."""

    engine: str
    focus: str
    strength: str
    when: str
    holds: Holds
    now: str
    source: str
    date: str


@dataclass(frozen=True, repr=False)
class SideBySide:
    """Two engines or more: their cells of the matrix, and all that the guide says of them."""

    engines: dict[str, str]
    matrix: Matrix
    claims: tuple[Claim, ...]
    situations: tuple[Situation, ...]
    figures: tuple[Figure, ...]
    others: tuple[Other, ...]

    def data(self) -> dict[str, Any]:
        """The same as JSON."""
        return {
            "engines": self.engines, "matrix": self.matrix.data()["cells"],
            "strengths": [asdict(each) for each in self.claims],
            "when_to_choose": [{**asdict(each), "answers": dict(each.answers)} for each in self.situations],
            "figures": [{"chart": each.chart, "guide": dict(each.values)} for each in self.figures],
            "others": [asdict(each) for each in self.others],
        }  # fmt: skip

    def __str__(self) -> str:
        from llm_magics.views.side_by_side import SideBySideView

        return str(SideBySideView(self))

    __repr__ = __str__

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        from llm_magics.views.side_by_side import SideBySideView

        return SideBySideView(self)._repr_mimebundle_()


def side_by_side(names: Sequence[str]) -> SideBySide:
    """What is known of some engines, and what the guide says of them.

    Parameters
    ----------
    names
        Keys of the matrix (`vllm`), or titles (`vLLM`).

    Raises
    ------
    SpecError
        For an engine that the matrix has not.
    """
    whole = matrix()
    keys = list(dict.fromkeys(_key(name, whole.engines) for name in names))
    cells = {place: cell for place, cell in whole.cells.items() if place[1] in keys}
    chosen = Matrix({key: whole.engines[key] for key in keys}, whole.features, cells, whole.compiled)
    about = [
        pair
        for pair in _data()["pairs"]
        if set(keys) >= set(pair["engines"]) or (len(keys) == 1 and keys[0] in pair["engines"])
    ]
    return SideBySide(
        chosen.engines,
        chosen,
        tuple(
            Claim(engine, each["says"], each["holds"], each["now"], *_source(each))
            for pair in about
            for engine, claims in pair["strengths"].items()
            if engine in keys
            for each in claims
        ),
        tuple(
            Situation(each["case"], whole.engines[each["best"]], each["holds"], each["now"], each["also"],
                      _first(each["also"]), *_source(each))
            for pair in about
            for each in pair["choose"]
        ),
        tuple(
            Figure(each["chart"], {name: float(value) for name, value in each["values"].items()})
            for pair in about
            for each in pair.get("figures", ())
        ),
        tuple(
            Other(each["engine"], each["focus"], each["strength"], each["when"], each["holds"], each["now"],
                  *_source(each))
            for each in _data()["others"]
            if each["engine"] in keys
        ),
    )  # fmt: skip


def _first(answers: Mapping[str, str]) -> tuple[str, ...]:
    """Whom the rules name first and second for a situation, with an NVIDIA GPU where it names no hardware."""
    from llm_magics.advice.recommend import recommend

    return tuple(choice.title for choice in recommend(answers, {"hardware": "nvidia"}).ranked[:2])


def _key(name: str, titles: Mapping[str, str]) -> str:
    for key, title in titles.items():
        if _letters(name) in (_letters(key), _letters(title)):
            return key
    raise SpecError(
        f"There is nothing known of an engine called {name!r}{nearest(name, list(titles))}.",
        why=f"engines: {', '.join(titles)}",
    )


def _letters(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _source(statement: Mapping[str, str]) -> tuple[str, str]:
    return cited(_matrix_sources()[statement["source"]], statement.get("at", ""))


@cache
def _matrix_sources() -> dict[str, Any]:
    import yaml

    text = files("llm_magics.advice").joinpath("matrix.yaml").read_text("utf-8")
    found: dict[str, Any] = yaml.load(text, Loader=yaml.BaseLoader)["sources"]  # noqa: S506 - makes strings only
    return found


@cache
def _data() -> dict[str, Any]:
    import yaml

    text = files("llm_magics.advice").joinpath("guide.yaml").read_text("utf-8")
    found: dict[str, Any] = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - makes strings only
    return found
