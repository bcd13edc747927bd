"""One table object, two forms: neither may lose a cell or let one escape."""

from __future__ import annotations

from made import ATTACK

from llm_magics.views.table import Cell, Column, Table


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
