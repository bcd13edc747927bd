"""What servers, models, files, logs and users write is text wherever it is shown: no tag, no script, no terminal code.

Every form of every view is made of hostile words: HTML is parsed, every string that Plotly would read as its few tags
is looked at, text must hold no control characters.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from types import SimpleNamespace as Facts
from typing import Any

import pytest
from made import answer, bench, record

from llm_magics import views  # noqa: F401 - teaches results to draw themselves
from llm_magics.errors import LaunchError
from llm_magics.results.comparison import Comparison
from llm_magics.results.run import Run
from llm_magics.results.store import RunRow
from llm_magics.results.sweep import Sweep
from llm_magics.views import cards, tables
from llm_magics.views.bundle import PLOTLY, plotly_json
from llm_magics.views.report import report
from llm_magics.views.waiting import WaitingCard
from llm_magics.views.words import words

EVIL = "</script></style><img src=x onerror=alert(1)>\"'`<b>&amp;%{y}\x1b[31m\x1b]0;title\x07\x00"
OURS = {"img": ("data:",), "a": ("http://", "https://")}  # elements with an address, and what it may begin with


class Elements(HTMLParser):
    """The elements of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def harmless_html(page: str, *, scripts: int = 0) -> None:
    found = Elements(page).found
    assert sum(tag == "script" for tag, _ in found) == scripts
    for tag, attributes in found:
        assert tag not in ("iframe", "object", "embed", "form", "input", "base"), tag
        assert not [name for name in attributes if name.startswith("on")], attributes
        address = attributes.get("src") or attributes.get("href") or ""
        assert not address or address.startswith(OURS.get(tag, ())), (tag, address)
        assert "alert" not in str(attributes.get("style")), attributes
    parts = page.split("<script>")
    assert "\x1b" not in parts[0] + parts[-1], "plotly.js, in a script between them, has some of its own"


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from (str(key), *strings(each))
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from strings(each)
    elif isinstance(value, str):
        yield value


def harmless(shown: Any) -> None:
    made = shown if isinstance(shown, dict) else shown._repr_mimebundle_()
    harmless_html(made.get("text/html", ""))
    for text in strings(made.get(PLOTLY, {})):
        assert "<img" not in text
        assert "</s" not in text.replace("</span>", "").replace("</sub>", ""), text
        assert "\x1b" not in text
    assert "\x1b" not in made["text/plain"]
    assert "\x00" not in made["text/plain"]


def hostile(run: Run) -> Run:
    """The run as a server, a model and a user could have made it at worst."""
    header = run.header
    for key, value in header.items():
        if isinstance(value, str):
            header[key] = f"{EVIL}{value}"
    for point in header["points"]:
        point["label"] = f"{EVIL}{point['label']}"
    header.update(dict.fromkeys(("gpu", "driver", "system", "llm_magics", "source", "server_ended", "round"), EVIL))
    header["workload"].update(dataset=EVIL, path=EVIL, system_prompt=EVIL)
    header["watched"], header["gpus"] = True, [0]
    run.notes.append(EVIL)
    return run


def run_of(number: int = 0, **how: Any) -> Run:
    return hostile(bench(name=f"{EVIL}{number}", requests=24, seed=number, **how))


def compared(rounds: int) -> Comparison:
    return Comparison.of_runs(
        {
            f"{EVIL}{side}": [
                run_of(10 * side + number, ttft=0.05 * (1 + side), workload_seed=number) for number in range(rounds)
            ]
            for side in range(2)
        }
    )


def swept() -> Sweep:
    settings = {f"{EVIL}{number}": {EVIL: EVIL} for number in range(3)}
    return Sweep(
        {label: run_of(number) for number, label in enumerate(settings)},
        {**settings, f"{EVIL}x": {EVIL: EVIL}},
        failed={f"{EVIL}x": EVIL},
        notes=[EVIL],
    )


def answered() -> Comparison:
    given = {
        EVIL: answer(name=EVIL, model=EVIL, text=EVIL, finish=EVIL),
        "b": answer(name="b", error=EVIL, ttft=None),
    }
    return Comparison.of_answers(EVIL, given)


RESULTS = {
    "a run": lambda: run_of(errors=3),
    "a comparison": lambda: compared(1),
    "a comparison of rounds": lambda: compared(3),
    "a sweep": swept,
    "answers": answered,
}


@pytest.mark.parametrize("made", RESULTS.values(), ids=RESULTS)
def test_results(made: Any) -> None:
    found = made()
    harmless(found)
    harmless({"text/plain": str(found), PLOTLY: plotly_json(found.figure)})
    if (said := words(found)) is not None:
        harmless(said)
    page = str(report(found))
    harmless_html(page, scripts=0 if "Plotly.newPlot" not in page else 2)
    assert "alert(1)" in page, "it is shown, as text"


def hostile_record() -> Any:
    return record(
        engine=EVIL, engine_version=EVIL, model=EVIL, served_model=EVIL, stage=EVIL, url=f"http://x/{EVIL}", host=EVIL,
        command=EVIL, stops_why=EVIL, log=EVIL, owners=[{"notebook": EVIL}], ended_at=1.0,
        diagnosis={"cause": EVIL, "line": EVIL, "remedy": EVIL}, node={"on": EVIL, "ip": EVIL},
        container={"tool": EVIL, "name": EVIL},
    )  # fmt: skip


@pytest.mark.parametrize("state", ["starting", "loading", "ready", "stopping", "stopped", "failed", "lost"])
def test_servers(state: Any) -> None:
    found = replace(hostile_record(), state=state)
    harmless(tables.servers([found]))
    for line in ("", EVIL):
        card = cards.ServerCard(found, line=line)
        harmless(card)
        harmless({"text/plain": card.oneline})
        harmless(card.ended(LaunchError(EVIL, why=EVIL, then=EVIL)))


def test_errors_in_a_cell_and_in_a_terminal() -> None:
    error = LaunchError(f"What {EVIL}", why=f"{EVIL}\n{EVIL}", then=EVIL)
    harmless(cards.ErrorCard(error))
    for said in (str(error), *error._render_traceback_()):
        assert not any(ord(char) < 32 and char != "\n" for char in said)
        assert "alert(1)" in said, "it is shown, as text"


def test_what_this_machine_has() -> None:
    holders = [Facts(server=EVIL, name=EVIL, pid=1, memory=3), Facts(server=None, name=EVIL, pid=2, memory=0)]
    harmless(tables.gpus([Facts(index=0, name=EVIL, mig=True, memory_used=1, memory_total=2, utilisation=1, power=1.0,
                                temperature=1, processes=holders)]))  # fmt: skip
    harmless(
        tables.engines(
            Facts(title=EVIL, key=EVIL, installed=here, version=EVIL, where=EVIL, origin=EVIL, command=EVIL)
            for here in (True, False)
        )
    )
    harmless(tables.doctor([Facts(what=EVIL, state=EVIL, detail=EVIL, remedy=EVIL)]))
    figures = {"at": EVIL, "round": EVIL}
    harmless(tables.runs([RunRow(EVIL, EVIL, EVIL, EVIL, EVIL, "2026-11-23T10:00:00+00:00", EVIL, 3, 9, figures)]))
    harmless(WaitingCard(EVIL, 3.0))
