"""Whether what was sent and answered had the lengths that were asked for, and was new to the server; as `flags`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from llm_magics.results.columns import Columns

if TYPE_CHECKING:
    from llm_magics.results.run import Run

LENGTH = 0.01  # share by which lengths may differ from those asked for
CACHED = 0.20  # share of prompt tokens from a cache that random prompts should not exceed


def lengths(run: Run, answered: Columns) -> Iterator[str]:
    """Answers and prompts of another length than asked for, and prompts that a cache knew."""
    fixed = (answered.asked_tokens > 0) & (answered.output_tokens >= 0)
    if run.workload.get("ignore_eos", True) and run.workload.get("json_schema") is None and fixed.any():
        asked, given = answered.asked_tokens[fixed], answered.output_tokens[fixed]
        wrong = int(np.sum(asked != given))
        if wrong > LENGTH * len(asked):
            yield (
                f"{wrong} of {len(asked)} answers do not have the length asked for "
                f"(mean {given.mean():.1f} of {asked.mean():.1f} tokens): the engine did not honour it"
            )
    work = run.workload
    # pictures and what was said before are in the server's count and not in the asked length
    if work.get("workload") not in ("random", "sonnet") or work.get("images") or (work.get("turns") or 1) > 1:
        return
    counted = answered.prompt_tokens >= 0
    asked_prompt = run.header.get("asked_prompt_tokens") or run.workload.get("input_tokens")
    if counted.any() and asked_prompt:
        given = answered.prompt_tokens[counted]
        mean, doubt = float(given.mean()), 3 * float(given.std()) / np.sqrt(len(given))
        if abs(mean - asked_prompt) > max(LENGTH * asked_prompt, doubt):
            yield f"prompts had {mean:.1f} tokens on average by the server's count, {asked_prompt} were asked for"
    cached = answered.cached_tokens[counted & (answered.cached_tokens >= 0)].sum()
    total = answered.prompt_tokens[counted].sum()
    if total and cached > CACHED * total:
        share = cached / total * 100
        yield f"{share:.0f} % of the prompt tokens came from the server's cache, though the prompts are random"


def rows_again(run: Run) -> Iterator[str]:
    """More was sent than the user's rows: of a prompt that comes again a server knows the beginning, or all."""
    rows = (run.header.get("prompts") or {}).get("rows")
    begun = int(np.sum(run.columns.turn <= 0))  # requests, or conversations
    if rows and run.workload.get("workload") in ("file", "dataframe") and begun > rows:
        yield (
            f"{begun} {'conversations' if (run.columns.turn > 0).any() else 'requests'} were made of {rows} rows: what "
            "is sent again may come from the server's prefix cache"
        )
