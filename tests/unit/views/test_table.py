"""One table object, two forms: neither may lose a cell or let one escape."""

from __future__ import annotations

from dataclasses import replace

import pytest
from made import ATTACK

from llm_magics.views.table import READABLE, Cell, Column, Table


def table() -> Table:
    return Table(
        [Column("Name"), Column("Speed", "tok/s", align="right")],
        [["日本", Cell("1,234", "best", mark="✓")], [Cell("b", "bad", note="why"), "9"]],
        caption="Things",
        notes=["✓ better"],
    )


def test_text_is_aligned_by_what_a_terminal_shows() -> None:
    lines = str(table()).splitlines()
    assert lines[0] == "Things"
    assert lines[1] == "Name     Speed tok/s"
    assert lines[3] == "日本         1,234 ✓"
    assert lines[4] == "b (why)            9"
    assert lines[-1] == "✓ better"


def test_html_has_every_cell_its_tone_and_its_unit() -> None:
    html = table().html()
    assert "<small>tok/s</small>" in html
    assert 'class="llmm-r llmm-best"' in html
    assert "llmm-state llmm-bad" in html
    assert "<small>why</small>" in html


def test_cells_captions_and_notes_are_escaped() -> None:
    hostile = Table(
        [Column(ATTACK, ATTACK)], [[Cell(ATTACK, note=ATTACK, mark=ATTACK)]], caption=ATTACK, notes=[ATTACK]
    )
    html = hostile._repr_mimebundle_()["text/html"]
    assert "<img" not in html
    assert html.count("&lt;img") == 7


def test_a_cell_cannot_break_the_lines_of_a_terminal() -> None:
    assert str(Table([Column("x")], [["a\n\x1b[2Jb"]])).splitlines()[-1] == "a b"


def test_an_empty_table_says_so() -> None:
    empty = Table([Column("x")], [], empty="No servers.")
    assert str(empty) == "No servers."
    assert "No servers." in empty._repr_mimebundle_()["text/html"]


WIDE = Table(
    [Column("Engine"), Column("Where", wrap=True), Column("Source", wrap=True)],
    [["vLLM", "a " * 60, "engine/arg_utils.py " * 6], ["TGI", "short", "x" * 90]],
    notes=["a note"],
)


def test_a_table_wider_than_the_terminal_wraps_where_it_may_and_loses_nothing() -> None:
    lines = WIDE.plain(72).splitlines()
    assert max(map(len, lines)) <= 72
    assert lines[0].split() == ["Engine", "Where", "Source"]
    assert set(lines[1]) == {"─", " "}
    text = " ".join(lines)
    assert text.count("engine/arg_utils.py") == 6
    assert text.count("x") == 90
    assert [line.split()[0] for line in lines if line and line[0] not in " ─"] == ["Engine", "vLLM", "TGI", "a"]


def test_columns_that_do_not_wrap_and_tables_that_fit_stay_as_they_are() -> None:
    assert table().plain(5) == table().plain()
    assert WIDE.plain(1000) == WIDE.plain()


def test_only_a_terminal_wraps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe and a file keep one line a row, as grep and awk want it."""
    monkeypatch.setenv("COLUMNS", "72")
    assert str(WIDE) == WIDE.plain()
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert str(WIDE) == WIDE.plain(72)


def test_a_table_of_sentences_is_no_wider_in_a_pipe_than_it_says() -> None:
    sentences = replace(WIDE, widest=READABLE)
    assert str(sentences) == WIDE.plain(READABLE)
    assert max(map(len, str(sentences).splitlines())) <= READABLE < max(map(len, str(WIDE).splitlines()))
