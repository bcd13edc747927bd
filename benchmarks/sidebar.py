"""What the sidebar costs and how soon it shows: `python benchmarks/sidebar.py`, about 22 minutes on a quiet machine.

A JupyterLab of its own and a headless Chromium, on loopback; engines are the embedded one with the model that ships.
It takes the built sidebar (`make sidebar`) and writes benchmarks/results/sidebar.md, also when a target is missed.
`--quick` takes about 7 minutes: without the ten engines that are watched. For a try: `--quick --seconds 5 --no-save`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
from machine import cores_and_system
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "ui"))

from served import Lab, start_lab  # noqa: E402

from llm_magics.runtime import identity  # noqa: E402
from llm_magics.runtime.record import Record  # noqa: E402
from llm_magics.runtime.registry import Registry  # noqa: E402

FLAGS = ["--no-sandbox", "--disable-gpu"]
TAB = '[data-id="llm-magics"]'
ENGINES = 10  # that are watched
REST = 40.0  # s in which Lab does what it does after a page was loaded
MB = 1e6

# In the page: ms from the click on the tab until so many rows were painted; the time when a stage was on the screen.
OPENING = """count => new Promise(resolve => {
  const began = performance.now();
  const tab = document.querySelector('[data-id="llm-magics"]');
  for (const kind of ['pointerdown', 'mousedown', 'pointerup', 'mouseup', 'click']) {
    const {x, y} = tab.getBoundingClientRect();
    const event = kind.startsWith('pointer') ? PointerEvent : MouseEvent;
    tab.dispatchEvent(new event(kind, {bubbles: true, button: 0, clientX: x + 5, clientY: y + 5}));
  }
  const painted = () => requestAnimationFrame(() => resolve(performance.now() - began));
  const look = () => document.querySelectorAll('#llm-magics .llm-Row').length >= count
    ? requestAnimationFrame(painted) : requestAnimationFrame(look);
  look();
})"""
SEEING = """stage => new Promise(resolve => {
  const look = () => [...document.querySelectorAll('.llm-Row-stage')].some(each => each.textContent === stage)
    ? resolve(Date.now()) : requestAnimationFrame(look);
  look();
})"""


@dataclass(frozen=True)
class Row:
    """A line of the table; `held` is None where nothing was promised."""

    what: str
    measured: str
    target: str = ""
    held: bool | None = None

    def text(self) -> str:
        """As Markdown."""
        judged = {True: " yes", False: " **no**", None: ""}[self.held]
        return f"| {self.what} | {self.measured} | {self.target} |{judged} |"


@contextlib.contextmanager
def records(registry: Registry, count: int, **changes: Any) -> Iterator[list[Record]]:
    """Records of engines whose supervisor is this process; gone before anything could stop them."""
    made = [
        Record(**{
            "id": f"e{number}", "name": f"e{number}", "engine": "vllm", "model": "Qwen/Qwen2.5-7B-Instruct",
            "state": "ready", "created": time.time(), "host": "h", "reuse_key": "k", "spec": {}, "keep": "detached",
            "supervisor": identity.current().to_json(), **changes,
        })
        for number in range(count)
    ]  # fmt: skip
    try:
        for record in made:
            registry.write(record)
        yield made
    finally:
        for record in made:
            (registry.directory / f"{record.name}.json").unlink()


def open_lab(page: Any, lab: Lab) -> None:
    """Lab, with the panel folded, when it has come to rest."""
    page.goto(f"{lab.url}/lab?token={lab.token}&reset")
    page.wait_for_selector(TAB)
    page.wait_for_selector("#jupyterlab-splash", state="detached")
    page.wait_for_timeout(3000)


def opening(page: Any, lab: Lab, registry: Registry) -> list[Row]:
    """From the click on the tab until 50 rows are there, those in sight painted; five times, each in a new page."""
    times = []
    with records(registry, 50):
        for _ in range(5):
            open_lab(page, lab)
            times.append(page.evaluate(OPENING, 50))
    measured = f"median {statistics.median(times):.0f} ms, worst of {len(times)} {max(times):.0f} ms"
    return [Row("Panel with 50 engines, click until they are on the screen", measured, "300 ms", max(times) < 300)]


def changing(page: Any, registry: Registry) -> list[Row]:
    """From the writing of a state until it is on the screen, twenty times, at uneven times."""
    times = []
    with records(registry, 1, state="loading") as (record,):
        page.wait_for_selector(f'.llm-Row[data-name="{record.name}"]')
        for number in range(20):
            time.sleep(0.4 + 0.037 * number % 0.4)
            stage = f"step {number}"
            written = time.time()
            registry.write(replace(record, stage=stage))
            times.append(page.evaluate(SEEING, stage) / 1000 - written)
    measured = f"median {statistics.median(times):.2f} s, worst of {len(times)} {max(times):.2f} s"
    return [Row("A change of state, written until on the screen", measured, "1 s", max(times) < 1)]


class Meter:
    """Processor time of Jupyter's server, and of the browser's processes, while something is so."""

    def __init__(self, page: Any, lab: Lab, seconds: float) -> None:
        self._page, self._seconds = page, seconds
        self._server = psutil.Process(lab.process.pid)

    def shares(self) -> tuple[float, float]:
        """% of a core: the server, the browser."""
        browser = [each for each in psutil.Process().children(recursive=True) if "chrom" in each.name()]
        before, began = self._used([self._server]), time.monotonic()
        seen = self._used(browser)
        self._page.wait_for_timeout(self._seconds * 1000)
        passed = time.monotonic() - began
        return 100 * (self._used([self._server]) - before) / passed, 100 * (self._used(browser) - seen) / passed

    def _used(self, processes: list[psutil.Process]) -> float:
        used = 0.0
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                used += times.user + times.system
        return used


def idling(page: Any, meter: Meter, pairs: int, engines: str, target: bool) -> list[Row]:
    """What an open panel adds to a folded one, in pairs of looks that follow each other.

    Which of the two comes first changes from pair to pair: Lab itself comes to rest over minutes after it was loaded,
    and what it does less of later would otherwise count as the panel's.
    """
    found = []
    for number in range(pairs):
        pair = {}
        for place in range(2):
            if place:
                page.click(TAB)
            page.wait_for_timeout(3000)
            pair[(number + place) % 2 == 0] = meter.shares()  # open at first, in the next pair at last
        found.append((pair[True], pair[False]))
    rows = []
    for number, what in enumerate(("Jupyter's server", "the browser")):
        added = sorted(open_[number] - folded[number] for open_, folded in found)
        folded = statistics.median(folded[number] for _, folded in found)
        rows.append(
            Row(
                f"Processor time that an open panel adds with {engines}, {what}",
                f"{statistics.median(added):+.2f} % of a core (median of {pairs} pairs, {added[0]:+.2f} to "
                f"{added[-1]:+.2f}; with it folded {folded:.2f} %)",
                "0.3 %" if target else "",
                statistics.median(added) < 0.3 if target else None,
            )
        )  # fmt: skip
    return rows


def watching(page: Any, lab: Lab, meter: Meter, minutes: float) -> list[Row]:
    """Ten engines that do nothing, watched."""
    for number in range(ENGINES):
        lab.run("serve", f"e{number}", "--keep", "detached", "--max-num-seqs", "1")
    page.wait_for_function(f"document.querySelectorAll('.llm-Row[data-state=ready]').length === {ENGINES}")
    page.wait_for_timeout(min(60, 60 * minutes) * 1000)
    shares = idling(page, meter, 4, f"{ENGINES} idle engines, each asked for its metrics", target=False)
    before, began = held(lab), time.monotonic()
    page.wait_for_timeout(minutes * 60_000)
    after, passed = held(lab), (time.monotonic() - began) / 60
    if page.locator(".llm-Row[data-state=ready]").count() != ENGINES:
        raise RuntimeError("an engine ended meanwhile")
    grown, more = after[0] - before[0], after[1] - before[1]
    return [
        *shares,
        Row(
            f"{ENGINES} engines watched for {passed:.1f} minutes: memory of the server",
            f"{grown:+.2f} MB ({before[0]:.1f} to {after[0]:.1f} MB, its own pages)", "5 MB", grown < 5,
        ),
        Row(
            "and its open files, without the browser's connections, of which that keeps as many as it likes",
            f"{more:+d} ({before[1]} to {after[1]}; those connections: {before[2]} to {after[2]})",
            "none more", more <= 0,
        ),
    ]  # fmt: skip


def held(lab: Lab) -> tuple[float, int, int]:
    """MB of memory that is the server's alone, its open files, and the browser's connections, which are not among them.

    The fewest of some moments: a look at an engine, or at a process, has a file open while it lasts.
    """
    process, port = psutil.Process(lab.process.pid), int(lab.url.rsplit(":", 1)[1])
    counts = []
    for _ in range(10):
        found = process.net_connections("tcp")
        browsers = sum(each.laddr.port == port and each.status == psutil.CONN_ESTABLISHED for each in found)
        counts.append((process.num_fds() - browsers, browsers))
        time.sleep(0.3)
    return process.memory_full_info().uss / MB, *min(counts)


def sizes() -> list[Row]:
    """The wheel, and the sidebar's JavaScript and styles in it."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "build", "--wheel", "--outdir", folder, str(ROOT)]
        environment = {**os.environ, "LLM_MAGICS_REQUIRE_SIDEBAR": "1"}
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
        (wheel,) = Path(folder).glob("*.whl")
        size = wheel.stat().st_size / MB
        with zipfile.ZipFile(wheel) as packed:
            script = sum(item.file_size for item in packed.infolist() if item.filename.endswith(".js")) / 1000
    return [
        Row("The wheel", f"{size:.1f} MB", "15 MB", size < 15),
        Row("JavaScript and styles in it, not compressed", f"{script:.1f} kB", "60 kB", script < 60),
    ]


def measure(minutes: float, seconds: float) -> tuple[list[Row], str]:
    """All rows, and the browser's version."""
    home = Path(tempfile.mkdtemp(prefix="sidebar-"))
    lab = start_lab(home)
    try:
        directory = home / "runtime" / "llm-magics"
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        registry = Registry(directory)
        with sync_playwright() as playwright:
            found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
            browser = playwright.chromium.launch(executable_path=found, headless=True, args=FLAGS)
            page = browser.new_page(viewport={"width": 1180, "height": 900})
            page.set_default_timeout(180_000)
            rows = [*opening(page, lab, registry), *changing(page, registry)]
            page.wait_for_function("document.querySelectorAll('.llm-Row').length === 0")
            meter = Meter(page, lab, seconds)
            page.wait_for_timeout(min(REST, 2 * seconds) * 1000)
            rows += idling(page, meter, 6, "no engine", target=True)
            if minutes:
                rows += watching(page, lab, meter, minutes)
            named = f"Chromium {browser.version}"
            browser.close()
        return rows, named
    finally:
        try:
            lab.run("stop", "--all")
        finally:
            lab.stop()
            shutil.rmtree(home, ignore_errors=True)


def main() -> int:
    """Measure and write; 1 when a target is missed."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--minutes", type=float, help="how long ten engines are watched; 0: not at all (default 10)")
    options.add_argument("--seconds", type=float, help="how long each look at processor time takes (default 20)")
    options.add_argument("--quick", action="store_true", help="--minutes 0, unless they are given")
    options.add_argument("--no-save", action="store_true", help="print only")
    asked = options.parse_args()
    minutes = (0.0 if asked.quick else 10.0) if asked.minutes is None else asked.minutes
    seconds = 20.0 if asked.seconds is None else asked.seconds  # Lab asks for one thing or another every 10 s
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no engine is left behind then either
    before = os.getloadavg()[0]
    rows = sizes()
    measured, browser = measure(minutes, seconds)
    command = " ".join(["python", "benchmarks/sidebar.py", *sys.argv[1:]])
    packages = ", ".join(
        f"{name} {version(name)}" for name in ("llm-magics", "jupyterlab", "jupyter_server", "tornado")
    )
    text = f"""# The sidebar

`{command}`: {datetime.now(UTC):%Y-%m-%d}, {cores_and_system()},
{packages}, headless {browser}, everything on loopback. Load average {before:.1f} before it began (what else runs on the
machine takes part in every time).

| what | measured | wanted: under | held |
|---|---|---|---|
{chr(10).join(row.text() for row in [*measured, *rows])}
"""
    print(text)
    if not asked.no_save:
        (ROOT / "benchmarks" / "results" / "sidebar.md").write_text(text)
    return int(any(row.held is False for row in [*measured, *rows]))


if __name__ == "__main__":
    sys.exit(main())
