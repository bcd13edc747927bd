"""Text becomes HTML through one door, and that door escapes."""

from __future__ import annotations

from made import ATTACK

from llm_magics.views import markup
from llm_magics.views.markup import Markup, link, page, tag


def test_text_and_attributes_are_escaped() -> None:
    made = tag("p", ATTACK, title='"><script>')
    assert made == '<p title="&quot;&gt;&lt;script&gt;">&lt;img src=x onerror=alert(1)&gt;</p>'
    assert tag("p", tag("b", "x")) == "<p><b>x</b></p>"
    assert markup.join("<", Markup("<b>")) == "&lt;<b>"


def test_only_web_addresses_become_links() -> None:
    assert "href" in link("http://127.0.0.1:1/v1")
    assert link("javascript:alert(1)") == "javascript:alert(1)"


def test_an_output_carries_only_the_rules_it_uses() -> None:
    plain, table = page(tag("p", "x")), page(tag("table", tag("tr", tag("td", "x"))))
    assert "llmm-answer" not in plain
    assert "table" not in plain.partition("</style>")[0]
    assert "border-collapse" in table
    assert len(plain) < len(table) < len(markup.style()) + 200


def test_every_rule_of_the_style_sheet_stays_inside_our_outputs() -> None:
    for rule in markup.style().split("}"):
        selector = rule.partition("{")[0]
        if selector and not selector.startswith(("@", "50%", "to", "from")):
            for each in selector.split(","):
                assert ".llmm-" in each, each
