"""A server that attacks who looks at it: by its model's name, its errors, its answers. All of it is shown, as text."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from scripted_api import ScriptedApi, Talk

from llm_magics.api import bench, compare
from llm_magics.errors import LLMMagicsError
from llm_magics.views.report import report

if TYPE_CHECKING:
    from conftest import Servers  # the nearest one: pytest knows several

EVIL = "</script><img src=x onerror=alert(1)>\"'&amp;\x1b[31m\x1b]0;title\x07"


def attacking(talk: Talk) -> None:
    if talk.number % 3 == 1:
        talk.whole("500 Internal Server Error", json.dumps({"error": {"message": EVIL}}))
        return
    talk.start()
    talk.delta(content=EVIL)
    talk.delta(content=f"</script>{EVIL}")
    talk.finish()


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    with ScriptedApi(attacking, models=[EVIL]).running() as running:
        yield running


def harmless(made: Any) -> None:
    """No element and no terminal code of theirs in any form of a result."""
    for form, shown in made.items():
        text = shown if isinstance(shown, str) else json.dumps(shown, ensure_ascii=False)
        assert "\x1b" not in text, form
        assert "\\u001b" not in text, form
        if form != "text/plain":
            assert "<img src=x" not in text, form
            assert "</script>" not in text, form


def terminal(*words: str) -> str:
    done = subprocess.run([sys.executable, "-m", "llm_magics.cli", *words], capture_output=True, text=True, check=False)
    assert "\x1b" not in done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_bench_and_its_report(api: ScriptedApi, tmp_path: Path) -> None:
    run = bench(api.url, label=f"mine{EVIL}", concurrency=[1, 2], requests=6, warmup=0, input_tokens=8, output_tokens=2)
    assert run.header["model"] == EVIL
    assert "alert(1)" in str(run.points[0]["errors"])
    harmless(run._repr_mimebundle_())
    page = Path(report(run, tmp_path / "r.html")).read_text()
    body = page.partition("<script>")[0]
    assert "<img src=x" not in body
    assert len(re.findall("</script>", page)) == 2, "plotly.js and the calls, which nothing ends before"
    assert "mine" in terminal("runs")
    assert "alert(1)" in terminal("runs", run.id)


def test_answers_side_by_side(api: ScriptedApi) -> None:
    with ScriptedApi(attacking, models=[EVIL]).running() as other:
        found = compare([api.url, other.url], prompt=EVIL)
        harmless(found._repr_mimebundle_())
        assert "alert(1)" in str(found)


def test_a_refusal_is_told_in_its_own_words_without_its_codes(api: ScriptedApi) -> None:
    api.refuse = lambda body: ("400 Bad Request", json.dumps({"error": {"message": f"no {EVIL}"}}))
    with pytest.raises(LLMMagicsError) as told:
        bench(api.url, concurrency=1, requests=2, input_tokens=8, output_tokens=2)
    for said in (str(told.value), *told.value._render_traceback_()):
        assert "alert(1)" in said
        assert "\x1b" not in said
    assert "alert(1)" in terminal("bench", api.url, "--concurrency", "1", "--requests", "2")


def test_an_engine_that_ends_with_an_attack_in_its_log(servers: Servers) -> None:
    servers.launch("--say", f"loading weights {EVIL}", "--die", "1")
    listed, log = terminal("list", "--all"), terminal("logs", "s")
    assert "failed" in listed
    assert "alert(1)" in log
