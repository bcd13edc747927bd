"""`search: slo` and `search: saturation`: probe after probe against a real server, until the answer is narrow.

`results.searcher` decides; here a load is sent, stopped when the server is overloaded, and everything that was
measured becomes one run, whatever ends the search: the answer, the budget, an interrupt, a server that died.
"""

from __future__ import annotations

import fcntl
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from llm_magics.errors import LLMMagicsError, SpecError, TargetError

if TYPE_CHECKING:
    from pathlib import Path

    from llm_magics.api.targets import Target
    from llm_magics.load.endpoint import Endpoint
    from llm_magics.load.progress import Progress
    from llm_magics.results.probe import Probe
    from llm_magics.results.run import Run
    from llm_magics.results.searcher import Plan, Searcher
    from llm_magics.spec import Workload

_START_UP = 0.6  # s that a probe costs beside its load
_ALONE = 4  # requests one after another, before rates are tried: how long one takes on an idle server
_LATE = 2.0  # s that the answers of a rate may come after its last request, at least
_FLOOR = 16.0  # times below the rate that one stream makes, where nothing lower is worth a probe
_LEFT = 0.5  # share of a probe's time that must be left for it to begin


def searched(target: Target, work: Workload, *, label: str | None = None) -> Run:
    """Search, store what was measured as one run, and return it; `run.search` is the answer.

    Raises
    ------
    TargetError, LoadError
        When nothing at all could be measured.
    """
    from llm_magics import views  # noqa: F401 - views registers how a Run is drawn
    from llm_magics.api.benching import head, watched
    from llm_magics.api.stored_runs import store
    from llm_magics.views.progress import live

    with live() as show, watched(target) as (endpoint, seen), ExitStack() as held:
        hunt = Hunt(target, endpoint, work, {**head(target, work, label), **seen}, show, held)
        run, spools = hunt.go()
        store(run, spools)
    return run


class Hunt:
    """One search, while it goes on."""

    def __init__(
        self, target: Target, endpoint: Endpoint, work: Workload, header: dict[str, Any], show: Any, held: ExitStack
    ) -> None:
        self.target, self.endpoint, self.work, self.header, self.show, self.held = (
            target, endpoint, work, header, show, held,
        )  # fmt: skip
        self.rates = work.concurrency is None and (work.rate is not None or work.search == "slo")
        self.began = time.monotonic()
        self.parts: list[tuple[float, float, Run]] = []
        self.spools: list[Path] = []
        self.alone: float | None = None  # s that a request takes on an idle server
        self.searcher: Searcher | None = None

    def go(self) -> tuple[Run, list[Path]]:
        """Probe until the search ends; the run and the spools it was written to."""
        from llm_magics.results.probed import joined
        from llm_magics.results.search import Search
        from llm_magics.results.searcher import Searcher

        try:
            if self.rates:
                self._one_after_another()
            searcher = self.searcher = Searcher(self._plan())
            self._probes(searcher)
        except LLMMagicsError as error:
            if not self.parts or self.searcher is None:
                raise
            self.searcher.why, failed = "failed", [f"the search was broken off: {error.what}"]
        except KeyboardInterrupt:  # between two probes; during one it ends that probe
            if not self.parts or self.searcher is None:
                raise
            self.searcher.why, failed = "interrupted", []
        else:
            failed = []
        if not self.parts:
            raise SpecError(
                "Nothing was measured: the search was interrupted, or its budget spent, before the first load was.",
                then="give it a larger budget",
            )
        found = Search.of(searcher, self.work.slo.limits, self._elapsed)
        status = {"interrupted": "cancelled", "failed": "failed"}.get(found.why, "complete")
        prompts = self.parts[0][2].header.get("prompts")
        run = joined(self.parts, {**self.header, "search": found.to_json(), "prompts": prompts}, status)
        run.notes += failed
        return run, self.spools

    @property
    def _elapsed(self) -> float:
        return time.monotonic() - self.began

    def _plan(self) -> Plan:
        from llm_magics.results.searcher import Plan

        given = self.work.rate if self.rates else self.work.concurrency
        pace = 1 / self.alone if self.alone else 1.0
        start = given[0] if given else pace if self.rates else 1
        lowest = given[0] if given and len(given) == 2 else start / _FLOOR if self.rates else 1
        return Plan(
            goal=self.work.search or "slo", over="rate" if self.rates else "concurrency", share=self.work.goodput,
            budget=self.work.budget, start=float(start), lowest=float(lowest),
            highest=float(given[1]) if given and len(given) == 2 else None,
            limit=max((each for key, each in self.work.slo.limits.items() if key != "tpot"), default=0.0),
        )  # fmt: skip

    def _one_after_another(self) -> None:
        """A few requests alone: the server is warm then, and what one takes is known. They are no point of the run."""
        alone = {"concurrency": [1], "rate": None, "arrival": None, "requests": _ALONE}
        run, ended, _ = self._send(alone, "one at a time", self.work.budget / 4)
        if ended == "interrupted":
            raise KeyboardInterrupt
        known = [float(each) for each in run.at(0).e2e if each > 0]  # NaN is not
        if ended == "failed" or not known:
            raise TargetError(
                f"{self.target.name} did not answer a few requests alone, with which a search begins.",
                why=str(run.header.get("server_ended") or "; ".join(run.flags)),
            )
        self.alone = sum(known) / len(known)

    def _probes(self, searcher: Searcher) -> None:
        from llm_magics.results.overload import Overload
        from llm_magics.results.probed import probe_of

        while (load := searcher.next()) is not None:
            seconds = searcher.seconds(load)
            left = self.work.budget - self._elapsed - _START_UP - (self.alone or 0.0)
            if left < _LEFT * seconds:
                searcher.why = "budget"
                return
            seconds = min(seconds, left)
            options: dict[str, Any] = {
                "duration": seconds,
                "warmup": 0 if self.parts or self.rates else self.work.warmup,
            }
            watch = None
            if self.rates:
                options |= {"rate": [load], "concurrency": None}
                watch = Overload(load, self.alone)
            else:
                options |= {"concurrency": [round(load)], "rate": None}
            tries = next((each.tries for each in searcher.probes if each.load == load), 0)
            title = f"probe {len(self.parts) + 1}" + (", once more" if tries else "")
            at = self._elapsed
            run, ended, why = self._send(options, title, seconds, watch)
            if len(run.measured):
                self.parts.append((load, at, run))
                searcher.add(probe_of(run, load, seconds=self._elapsed - at, overloaded=why))
            if ended:
                searcher.why = ended
                return
            if not len(run.measured):
                searcher.why = "budget"
                return

    def _send(self, options: dict[str, Any], title: str, seconds: float, watch: Any = None) -> tuple[Run, str, str]:
        """One load; the run, why the search must end ("" when it goes on), and why the load was too much ("")."""
        from llm_magics.api.benching import spooled
        from llm_magics.results.run import new_id
        from llm_magics.views.search_progress import SearchProgress

        number = len(self.spools)
        plain = {"search": None, "requests": None, "duration": None, "seed": self.work.seed + number, "repeats": 1}
        work = self.work.model_copy(update={**plain, **options})
        cancel = threading.Event()
        lost: list[str] = []
        late = seconds + max(_LATE, 0.5 * seconds, 4 * (self.alone or 0.0))
        deadline = self.work.budget - self._elapsed
        probes: list[Probe] = self.searcher.probes if self.searcher else []

        def seen(progress: Progress) -> None:
            self.show(SearchProgress(self.target.name, progress, title, tuple(probes), self._elapsed, self.work.budget))
            why = watch.add(progress.elapsed, progress.in_flight, progress.done, progress.ttft) if watch else ""
            if watch and not why and progress.elapsed > late:
                why = f"its answers were not all there {late - seconds:.0f} s after the last request"
            if why:
                lost.append(why)
            if why or progress.elapsed > deadline:
                cancel.set()

        header = {**self.header, "run": new_id()}
        run, path = spooled(self.target, self.endpoint, work, header, on_progress=seen, cancel=cancel)
        self._keep(path)
        if run.header.get("server_ended"):
            self.header["server_ended"] = run.header["server_ended"]
            return run, "failed", ""
        if run.status == "failed":
            return run, "failed", ""
        if run.status == "cancelled" and not cancel.is_set():
            return run, "interrupted", ""
        return run, "budget" if run.status == "cancelled" and not lost else "", lost[0] if lost else ""

    def _keep(self, path: Path) -> None:
        """Hold a spool until the whole is stored: nobody else takes it for a dead writer's, and a kill leaves it."""
        self.spools.append(path)
        file = self.held.enter_context(path.open("rb"))
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
