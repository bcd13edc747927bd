"""Which engine: the guide's decision framework as rules that fire, with their reasons, and what is true of it now.

The rules are data (`rules.yaml`). They exclude what cannot run or cannot do what is asked, and order the rest by
points. Points are no measurement: the answer says which rules gave them, and `--measure` lets figures decide.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from llm_magics.errors import SpecError
from llm_magics.spec.reading import nearest


@dataclass(frozen=True)
class Question:
    """A question: its values, the one that holds when nothing is said (empty: found on this machine), its words."""

    key: str
    values: tuple[str, ...]
    default: str
    asks: str


@dataclass(frozen=True)
class Reason:
    """A rule that fired: what it gave (points; None: it excludes), why, from where, and what the guide says there."""

    rule: str
    points: int | None
    why: str
    source: str
    guide: str = ""


@dataclass(frozen=True)
class Choice:
    """An engine in the answer; `measured` tokens/s when it was measured, `here` how it stands on this machine."""

    engine: str
    title: str
    points: int
    reasons: tuple[Reason, ...]
    here: str = ""
    measured: float | None = None


@dataclass(frozen=True, repr=False)
class Recommendation:
    """The answer.

    Attributes
    ----------
    answers
        Question -> answer.
    given
        The questions that the person answered; the others were found or taken as usual.
    ranked, excluded
        Engines that can, best first; and those that cannot, with the rules that say so.
    guide
        What the guide's tree answers: `answer` (title), `holds`, `now`.
    cell
        A `%%serve` cell for this machine.
    cell_notes
        What to know before it is run.
    comparison
        The measurement, when there was one.
    """

    answers: Mapping[str, str]
    given: frozenset[str]
    ranked: tuple[Choice, ...]
    excluded: tuple[Choice, ...]
    guide: Mapping[str, str]
    cell: str = ""
    cell_notes: tuple[str, ...] = ()
    comparison: Any = field(default=None, compare=False)

    def data(self) -> dict[str, Any]:
        """The same as JSON."""
        return {
            "answers": dict(self.answers), "given": sorted(self.given), "guide": dict(self.guide), "cell": self.cell,
            "notes": list(self.cell_notes), "ranked": [_plain(each) for each in self.ranked],
            "excluded": [_plain(each) for each in self.excluded],
            "verdict": str(self.comparison.verdict) if self.comparison is not None else None,
        }  # fmt: skip

    def __str__(self) -> str:
        from llm_magics.views.recommend import RecommendationView

        return str(RecommendationView(self.data()))

    __repr__ = __str__

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        from llm_magics.views.recommend import RecommendationView

        return RecommendationView(self.data())._repr_mimebundle_()


def questions() -> dict[str, Question]:
    """Every question, in order."""
    return {
        key: Question(key, tuple(each["values"]), each["default"], each["asks"])
        for key, each in _rules()["questions"].items()
    }


def recommend(given: Mapping[str, str], found: Mapping[str, str], *, capability: float | None = None) -> Recommendation:
    """Rank the engines.

    Parameters
    ----------
    given
        Question -> answer of the person.
    found
        The same as this machine tells, for what was not asked.
    capability
        NVIDIA's compute capability of the GPU that it is for, where that is known.

    Raises
    ------
    SpecError
        For a question or an answer that there is not.
    """
    asked = questions()
    for key, value in given.items():
        if key not in asked:
            raise SpecError(f"There is no question {key!r}{nearest(key, list(asked))}.")
        if value not in asked[key].values:
            raise SpecError(
                f"{key} is not {value!r}{nearest(value, list(asked[key].values))}.",
                why=f"one of: {', '.join(asked[key].values)}",
            )
    answers = {key: given.get(key) or found.get(key) or question.default for key, question in asked.items()}
    reasons: dict[str, list[Reason]] = {key: [] for key in _titles()}
    for rule in _rules()["rules"]:
        if _fires(rule["when"], answers) and _older(rule, capability):
            why, about = rule["why"], (rule["source"], rule.get("guide", ""))
            lacking = _lacking(rule)
            for engine, points in rule.get("score", {}).items():
                if engine in lacking:
                    continue
                said = rule.get("against", why) if int(points) < 0 else rule.get("own", {}).get(engine, why)
                reasons[engine].append(Reason(rule["id"], int(points), said, *about))
            for engine in dict.fromkeys([*rule.get("exclude", ()), *lacking]):
                reasons[engine].append(Reason(rule["id"], None, rule.get("cannot", why), *about))
    choices = [
        Choice(key, title, sum(reason.points or 0 for reason in reasons[key]), tuple(reasons[key]))
        for key, title in _titles().items()
    ]
    out = tuple(choice for choice in choices if any(reason.points is None for reason in choice.reasons))
    ranked = sorted((choice for choice in choices if choice not in out), key=lambda choice: -choice.points)
    return Recommendation(answers, frozenset(given), tuple(ranked), out, guide(answers))


def guide(answers: Mapping[str, str]) -> dict[str, str]:
    """The leaf of the guide's tree for these answers, and what is true of it now."""
    leaf = next(leaf for leaf in _rules()["tree"] if _fires(leaf["when"], answers))
    return {"answer": _titles()[leaf["answer"]], "holds": leaf["holds"], "now": leaf["now"]}


def _fires(when: Mapping[str, Any], answers: Mapping[str, str]) -> bool:
    return all(answers[key] in values for key, values in when.items())


def _older(rule: Mapping[str, Any], capability: float | None) -> bool:
    """Whether the GPU is one that the rule is about."""
    return "below" not in rule or (capability is not None and capability < float(rule["below"]))


def _lacking(rule: Mapping[str, Any]) -> list[str]:
    """Engines whose adapter has not the option that the rule asks for; none are known of engines without adapter."""
    if "option" not in rule:
        return []
    from llm_magics import engines

    has = engines.names()
    return [key for key in _titles() if key not in has or rule["option"] not in engines.get(key).options]


def _titles() -> dict[str, str]:
    from llm_magics.advice.matrix import matrix

    return matrix().engines


@cache
def _rules() -> dict[str, Any]:
    import yaml

    text = files("llm_magics.advice").joinpath("rules.yaml").read_text("utf-8")
    rules: dict[str, Any] = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - makes strings only
    return rules


def _plain(choice: Choice) -> dict[str, Any]:
    return {
        "engine": choice.engine, "title": choice.title, "points": choice.points, "here": choice.here,
        "measured": choice.measured,
        "reasons": [
            {"rule": each.rule, "points": each.points, "why": each.why, "source": each.source, "guide": each.guide}
            for each in choice.reasons
        ],
    }  # fmt: skip
