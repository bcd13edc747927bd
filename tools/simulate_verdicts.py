"""How often a verdict errs, and how often it finds what it says it would have seen: a thousand comparisons a row.

    make simulate        (python tools/simulate_verdicts.py [--trials N] [--only NUMBER …] [--processes N] [--out FILE])

Every scenario of `tests/unit/results/trials.py` is played twice: with equal servers, and with one that is better by the
median of what verdicts on the equal ones said they would have seen. Trials are kept in build/verdicts, under the digest
of the sources that decide them, so that a run which was broken off goes on and scenarios may be played apart. Writes
the table of what is kept, and fails where a promise is not kept.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(HERE / "tests" / "unit" / "results"))

from trials import SCENARIOS, Scenario, certain, compared, found, would_have_seen  # noqa: E402

ERRS, FINDS = 0.05, 0.80  # promised: at most, at least
PIECE = 25
LEAST = 100  # fewer trials are not shown; a row says how many it has
DECIDING = (
    *(f"src/llm_magics/results/{name}.py" for name in ("comparison", "effects", "samples", "resampling", "statistics")),
    *(f"src/llm_magics/results/{name}.py" for name in ("distributions", "timeline", "failures", "pooling", "looks")),
    *(f"tests/unit/results/{name}.py" for name in ("trials", "simulation")),
)


def played(job: tuple[Scenario, int, float]) -> list[Any]:
    """[seed, any difference claimed, the better side found, what would have been seen, rounds, seconds of CPU]."""
    scenario, seed, better = job
    began = time.process_time()
    one = compared(scenario, seed, better)
    seen = would_have_seen(one, scenario)
    rounds = len(next(iter(one.rounds.values())))
    taken = time.process_time() - began
    return [seed, bool(certain(one)), found(one, scenario), seen if np.isfinite(seen) else None, rounds, taken]


def results(path: Path) -> list[list[Any]]:
    """The trials that are kept, each seed once."""
    kept = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return list({each[0]: each for each in kept}.values())


def play(pool: ProcessPoolExecutor, path: Path, scenario: Scenario, seeds: range, better: float) -> list[list[Any]]:
    """The trials of these seeds, those that are not kept yet played and kept."""
    known = {each[0] for each in results(path)}
    missing = [seed for seed in seeds if seed not in known]
    for first in range(0, len(missing), PIECE):
        done = list(
            pool.map(played, [(scenario, seed, better) for seed in missing[first : first + PIECE]], chunksize=5)
        )
        with path.open("a") as file:
            file.writelines(json.dumps(each) + "\n" for each in done)
    return [each for each in results(path) if each[0] in seeds]


def median_seen(trials: list[list[Any]]) -> float:
    return float(np.median([np.inf if each[3] is None else each[3] for each in trials]))


def row(scenario: Scenario, equal: list[list[Any]], better: list[list[Any]]) -> tuple[str, bool]:
    errs, finds = np.mean([each[1] for each in equal]), np.mean([each[2] for each in better])
    seconds = np.mean([each[5] for each in equal + better])
    kept = bool(errs <= ERRS and finds >= FINDS)
    rounds = f"{scenario.rounds}" if scenario.rounds else f"3 to 5 ({np.mean([each[4] for each in equal]):.1f})"
    return (
        f"| {scenario.name} | {rounds} | {scenario.server['requests']} | {errs:.1%} of {len(equal):,} | "
        f"{median_seen(equal):.1%} | {finds:.1%} of {len(better):,} | {seconds:.2f} s | "
        f"{'kept' if kept else '**missed**'} |"
    ), kept


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--trials", type=int, default=1000)
    asked.add_argument("--only", type=int, nargs="*", help="scenarios, by their place in trials.SCENARIOS")
    asked.add_argument("--processes", type=int, default=os.cpu_count())
    asked.add_argument("--out", type=Path, default=HERE / "benchmarks" / "results" / "verdicts.md")
    given = asked.parse_args()
    digest = hashlib.sha256(b"".join((HERE / name).read_bytes() for name in DECIDING)).hexdigest()[:12]
    kept_in = HERE / "build" / "verdicts" / digest
    kept_in.mkdir(parents=True, exist_ok=True)
    rows, good = [], True
    # equal servers have the even seeds, the others the odd ones: no trial is played twice
    equals, others = range(0, 2 * given.trials, 2), range(1, 2 * given.trials, 2)
    with ProcessPoolExecutor(given.processes) as pool:
        for number, scenario in enumerate(SCENARIOS):
            paths = [kept_in / f"{number}-{kind}.jsonl" for kind in ("equal", "better")]
            if given.only is None or number in given.only:
                equal = play(pool, paths[0], scenario, equals, 0.0)
                play(pool, paths[1], scenario, others, median_seen(equal))
            kept = [
                [each for each in results(path) if each[0] in seeds]
                for path, seeds in zip(paths, (equals, others), strict=True)
            ]
            if all(len(each) >= LEAST for each in kept):
                line, fine = row(scenario, *kept)
                rows.append(line)
                good &= fine
                print(line, flush=True)
    given.out.write_text(
        "# How often a verdict errs\n\nEach trial is a whole verdict (14 metrics, every pair, Holm's correction), "
        f"{given.trials:,} of equal servers and {given.trials:,} of servers that differ where a row is complete. "
        f"{datetime.now(tz=UTC):%Y-%m-%d}, {platform.machine()} with {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, numpy {np.__version__}: `make simulate` (`python tools/simulate_verdicts.py "
        f"--trials {given.trials}`). The servers are in `tests/unit/results/trials.py`; sources {digest}.\n\n"
        f"Promised: of equal servers, **any** difference claimed in at most {ERRS:.0%} of trials; of servers that "
        "differ in the main figure (throughput; at a rate, E2E p50) by what verdicts on the equal ones said they would "
        f"have seen (the median), that difference found in at least {FINDS:.0%}.\n\n"
        "| Servers | Rounds (played) | Requests | Equal: any claimed | Would have seen | Differ by it: found | CPU a "
        "trial | Promise |\n"
        "|---|---|---|---|---|---|---|---|\n" + "\n".join(rows) + "\n"
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
