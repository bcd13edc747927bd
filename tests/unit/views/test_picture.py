"""The static picture is the figure's own first row, as an image that cannot run anything."""

from __future__ import annotations

from urllib.parse import unquote
from xml.etree import ElementTree

from made import ATTACK, bench, compared

from llm_magics.views.bundle import plotly_json
from llm_magics.views.picture import picture, svg

SVG = "{http://www.w3.org/2000/svg}"


def drawn(result: object) -> ElementTree.Element:
    text = svg(plotly_json(result.figure))  # type: ignore[attr-defined]
    assert text is not None
    return ElementTree.fromstring(text)  # noqa: S314 - our own


def test_it_holds_the_panels_of_the_first_row() -> None:
    words = " ".join("".join(text.itertext()) for text in drawn(bench()).iter(f"{SVG}text"))
    for word in ("Output throughput", "TTFT", "TPOT", "concurrent streams", "64", "SLO 55 ms"):
        assert word in words
    assert "Requests in flight" not in words


def test_marks_lie_where_their_values_are() -> None:
    circles = [(float(c.get("cx", 0)), float(c.get("cy", 0))) for c in drawn(bench()).iter(f"{SVG}circle")][:3]
    assert circles[0][0] < circles[1][0] < circles[2][0], "more streams further right"
    assert circles[0][1] > circles[1][1] > circles[2][1], "more tokens/s further up"


def test_every_kind_of_figure_can_be_pictured() -> None:
    for result in (bench(concurrency=[16]), bench(concurrency=None, rate=[1, float("inf")], requests=30), compared()):
        root = drawn(result)
        for path in root.iter(f"{SVG}path"):
            assert "nan" not in path.get("d", "")


def test_it_is_an_image_with_a_description_and_no_way_out() -> None:
    run = bench(name=ATTACK, requests=20)
    shown = str(picture(run.figure, ATTACK))
    assert shown.startswith('<img src="data:image/svg+xml,')
    assert shown.count("<") == 1, "names are escaped in the address and in the description"
    assert "<img src=x" not in unquote(shown)


def test_a_figure_without_panels_has_no_picture() -> None:
    import plotly.graph_objects as go

    assert picture(go.Figure(layout={"margin": {"l": 0, "r": 0, "t": 0, "b": 0}, "height": 100}), "") is None
