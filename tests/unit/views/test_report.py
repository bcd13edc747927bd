"""A report is one file that asks nobody, says where its figures come from, and cannot be made to act."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from made import ATTACK, answer, bench, compared

from llm_magics import views  # noqa: F401 - teaches results to draw themselves
from llm_magics.errors import SpecError
from llm_magics.results.columns import Columns
from llm_magics.results.comparison import Comparison
from llm_magics.results.run import Run
from llm_magics.views.report import report


class Page(HTMLParser):
    """The tags of a page and its text outside scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._quiet = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._quiet = tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._quiet = False

    def handle_data(self, data: str) -> None:
        if not self._quiet:
            self.text += data


def test_it_is_written_where_asked_and_fetches_nothing(tmp_path: Path) -> None:
    path = report(bench(requests=30), tmp_path / "r.html")
    page = Page(Path(path).read_text())
    for tag, attributes in page.tags:
        assert tag not in ("link", "iframe", "object"), tag
        for name in ("src", "href"):
            assert not (attributes.get(name) or "data:").startswith(("http", "//")), attributes
    policy = next(a["content"] for t, a in page.tags if t == "meta" and "http-equiv" in a)
    assert str(policy).startswith("default-src 'none'")


def test_a_run_says_where_it_comes_from_and_what_its_words_mean() -> None:
    text = Page(str(report(bench(requests=30)))).text
    for word in ("vllm 0.32.0", "vllm serve tiny", "seed", "TTFT ≤ 55 ms", "first chunk with content", "64 streams"):
        assert word in text


def test_a_comparison_leads_with_its_verdict_and_shows_each_side() -> None:
    comparison = compared()
    page = Page(comparison.report())
    assert comparison.verdict.headline in page.text
    assert "side1 alone" in page.text
    assert sum(tag == "details" for tag, _ in page.tags) == 2


def test_a_list_is_one_page_with_plotly_once() -> None:
    page = str(report([bench(requests=30), bench(requests=30, name="other")], title="Two"))
    assert page.count("Plotly.newPlot(") >= 2
    assert len(page) < 7_000_000
    assert Page(page).text.startswith("\nTwo")


def test_answers_make_a_report_without_figures() -> None:
    page = str(report(Comparison.of_answers("Why?", {"a": answer(), "b": answer(name="b")})))
    assert "Plotly" not in page
    assert "hello" in page


def test_names_cannot_end_the_script_or_become_tags() -> None:
    evil = f"</script><script>alert(1)</script>{ATTACK}"
    page = str(report(bench(name=evil, requests=30, header={"model": evil, "command": evil})))
    scripts = sum(tag == "script" for tag, _ in Page(page).tags)
    assert scripts == 2
    assert not any(tag == "img" for tag, _ in Page(page).tags)
    assert re.search(r"alert\(1\)", Page(page).text)


def test_a_run_that_measured_nothing_makes_a_report() -> None:
    empty = Run({"name": "x"}, Columns.of_records([]), status="failed")
    assert "nothing was measured" in Page(str(report(empty))).text


def test_nothing_to_report_and_nowhere_to_write_are_said(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="nothing to report"):
        report([])
    with pytest.raises(SpecError, match="cannot be written"):
        report(bench(requests=30), tmp_path / "missing" / "r.html")
