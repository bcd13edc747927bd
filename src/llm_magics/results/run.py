"""A run: one measured execution of a workload against one server, and everything needed to judge and repeat it.

It is built from a spool (`spool.read`), the run store, a file of ours or of another tool; all of them end in the same
three things: a header (provenance), columns of requests, and what was seen beside them (windows, audits, samples).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from llm_magics.results.columns import STATUSES, TIMES, Columns
from llm_magics.results.naming import is_id, new_id
from llm_magics.results.records import Audit, PointWindow, ServerSample
from llm_magics.results.showing import Shown

if TYPE_CHECKING:
    import pandas as pd

    from llm_magics.results.exchange import Format
    from llm_magics.results.search import Search

__all__ = ["Run", "is_id", "new_id"]


class Run(Shown):
    """What was measured.

    Parameters
    ----------
    header
        Provenance: `run` (id), `name`, `label`, `started` (s since the epoch), `workload`, `points`, `target`,
        `engine`, `engine_version`, `model`, `command`, `gpus`, `driver`, seed, schedule hash, machine, versions;
        `nodes` where the load came from several: each one's clock (`offset`, `error`, `drift`, s) and its own audit.
    columns
        Every request, warm-up included.
    windows, audits, samples
        Measured windows, what the client said about itself, the server's own metrics over time.
    status
        `complete`, `cancelled` (by the user) or `failed` (the generator, or its kernel, died).
    given
        Summaries of a run of which only summaries exist (imported from another tool); `requests` is empty then.
    notes
        Sentences that belong to the flags but cannot be computed (unreadable rows, what an import had to leave out).
    """

    def __init__(
        self,
        header: Mapping[str, Any],
        columns: Columns,
        *,
        windows: Sequence[PointWindow] = (),
        audits: Sequence[Audit] = (),
        samples: Sequence[ServerSample] = (),
        status: str = "complete",
        given: Sequence[Mapping[str, Any]] | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        self.header: dict[str, Any] = dict(header)
        self.columns = columns
        self.windows = list(windows)
        self.audits = list(audits)
        self.server_samples = list(samples)
        self.status = status
        self.given = [dict(each) for each in given] if given is not None else None
        self.notes = list(notes)
        self.spool: Path | None = None
        self.id: str = str(self.header.get("run") or self.header.get("id") or new_id())
        self.header["run"] = self.id
        self.label: str = str(self.header.get("label") or self.name)

    @property
    def name(self) -> str:
        """The name of the server or endpoint that took the load."""
        return str(self.header.get("name") or self.header.get("target") or self.header.get("model") or "run")

    @property
    def started(self) -> datetime:
        """When the run began; aware, UTC."""
        return datetime.fromtimestamp(float(self.header.get("started") or 0.0), tz=UTC)

    @property
    def partial(self) -> bool:
        """Whether the run ended before all it was asked to do."""
        return self.status != "complete"

    @property
    def workload(self) -> dict[str, Any]:
        """The workload as it was written down."""
        return dict(self.header.get("workload") or {})

    @property
    def slo(self) -> dict[str, float]:
        """The limits of a good request: `ttft`, `tpot`, `e2e` in seconds; only those that were set."""
        limits = self.workload.get("slo") or {}
        return {key: float(value) for key, value in limits.items() if value is not None}

    @cached_property
    def search(self) -> Search | None:
        """What a search found (`%%bench … search: slo`); None for a run that was none. Its loads are the points."""
        from llm_magics.results.search import Search

        found = self.header.get("search")
        return Search.from_json(found) if isinstance(found, dict) else None

    @cached_property
    def asked(self) -> list[dict[str, Any]]:
        """The sweep points as asked for: `label`, `arrival`, `rate`, `concurrency`, `burstiness`."""
        from llm_magics.results.asked import asked_points

        return asked_points(self.header, int(self.columns.point.max()) + 1 if len(self.columns) else 0)

    @cached_property
    def measured(self) -> Columns:
        """The columns without warm-up."""
        return self.columns.take(~self.columns.warmup) if self.columns.warmup.any() else self.columns

    def at(self, point: int, repeat: int | None = None) -> Columns:
        """The measured requests of one sweep point, of one repetition or of all."""
        chosen = self.measured.point == point
        return self.measured.take(chosen if repeat is None else chosen & (self.measured.repeat == repeat))

    @cached_property
    def points(self) -> list[dict[str, Any]]:
        """One summary mapping for each sweep point that was reached, in the order asked (see `summary.summary`).

        `point` in it is the index that `requests` and `asked` use.
        """
        from llm_magics.results import cost, server_side
        from llm_magics.results.summary import summary

        if self.given is not None:
            return self.given
        found = []
        for number in map(int, np.unique(self.measured.point)):
            windows = [window for window in self.windows if window.point == number]
            audits = [audit for audit in self.audits if audit.point == number]
            figures = summary(
                self.at(number), self.asked[number], windows, slo=self.slo, audits=audits, interrupted=self.partial
            )
            figures |= self._searched(figures)
            figures |= cost.figures(self.header, figures["output_throughput"])
            figures |= server_side.figures(self.server_samples, windows, figures["total_output_tokens"])
            found.append({"point": number, **figures})
        return found

    def _searched(self, figures: Mapping[str, Any]) -> dict[str, Any]:
        """The goodput by which a search judged a load, of the requests that met it in full: table and chart say one."""
        if self.search is None or self.search.goal != "slo":
            return {}
        key = "max_concurrency" if self.search.over == "concurrency" else "request_rate"
        probe = next((each for each in self.search.probes if each.load == figures[key]), None)
        return {"goodput": probe.goodput} if probe is not None and probe.goodput is not None else {}

    @property
    def summary(self) -> dict[str, Any] | list[dict[str, Any]]:
        """The mapping when there is one point, the list otherwise."""
        return self.points[0] if len(self.points) == 1 else self.points

    @cached_property
    def requests(self) -> pd.DataFrame:
        """One row a measured request: times in s since the run began, durations in s, tokens as the server counts.

        Beside the usual columns there are, where the workload has such: `conversation` (of its point) and `turn` (from
        0), `model` (the one that was asked, of several), and `valid` (1 when the answer is JSON that keeps the schema);
        and `first_tokens` (of the first chunk) where the server counts tokens as they come.
        """
        return self.request_frame()

    def request_frame(self, *, warmup: bool = False) -> pd.DataFrame:
        """The requests as a DataFrame, with or without those of the warm-up (marked in a column then)."""
        import pandas as pd

        columns = self.columns if warmup else self.measured
        frame = {name: getattr(columns, name) for name in ("point", "repeat", "index")}
        frame |= {name: getattr(columns, name) for name in TIMES}
        frame |= {name: getattr(columns, name) for name in ("ttft", "tpot", "e2e", "lag")}
        frame |= {
            name: _counts(getattr(columns, name))
            for name in ("prompt_tokens", "output_tokens", "cached_tokens", "asked_tokens")
        }
        frame |= {"chunks": columns.chunks, "status": np.array(STATUSES, dtype=object)[columns.status]}
        frame |= {name: columns.text(name) for name in ("finish", "error")}
        frame["http_status"] = _counts(columns.http_status)
        # only where the workload has them: most have none
        for name in ("first_tokens", "conversation", "turn", "valid"):
            if (values := getattr(columns, name)).max(initial=-1) >= 0:
                frame[name] = _counts(values)
        if (columns.model >= 0).any():
            frame["model"] = columns.text("model")
        if warmup:
            frame["warmup"] = columns.warmup
        return pd.DataFrame(frame)

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The points as a DataFrame, one row a point."""
        import pandas as pd

        return pd.DataFrame(self.points)

    @cached_property
    def samples(self) -> pd.DataFrame:
        """The server's own metrics over time: column `t` (s since the run began), one column a portable name."""
        import pandas as pd

        return pd.DataFrame([{"t": sample.t, **sample.values} for sample in self.server_samples])

    @cached_property
    def server(self) -> pd.DataFrame:
        """The server's side over time, one row a sample: gauges as they were, counters as what they did meanwhile.

        Columns, those that were exported: `t` (s since the run began), `running`, `waiting`, `kv_usage`, `rss`,
        `gpu_…`, and what `server_side.moments` makes of the counters. The counters themselves are in `samples`.
        """
        import pandas as pd

        from llm_magics.results.server_side import moments

        return pd.DataFrame(moments(self.server_samples))

    @cached_property
    def flags(self) -> list[str]:
        """What a reader must know before believing the figures; plain sentences, none when all is well."""
        from llm_magics.results.flags import flags

        return [*flags(self), *self.notes]

    def issue_report(self, question: str = "") -> str:
        """The run as Markdown that a maintainer can run again, with nothing private in it (see `issue_report`)."""
        from llm_magics.results.issue_report import issue_report

        return issue_report(self, question)

    def save(self, path: str | Path, format: Format | None = None) -> Path:  # noqa: A002 - the field's word
        """Write the run: `.json` holds all of it, `.parquet`, `.csv` and `.jsonl` (AIPerf's) its requests.

        `format` chooses what the ending does not: `vllm`, `guidellm`, `aiperf` (see `exchange.write`). Returns the
        path.

        Raises
        ------
        SpecError
            For another ending, or a directory that is not there.
        """
        from llm_magics.results.exchange import write

        return write(self, Path(path), format)

    def log_mlflow(self, experiment: str | None = None) -> str:
        """Log the run to MLflow (params, metrics by point, files) and return the id it has there (see `mlflow_log`).

        Raises
        ------
        SpecError
            When MLflow is not installed, or refuses something.
        """
        from llm_magics.results.mlflow_log import log

        return log(self, experiment)

    @classmethod
    def load(cls, path: str | Path) -> Run:
        """A run from a file: ours, or what another load tester wrote (see `exchange.read`).

        Raises
        ------
        SpecError
            When the file is none of these.
        """
        from llm_magics.results.exchange import read

        return read(Path(path))

    def __repr__(self) -> str:
        what = self.header.get("engine") or "unknown engine"
        head = f"Run {self.id}: {self.label} ({what}), {len(self.points)} points, {len(self.measured)} requests"
        return head + (f", {self.status}" if self.partial else "")


def _counts(values: np.ndarray[Any, np.dtype[np.int64]]) -> np.ndarray[Any, Any]:
    """Counts as integers, or as floats with NaN where some are unknown."""
    return np.where(values < 0, np.nan, values) if (values < 0).any() else values
