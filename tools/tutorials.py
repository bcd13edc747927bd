"""`make tutorials`: run every tutorial from a fresh clone, and leave a page that reads them from top to bottom.

Written beside the sources, in `demo/tutorials/`: the notebooks with the outputs of this machine, each as a page, and
`index.html` with how long each took and whether it ran to its end. The ticks go to a journal of this run alone.
"""

from __future__ import annotations

import html
import os
import sys
import time
from pathlib import Path

import nbformat
from isolated import main as isolated
from nbclient.exceptions import CellExecutionError
from nbconvert import HTMLExporter
from run_notebooks import run

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "demo" / "tutorials"
_INSIDE = "LLM_MAGICS_TUTORIALS_INSIDE"


def main(names: list[str]) -> int:
    """Runs all tutorials, or those named; 1 when one failed."""
    if os.environ.get(_INSIDE) != "1":
        os.environ[_INSIDE] = "1"
        return isolated([sys.executable, __file__, *names])
    TARGET.mkdir(parents=True, exist_ok=True)
    rows = []
    for source in sorted((ROOT / "examples").glob("*.ipynb")):
        if names and source.stem not in names:
            continue
        print(f"{source.stem} …", flush=True)
        began, failed = time.monotonic(), ""
        try:
            run(source, TARGET / source.name)
        except CellExecutionError as error:
            failed = str(error).strip().splitlines()[-1]
        took = time.monotonic() - began
        print(f"  {took:.0f} s {failed}", flush=True)
        rows.append((source.stem, _title(source), took, failed))
        page, _ = HTMLExporter(embed_images=True).from_filename(str(TARGET / source.name))
        (TARGET / f"{source.stem}.html").write_text(page, "utf-8")
    (TARGET / "index.html").write_text(_index(rows), "utf-8")
    print(f"The page: {TARGET / 'index.html'}")
    return int(any(failed for *_, failed in rows))


def _title(path: Path) -> str:
    cells = nbformat.read(path, as_version=4).cells
    return cells[0].source.splitlines()[0].lstrip("# ")


def _index(rows: list[tuple[str, str, float, str]]) -> str:
    lines = [
        f'<tr><td><a href="{html.escape(stem)}.html">{html.escape(title)}</a></td><td>{took:.0f} s</td>'
        f"<td>{html.escape(failed) or 'ran to its end'}</td></tr>"
        for stem, title, took, failed in rows
    ]
    whole = sum(took for _, _, took, _ in rows)
    return (
        "<!doctype html><meta charset='utf-8'><title>llm-magics tutorials</title><style>body{font:16px/1.5 system-ui,"
        "sans-serif;max-width:52rem;margin:3rem auto;padding:0 1rem}td,th{padding:.3rem 1rem .3rem 0;text-align:left}"
        f"</style><h1>The tutorials, run on this machine</h1><p>{len(rows)} notebooks in {whole / 60:.1f} minutes; "
        f"{sum(bool(failed) for *_, failed in rows)} failed.</p><table><tr><th>Tutorial</th><th>Took</th><th>Outcome"
        f"</th></tr>{''.join(lines)}</table>\n"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
