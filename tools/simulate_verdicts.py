"""How often a verdict errs, and how often it finds what is there: every scenario of the tests, a thousand times.

    make simulate        (python tools/simulate_verdicts.py [TRIALS] [FILE])

Writes the table to FILE (benchmarks/results/verdicts.md) and fails where a promise is not kept: equal servers differ
in more than 5 % of trials, or a tenth is found in fewer than 80 %.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(HERE / "tests" / "unit" / "results"))

from trials import DIFFERENT, EQUAL, Scenario, certain, compared, headline  # noqa: E402


def played(job: tuple[Scenario, int]) -> tuple[bool, bool, float]:
    """Whether anything was claimed, whether the headline figure was, and the rounds that were played."""
    scenario, seed = job
    found = compared(scenario, seed)
    claimed = certain(found)
    return bool(claimed), headline(scenario) in claimed, float(len(next(iter(found.rounds.values()))))


def main() -> int:
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    out = Path(sys.argv[2]) if len(sys.argv) > 2 else HERE / "benchmarks" / "results" / "verdicts.md"
    began = time.monotonic()
    rows, kept = [], True
    with ProcessPoolExecutor() as pool:
        for kind, scenarios in (("equal", EQUAL), ("10 % better", DIFFERENT)):
            for scenario in scenarios:
                results = np.array(list(pool.map(played, [(scenario, seed) for seed in range(trials)], chunksize=10)))
                anything, main_figure, rounds = results.mean(axis=0)
                good = anything <= 0.05 if kind == "equal" else main_figure >= 0.8
                kept &= bool(good)
                rows.append(
                    f"| {kind} | {scenario.name} | {scenario.rounds or '3 to 5'} | {rounds:.1f} | {anything:.1%} | "
                    f"{'' if kind == 'equal' else f'{main_figure:.1%}'} | {'kept' if good else '**missed**'} |"
                )
                print(rows[-1], flush=True)
    out.write_text(
        f"# How often a verdict errs\n\n{trials} whole comparisons a row (all metrics and points, Holm, looks), on "
        f"{datetime.now(tz=UTC):%Y-%m-%d}, by `make simulate` (`python tools/simulate_verdicts.py {trials}`; seeds 0 "
        f"to {trials - 1}; {time.monotonic() - began:.0f} s). The servers are in `tests/unit/results/trials.py`.\n\n"
        "Promised: equal servers, any difference claimed in at most 5 % of trials; servers of which one is 10 % "
        "better, the main figure (throughput; at a rate, E2E p50) found in at least 80 %.\n\n"
        "| Servers | | Rounds | played on average | any difference claimed | main figure found | promise |\n"
        "|---|---|---|---|---|---|---|\n" + "\n".join(rows) + "\n"
    )
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
