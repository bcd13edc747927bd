"""How a recommendation looks: the ranked engines with the rules that fired, the guide's own answer, a cell to run.

Reads the plain data of `advice.recommend.Recommendation.data()`; the form is made only where ipywidgets is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from llm_magics.views import format as fmt
from llm_magics.views.markup import page, tag
from llm_magics.views.readable import readable
from llm_magics.views.table import READABLE, Cell, Column, Table

_NO_CELL = "No engine starts here with this model, as it is asked:"
_HOLDS = {"yes": "still holds", "partly": "holds in part", "no": "no longer holds"}


class RecommendationView:
    """A recommendation as it is shown."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.data = data

    def __str__(self) -> str:
        data = self.data
        parts = [self._headline(), self._asked(), str(self._ranked(brief=True))]
        if data["verdict"]:
            parts.append(f"Measured here: {data['verdict']}")
        parts += [*(_reasons(each) for each in data["ranked"][:3]), str(self._excluded()), self._guide()]
        if data["cell"]:
            first, *body = data["cell"].splitlines()  # the magic's line stands first, or the cell cannot be pasted
            said = ["A cell that runs on this machine:", first, *(f"# {note}" for note in data["notes"]), *body]
            parts.append("\n".join(said))
        elif data["notes"]:
            parts.append("\n".join([_NO_CELL, *(f"  {note}" for note in data["notes"])]))
        return "\n\n".join(parts)

    __repr__ = __str__

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        data = self.data
        measured = tag("p", f"Measured here: {data['verdict']}") if data["verdict"] else None
        notes = [tag("ul", *(tag("li", note) for note in data["notes"]), cls="muted")] if data["notes"] else []
        cell = [tag("p", "A cell that runs on this machine:"), tag("pre", data["cell"]), *notes]
        if not data["cell"]:
            cell = [tag("p", _NO_CELL), *notes] if notes else []
        html = page(
            tag("div", self._headline(), cls="title"), tag("p", self._asked(), cls="muted"), self._ranked().html(),
            measured, tag("p", self._guide()), *cell, self._excluded().html(),
        )  # fmt: skip
        return {"text/html": html, "text/plain": str(self)}

    def _headline(self) -> str:
        ranked = self.data["ranked"]
        if not ranked:
            return "No engine can do all of this; take one demand away."
        second = f", then {ranked[1]['title']}" if len(ranked) > 1 else ""
        by = "by what was measured here" if ranked[0]["measured"] is not None else "by the rules below"
        return f"{ranked[0]['title']}{second}, {by}."

    def _asked(self) -> str:
        said = [
            f"{key.replace('_', ' ')}: {value}{'' if key in self.data['given'] else _unasked(key, value)}"
            for key, value in self.data["answers"].items()
        ]
        return "; ".join(said)

    def _ranked(self, *, brief: bool = False) -> Table:
        """The engines that can; `brief` leaves out the rules, which a terminal has no room for beside the rest."""
        measured = any(each["measured"] is not None for each in self.data["ranked"])
        columns = [
            Column("Engine"), Column("Points", align="right"),
            *[Column("Measured", "tok/s", align="right")] * measured,
            *[Column("Rules that fired", wrap=True)] * (not brief), Column("On this machine", wrap=True),
        ]  # fmt: skip
        rows: list[list[Cell | str]] = []
        for each in self.data["ranked"]:
            fired = "; ".join(f"{rule['rule']} {rule['points']:+d}" for rule in each["reasons"] if rule["points"])
            rows.append([
                each["title"], f"{each['points']:+d}", *[fmt.number(each["measured"])] * measured,
                *[Cell(fired, note=_why(each))] * (not brief), each["here"],
            ])  # fmt: skip
        return Table(columns, rows, empty="No engine is left.", widest=READABLE)

    def _excluded(self) -> Table:
        rows: list[list[Cell | str]] = []
        for each in self.data["excluded"]:
            barred = (rule for rule in each["reasons"] if rule["points"] is None)
            rows.append([each["title"], "; ".join(f"{rule['why']} ({rule['rule']})" for rule in barred)])
        return Table(
            [Column("Cannot"), Column("Because", wrap=True)],
            rows,
            empty="The rules exclude no engine; what each needs here stands in the table above.",
            widest=READABLE,
        )

    def _guide(self) -> str:
        guide = self.data["guide"]
        about = "The guide of 2024 (a decision tree for choosing an engine, on which these rules began)"
        return f"{about} says {guide['answer']}: that {_HOLDS[guide['holds']]}. {guide['now']}"


def form(questions: Mapping[str, Any], answers: Mapping[str, str], answer: Callable[[dict[str, str]], Any]) -> Any:
    """The questions as a small form over the answer, which follows every change (ipywidgets).

    Parameters
    ----------
    questions
        Key -> something with `values` and `asks`.
    answers
        What stands in the form at first.
    answer
        Called with question -> answer; returns what is shown.
    """
    import ipywidgets

    fields = {
        key: ipywidgets.Dropdown(
            options=list(question.values), value=answers[key], description=question.asks,
            layout={"width": "420px"}, style={"description_width": "230px"},
        )
        for key, question in questions.items()
    }  # fmt: skip
    shown = ipywidgets.Output()
    box = readable(ipywidgets.VBox)([*fields.values(), shown])

    def redraw(_: Any = None) -> None:
        box.still = answer({key: field.value for key, field in fields.items()})._repr_mimebundle_()
        shown.outputs = ({"output_type": "display_data", "data": box.still, "metadata": {}},)

    for each in fields.values():
        each.observe(redraw, "value")
    redraw()
    return box


def _unasked(key: str, value: str) -> str:
    """How an answer came about that nobody gave: hardware and a model's format are looked for."""
    return " (found)" if key == "hardware" or (key == "format" and value != "any") else " (assumed)"


def _why(choice: Mapping[str, Any]) -> str:
    """The reasons of the rules that spoke for an engine, strongest first."""
    for_it = sorted((each for each in choice["reasons"] if (each["points"] or 0) > 0), key=lambda each: -each["points"])
    return "; ".join(each["why"] for each in for_it[:2])


def _reasons(choice: Mapping[str, Any]) -> str:
    """An engine's rules, one a line."""
    lines = [f"  {rule['points']:+d}  {rule['why']}  ({rule['rule']})" for rule in choice["reasons"] if rule["points"]]
    return "\n".join([f"{choice['title']}, because", *lines])
