"""Which engine to take: the rules, told what this machine and this model are, and a cell that was tried before.

Every cell has been through the same checks as `%%serve` itself: an option that does not exist, a model of the wrong
format or too large, would be refused there, and so it is not offered here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from llm_magics.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llm_magics.advice.recommend import Recommendation

# Small, because it is run on whatever this machine is; the same bytes for every engine.
_WORKLOAD = {"workload": "random", "input_tokens": 128, "output_tokens": 32, "concurrency": 4, "requests": 24}
ROUNDS = 3  # a verdict takes three
_MEASURED = 3  # engines at most, the best by the rules: each is started anew in every round
# Questions that another engine would answer better were the model a GGUF file.
_BETTER_AS_GGUF = ("cpu", "apple", "nvidia-old")


def recommend(model: str | None = None, *, measure: bool = False, **answers: str) -> Recommendation:
    """Which engine to take, why, and a cell that starts it here.

    Parameters
    ----------
    model
        The model it is for; the shipped one when left out.
    measure
        Run the three engines that the rules rank highest, of those installed here, on `model` (one after another, three
        rounds) and rank them by output tokens/s.
    answers
        `priority`, `hardware`, `traffic`, `format`, `structured_output`, `stage`, `need`; what is left out is found on
        this machine, in the model, or taken as usual.

    Raises
    ------
    SpecError
        For an answer that there is not, or that contradicts the model.
    """
    from llm_magics.advice import machine
    from llm_magics.advice.model_format import format_of, usual_format
    from llm_magics.advice.recommend import recommend as ranked
    from llm_magics.api.learning import note
    from llm_magics.api.recommended_cells import Candidate, candidates, first_that_passes

    here = machine.accelerators()
    own = format_of(model) if model else None
    asked = answers.get("format", "any")
    if model and own and asked not in ("any", own):
        raise SpecError(f"{model} is in {own}, not in {asked}.", then=f"leave --format out, or name a model in {asked}")
    guessed = own or (usual_format(model) if model and asked == "any" else None)
    found = {"hardware": here.kind, **({"format": guessed} if guessed else {})}
    same = answers.get("hardware", here.kind) == here.kind
    given = {key: value for key, value in answers.items() if not (guessed and key == "format")}
    answer = ranked(given, found, capability=here.capability if same else None)
    known = candidates(answer, here)
    answer = replace(answer, ranked=tuple(replace(each, here=known[each.engine].words) for each in answer.ranked))
    if measure:
        ready = [known[choice.engine] for choice in answer.ranked if known[choice.engine].installed]
        answer = _measured(answer, model or "tiny", ready)
    order: Sequence[Candidate] = [known[choice.engine] for choice in answer.ranked]
    cell, notes = first_that_passes(order, model or "tiny", answer.answers, here)
    if not same:
        notes = [f"the answer is for {answer.answers['hardware']}; this machine has {here.kind}", *notes]
    note("recommended", {"measured": measure})
    return replace(answer, cell=cell, cell_notes=(*notes, *_other_format(answer)))


def _other_format(answer: Recommendation) -> list[str]:
    """Where the format alone bars the engine that is made for this machine."""
    barred = next((each for each in answer.excluded if each.engine == "llamacpp"), None)
    if barred is None or answer.answers["hardware"] not in _BETTER_AS_GGUF:
        return []
    if {reason.rule for reason in barred.reasons if reason.points is None} != {"format-safetensors"}:
        return []
    return ["a GGUF of the same model would let llama.cpp run it, which is made for this hardware"]


def _measured(answer: Recommendation, model: str, ready: Sequence[Any]) -> Recommendation:
    """The installed engines measured one after another, and ranked by it before those that were not."""
    from llm_magics.api.comparing import compare
    from llm_magics.api.recommended_cells import passing

    able: list[str] = []
    barred: list[str] = []
    for candidate in ready:
        if len(able) == _MEASURED:
            break
        options, why = passing(candidate, model, answer.answers, plain=True)
        if options is None:
            barred.append(f"{candidate.title}: {why}")
        else:
            able.append(candidate.key)
    if len(able) < 2:
        said = f"installed and able: {', '.join(able) or 'none'}"
        raise SpecError(
            "There are not two engines here to be measured.", why="\n".join([said, *barred]), then="%llm install NAME"
        )
    comparison = compare(engines=able, model=model, workload=_WORKLOAD, rounds=ROUNDS)
    figures = {
        str(run.header.get("engine") or label): run.points[0].get("output_throughput")
        for label, run in comparison.runs.items()
    }
    choices = [replace(choice, measured=figures.get(choice.engine)) for choice in answer.ranked]
    ranked = sorted(choices, key=lambda choice: (choice.measured is None, -(choice.measured or 0.0)))
    return replace(answer, ranked=tuple(ranked), comparison=comparison)
