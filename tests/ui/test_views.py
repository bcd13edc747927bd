"""What a person sees in JupyterLab: drawn, in both themes, without a page error, without a request to anywhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from pictured import busy_run, hostile, rounds

from llm_magics import views  # noqa: F401 - teaches results to draw themselves
from llm_magics.errors import LLMMagicsError
from llm_magics.results.answers import Answer
from llm_magics.results.comparison import Comparison
from llm_magics.runtime.record import Record
from llm_magics.views.cards import AnswerCards, ErrorCard, ServerCard
from llm_magics.views.report import report
from llm_magics.views.tables import servers

ATTACK = '<img src=x onerror="window.attacked=1"><script>window.attacked=1</script>\'"&amp;'

COMPARED = {
    "qwen": {"engine": "vllm", "seed": 1},
    "llama": {"engine": "llamacpp", "model": "Llama-3.2-3B-Q4_K_M", "prefill": 0.034, "decode": 0.0071, "slots": 16,
              "seed": 7},
}  # fmt: skip


@pytest.fixture(scope="session")
def compared() -> Comparison:
    return Comparison.of_runs({name: rounds(requests=120, name=name, **how) for name, how in COMPARED.items()})


def shown(source: str, thing: Any) -> Any:
    """A cell with an output as IPython would leave it."""
    data = thing._repr_mimebundle_()
    return nbformat.v4.new_code_cell(source, outputs=[nbformat.v4.new_output("execute_result", data=data)])


def press(page: Any, label: str) -> None:
    """Click one of a figure's own buttons, where it is drawn."""
    box = page.locator(".updatemenu-item-text").get_by_text(label, exact=True).first.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def server(**how: Any) -> Record:
    now = time.time()
    facts = {
        "name": "qwen", "engine": "vllm", "engine_version": "0.32.0", "model": "Qwen/Qwen2.5-7B-Instruct",
        "served_model": "Qwen/Qwen2.5-7B-Instruct", "state": "ready", "created": now - 44, "ready_at": now - 2,
        "host": "127.0.0.1", "url": "http://127.0.0.1:41233", "gpus": [0],
        "reuse_key": "k", "spec": {}, "supervisor": {},
    }  # fmt: skip
    return Record(**{**facts, **how})


def answers(text: str = "") -> dict[str, Answer]:
    return {
        "qwen": Answer(
            "qwen", "Qwen/Qwen2.5-7B-Instruct",
            "PagedAttention keeps the key-value cache of each request in small blocks of one size that need not lie "
            "next to each other, so memory is neither reserved in advance nor lost to gaps." + text,
            0.0421, 41, 88.2, 12, 0.5, "stop",
        ),
        "tiny": Answer("tiny", "tiny", "Paged attention stores the cache in pages, as operating systems do." + text,
                       0.0082, 15, 412.0, 12, 0.04, "stop"),
    }  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_saved_results_are_drawn_in_lab(
    lab: Any, new_page: Callable[..., Any], picture: Callable[..., Path], compared: Comparison, scheme: str
) -> None:
    page = new_page(scheme, height=3400)
    lab.open(page, lab.write(f"results-{scheme}.ipynb", [
        shown("%%bench qwen --out r", busy_run()),
        shown("%%compare qwen llama --load", compared),
        shown("%bench qwen", busy_run(streams=[16])),
    ]))  # fmt: skip
    page.wait_for_function("document.querySelectorAll('.js-plotly-plot .main-svg').length >= 9")
    assert page.evaluate("document.body.dataset.jpThemeLight") == ("true" if scheme == "light" else "false")
    plots = page.locator(".js-plotly-plot")
    assert plots.count() == 3
    for number in range(3):
        plots.nth(number).locator("path.js-line").nth(3).wait_for(state="attached")
    plots.nth(0).get_by_text("tok/s").first.wait_for()
    page.wait_for_timeout(500)
    for number, name in enumerate(("bench", "compare", "one-point")):
        picture(plots.nth(number), f"{name}-{scheme}")


def test_buttons_of_the_figure_need_no_kernel(lab: Any, page: Any) -> None:
    lab.open(page, lab.write("buttons.ipynb", [shown("%%bench qwen", busy_run())]))
    page.locator(".js-plotly-plot").first.locator(".updatemenu-button").first.wait_for()
    headed = "title => document.querySelector('.js-plotly-plot').layout.annotations.some(note => note.text === title)"
    assert page.evaluate(headed, "<b>TTFT</b>")
    press(page, "TPOT")
    page.wait_for_function(headed, arg="<b>TPOT</b>")
    assert not page.evaluate(headed, "<b>TTFT</b>")
    press(page, "64")
    page.wait_for_function("document.querySelector('.js-plotly-plot').layout.xaxis5.range[0] > 100")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_cards_and_tables_in_lab(
    lab: Any, new_page: Callable[..., Any], picture: Callable[..., Path], scheme: str
) -> None:
    page = new_page(scheme, height=1900)
    failed = server(state="failed", ready_at=None, ended_at=time.time(), exit=1, diagnosis={
        "cause": "the GPU's memory is too small for this model and these settings",
        "line": "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.",
        "remedy": "lower max_model_len or max_num_seqs, or use a quantized checkpoint"})  # fmt: skip
    loading = server(state="loading", stage="loading weights 3/5", ready_at=None, expected=60.0)
    error = LLMMagicsError("Port 8000 is taken.", why="python (pid 4121)", then="leave port out")
    lab.open(page, lab.write(f"cards-{scheme}.ipynb", [
        shown("%%serve qwen --engine vllm", ServerCard(loading, line="Loading safetensors checkpoint shards: 60 %")),
        shown("qwen", ServerCard(server())),
        shown("%%compare qwen tiny", AnswerCards("Explain PagedAttention in one sentence.", answers(), done=True)),
        shown("%serve big", ServerCard(failed)),
        shown("%llm list", servers([server(), server(name="big", state="failed", ready_at=None, ended_at=1.0)])),
        shown("%serve other", ErrorCard(error)),
    ]))  # fmt: skip
    page.get_by_text("until its notebook").first.wait_for()
    page.wait_for_function("document.querySelectorAll('.llmm-root').length === 6")
    assert page.get_by_text("loading weights 3/5").is_visible()
    cells = page.locator(".llmm-side .llmm-card")
    tops = {round(cells.nth(number).bounding_box()["y"]) for number in range(2)}
    assert len(tops) == 1, "the answers stand side by side"
    picture(page.locator(".jp-Notebook").first, f"cards-{scheme}")


def test_html_in_names_stays_text(lab: Any, page: Any, tmp_path: Path) -> None:
    bad = hostile(busy_run(requests=60), ATTACK)
    both = Comparison.of_runs({ATTACK: bad, "b": hostile(busy_run(requests=60, seed=3), ATTACK)})
    record = server(name=ATTACK, model=ATTACK, engine_version=ATTACK, served_model=ATTACK, stage=ATTACK, url=ATTACK)
    things = [bad, both, AnswerCards(ATTACK, answers(ATTACK)), ServerCard(record),
              ServerCard(server(state="loading", stage=ATTACK), line=ATTACK), servers([record])]  # fmt: skip
    lab.open(page, lab.write("hostile.ipynb", [shown("x", thing) for thing in things]))
    page.wait_for_function("document.querySelectorAll('.js-plotly-plot').length >= 2")
    page.wait_for_timeout(500)
    assert page.evaluate("window.attacked") is None
    html = "".join(thing._repr_mimebundle_().get("text/html", "") for thing in things)
    page.goto("about:blank")
    page.set_content(html)
    page.goto(report([bad, both], tmp_path / "hostile.html").as_uri())
    page.wait_for_function("document.querySelectorAll('.js-plotly-plot').length >= 2")
    assert page.evaluate("window.attacked") is None
    assert page.locator("img[src='x']").count() == 0


def test_progress_and_sliders_in_a_running_kernel(lab: Any, page: Any, picture: Callable[..., Path]) -> None:
    live = (
        "import os, time\n"
        "from llm_magics.load.progress import Progress\n"
        "from llm_magics.views.progress import BenchProgress, live\n"
        "from llm_magics.views.cards import AnswerCards\n"
        "with live() as show:\n"
        "    for n in range(12):\n"
        "        p = Progress(0, 1, '8 streams', 0, 1, 100 * n, 0, 8, 1200, n, 12.0, .04, 900.)\n"
        "        show(BenchProgress('qwen', p))\n"
        "        time.sleep(.1)\n"
        "    print('half way')\n"
        "    while not os.path.exists('looked at'):\n"
        "        time.sleep(.1)\n"
    )
    widget = (
        "from synthetic import synthetic_run\n"
        "import llm_magics.views\n"
        "synthetic_run(noise=.3, slo={'ttft': .05, 'tpot': .01}).widget()"
    )
    lab.open(page, lab.write("kernel.ipynb", [nbformat.v4.new_code_cell(live), nbformat.v4.new_code_cell(widget)]))
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    page.locator(".jp-Notebook .jp-Cell").first.click()
    page.keyboard.press("Shift+Enter")
    page.locator(".jp-OutputArea-output").get_by_text("half way").wait_for()
    assert page.locator(".llmm-bar").count() == 1, "one display, updated in place"
    page.wait_for_function("parseFloat(document.querySelector('.llmm-bar > div')?.style.width) > 50")
    (lab.root / "looked at").touch()
    page.locator(".llmm-bar").first.wait_for(state="detached")
    page.locator(".jp-Notebook .jp-Cell").nth(1).click()
    page.keyboard.press("Shift+Enter")
    page.wait_for_function("document.querySelectorAll('.jupyter-widgets .js-plotly-plot .main-svg').length >= 1")
    goodput = "() => document.querySelector('.jupyter-widgets .js-plotly-plot').data.map(d => d.y)"
    before = page.evaluate(goodput)
    handle = page.locator(".noUi-handle").first
    handle.focus()
    for _ in range(25):
        handle.press("ArrowRight")
    page.wait_for_function(f"before => JSON.stringify(({goodput})()) !== JSON.stringify(before)", arg=before)
    picture(page.locator(".jupyter-widgets").first, "widget-light")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_report_opens_from_disk_and_asks_nobody(
    new_page: Callable[..., Any], picture: Callable[..., Path], compared: Comparison, tmp_path: Path, scheme: str
) -> None:
    path = report(compared, tmp_path / "report.html")
    page = new_page(scheme, width=1120, height=2300)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    page.wait_for_function("document.querySelectorAll('.js-plotly-plot .main-svg').length >= 3")
    assert [url for url in asked if not url.startswith(("data:", "blob:", path.as_uri()))] == []
    picture(page, f"report-{scheme}")
    page.locator("summary").first.click()
    page.wait_for_function("document.querySelector('details .js-plotly-plot').getBoundingClientRect().width > 600")


def test_a_page_without_a_kernel_shows_picture_and_table(page: Any, picture: Callable[..., Path]) -> None:
    page.set_content(busy_run()._repr_mimebundle_()["text/html"])
    assert page.locator("img").evaluate("async i => { await i.decode(); return i.naturalWidth }") > 600
    assert page.get_by_role("cell", name="64 streams").is_visible()
    picture(page, "static")
