"""A picture on request: PNG by kaleido, else our own SVG; nothing unasked."""

from __future__ import annotations

import base64
import importlib.util
import shutil
import xml.etree.ElementTree as ET

import plotly.graph_objects as go
import pytest
from made import bench, compared

from llm_magics import views  # noqa: F401 - teaches results to draw themselves
from llm_magics.errors import SpecError
from llm_magics.views.bundle import PLOTLY, bundle
from llm_magics.views.still import ASKED

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def no_kaleido(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "kaleido" else find(name, *a))


@pytest.fixture
def kaleido(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """One that is there, and writes the beginning of a PNG; what it was asked."""
    find, asked = importlib.util.find_spec, []
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: find("json" if name == "kaleido" else name, *a))
    monkeypatch.setattr(
        go.Figure, "to_image", lambda self, **how: asked.append({**how, "buttons": len(self.layout.updatemenus)}) or PNG
    )
    return asked


@pytest.mark.parametrize("said", [None, "", "off"])
def test_nothing_is_made_unasked(said: str | None, monkeypatch: pytest.MonkeyPatch, kaleido: list[object]) -> None:
    if said is not None:
        monkeypatch.setenv(ASKED, said)
    assert set(bench()._repr_mimebundle_()) == {PLOTLY, "text/html", "text/plain"}
    assert kaleido == []


@pytest.mark.parametrize("make", [bench, compared])
def test_a_png_stands_beside_the_figure(make, monkeypatch: pytest.MonkeyPatch, kaleido: list[object]) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv(ASKED, "png")
    made = make()._repr_mimebundle_()
    assert set(made) == {PLOTLY, "text/html", "text/plain", "image/png"}
    assert base64.b64decode(made["image/png"]) == PNG
    assert kaleido == [{"format": "png", "scale": 2, "width": 860, "buttons": 0}]
    assert make is compared or made[PLOTLY]["layout"]["updatemenus"]  # those that are drawn keep theirs


def test_an_svg_is_ours_and_well_formed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ASKED, "SVG")
    made = bench()._repr_mimebundle_()
    assert ET.fromstring(made["image/svg+xml"]).tag.endswith("svg")  # noqa: S314 - our own
    assert "image/png" not in made


@pytest.mark.usefixtures("no_kaleido")
def test_without_kaleido_it_is_the_svg_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ASKED, "png")
    with pytest.warns(RuntimeWarning, match="pip install kaleido"):
        assert "image/svg+xml" in bench()._repr_mimebundle_()


def test_a_browser_that_fails_costs_the_png_not_the_result(
    monkeypatch: pytest.MonkeyPatch, kaleido: list[object]
) -> None:
    def fail(self: object, **_: object) -> bytes:
        raise OSError("no browser\nmore")

    monkeypatch.setattr(go.Figure, "to_image", fail)
    monkeypatch.setenv(ASKED, "png")
    with pytest.warns(RuntimeWarning, match=r"\(no browser\)"):
        made = bench()._repr_mimebundle_()
    assert {PLOTLY, "text/html", "image/svg+xml"} < set(made)


def test_what_moves_has_none(monkeypatch: pytest.MonkeyPatch, kaleido: list[object]) -> None:
    """A browser would be started once for each second of a live view."""
    monkeypatch.setenv(ASKED, "png")
    assert set(bundle(go.Figure(go.Scatter(y=[1])), text="live", stills=False)) == {PLOTLY, "text/plain"}
    assert kaleido == []


def test_another_kind_is_refused_with_those_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ASKED, "jpeg")
    with pytest.raises(SpecError, match="jpeg"):
        bench()._repr_mimebundle_()


def test_the_real_kaleido_draws_it(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("kaleido")
    if not (shutil.which("chromium") or shutil.which("google-chrome")):
        pytest.skip("there is no browser")
    monkeypatch.setenv(ASKED, "png")
    drawn = base64.b64decode(bench()._repr_mimebundle_()["image/png"])
    assert drawn.startswith(PNG)
    assert len(drawn) > 10_000
