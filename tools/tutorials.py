"""`make tutorials`: run every tutorial from a fresh clone, and leave a page that reads them from top to bottom.

Written beside the sources, in `demo/tutorials/`: the notebooks with the outputs of this machine, each as a page, and
`index.html`, in the order of the path: what each asks, how long it took, whether it ran to its end and which task that
ticked. The ticks go to a journal of this run alone.
"""

from __future__ import annotations

import html
import os
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from isolated import main as isolated
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbconvert import HTMLExporter
from nbconvert.filters import markdown2html
from run_notebooks import run

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "demo" / "tutorials"
_INSIDE = "LLM_MAGICS_TUTORIALS_INSIDE"
_BACK = (  # above each page; long lines of code are broken there, for a page scrolls down and not aside
    "<style>.highlight pre{white-space:pre-wrap}</style>"
    '<p style="margin:1rem 5rem"><a href="index.html">All tutorials</a></p>'
)
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:3rem auto;padding:0 1rem;color:#1b1f24}"
    "h2{margin:2.5rem 0 .5rem;font-size:1.2rem}p{margin:.3rem 0}"
    "table{border-collapse:collapse;width:100%;table-layout:fixed}td:nth-child(2){width:4rem}td:nth-child(3){width:14rem}"
    "td{padding:.6rem 1rem .6rem 0;vertical-align:top;border-top:1px solid #d8dee4}td+td{white-space:nowrap}"
    "td p,small{color:#57606a}.failed{color:#b42318;white-space:normal}"
)


@dataclass(frozen=True)
class Lesson:
    """One notebook that was run: seconds it took, and the last line of its error, where it failed."""

    notebook: str
    title: str
    question: str
    took: float
    failed: str


def main(names: list[str]) -> int:
    """Runs all tutorials, or those named; 1 when one failed."""
    if os.environ.get(_INSIDE) != "1":
        os.environ[_INSIDE] = "1"
        return isolated([sys.executable, __file__, *names])
    from llm_magics.api.learning import overview

    TARGET.mkdir(parents=True, exist_ok=True)
    lessons = []
    for source in sorted((ROOT / "examples").glob("*.ipynb")):
        if names and source.stem not in names:
            continue
        print(f"{source.stem} …", flush=True)
        began, failed = time.monotonic(), ""
        try:
            run(source, TARGET / source.name)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            failed = str(error).strip().splitlines()[-1]
        took = time.monotonic() - began
        print(f"  {took:.0f} s {failed}", flush=True)
        lessons.append(Lesson(source.name, *introduced(source), took, failed))
        made, _ = HTMLExporter(embed_images=True).from_filename(str(TARGET / source.name))
        (TARGET / f"{source.stem}.html").write_text(linked(made), "utf-8")
    (TARGET / "index.html").write_text(index(lessons, overview()), "utf-8")
    print(f"The page: {TARGET / 'index.html'}")
    return int(any(lesson.failed for lesson in lessons))


def introduced(path: Path) -> tuple[str, str]:
    """A notebook's title, and the question that it asks: the paragraph that says so, or the first one."""
    head = nbformat.read(path, as_version=4).cells[0].source
    title, *paragraphs = head.split("\n\n")
    asks = next((each for each in paragraphs if each.startswith("**Question.**")), paragraphs[0])
    return title.lstrip("# "), asks.removeprefix("**Question.**").strip()


def linked(page: str) -> str:
    """A notebook's page whose links lead to the other pages, and to what stands beside `examples/`."""
    page = re.sub(r'href="(\d\d-[\w-]+)\.ipynb"', r'href="\1.html"', page)
    page = page.replace('href="../', 'href="../../')
    return page.replace("<main>", f"<main>{_BACK}", 1)


def index(lessons: list[Lesson], weeks: list[dict[str, Any]]) -> str:
    """The page of results: `weeks` as of `learn.progress.overview`, of this run."""
    parts, left = [], {lesson.notebook: lesson for lesson in lessons}
    tasks = [task for week in weeks for task in week["tasks"]]
    stretches = [(_heading(week), [task["notebook"] for task in week["tasks"]]) for week in weeks]
    known = {name for _, names in stretches for name in names}
    for heading, names in [("Before the path", [name for name in left if name not in known]), *stretches]:
        if rows := [_row(left.pop(name), tasks) for name in dict.fromkeys(names) if name in left]:
            parts.append(f"<h2>{heading}</h2><table>{''.join(rows)}</table>")
    whole, failed = sum(lesson.took for lesson in lessons) / 60, sum(bool(lesson.failed) for lesson in lessons)
    outcome = f"{failed} failed" if failed else "all ran to their end"
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>llm-magics tutorials</title>"
        f"<style>{_STYLE}</style><h1>The tutorials, run on this machine</h1>"
        f"<p>{len(lessons)} notebooks in {whole:.1f} minutes; {outcome}. What they did ticked "
        f"{sum(task['done'] for task in tasks)} of the path's {len(tasks)} tasks.</p>{''.join(parts)}</html>\n"
    )


def _heading(week: dict[str, Any]) -> str:
    title = html.escape(week["title"])
    return f"Weeks {html.escape(week['week'])} · {title}" if week["week"][0].isdigit() else title


def _row(lesson: Lesson, tasks: list[dict[str, Any]]) -> str:
    page = html.escape(lesson.notebook.removesuffix(".ipynb")) + ".html"
    outcome = f'<span class="failed">{html.escape(lesson.failed)}</span>' if lesson.failed else "ran to its end"
    ticks = "".join(f"<br><small>{_tick(task)}</small>" for task in tasks if task["notebook"] == lesson.notebook)
    return (
        f'<tr><td><a href="{page}">{html.escape(lesson.title)}</a>{markdown2html(lesson.question)}</td>'
        f"<td>{lesson.took:.0f} s</td><td>{outcome}{ticks}</td></tr>"
    )


def _tick(task: dict[str, Any]) -> str:
    if not task["done"]:
        return f"☐ {html.escape(task['id'])}{', marked by hand' if task['manual'] else ''}"
    return f"☑ {html.escape(task['id'])}{', in its lighter form' if task['form'] == 'lighter' else ''}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
