"""What may be said of answers to one prompt: who was first and faster, whether they said the same; never more."""

from __future__ import annotations

from collections.abc import Mapping

from llm_magics.results.answers import Answer
from llm_magics.results.verdict import Verdict


def of_answers(answers: Mapping[str, Answer]) -> Verdict:
    """The verdict of answers to one prompt: who was first and faster, whether they said the same; never more."""
    good = {label: answer for label, answer in answers.items() if answer.ok}
    sentences = [f"{label} did not answer: {answer.error}" for label, answer in answers.items() if not answer.ok]
    first = {label: answer.ttft for label, answer in good.items() if answer.ttft is not None}
    if len(first) > 1:
        order = sorted(first, key=lambda label: first[label])
        times = ", ".join(f"{label} {first[label] * 1e3:.0f} ms" for label in order)
        sentences.append(f"{order[0]} was first to speak ({times}).")
    speed = {label: answer.tokens_per_s for label, answer in good.items() if answer.tokens_per_s}
    if len(speed) > 1:
        order = sorted(speed, key=lambda label: -speed[label])
        rates = ", ".join(f"{label} {speed[label]:.1f} tokens/s" for label in order)
        sentences.append(f"{order[0]} wrote fastest ({rates}).")
    if len(good) > 1:
        same = len({answer.text for answer in good.values()}) == 1
        sentences.append("The answers are identical." if same else f"The answers differ{_lengths(good)}.")
        if len({answer.prompt_tokens for answer in good.values()} - {None}) > 1:
            counts = ", ".join(f"{label} {answer.prompt_tokens}" for label, answer in good.items())
            sentences.append(f"The prompt is not the same to all of them: {counts} tokens.")
    return Verdict("One prompt decides nothing: compare under load for a verdict.", sentences)


def _lengths(answers: Mapping[str, Answer]) -> str:
    counts = {label: answer.tokens for label, answer in answers.items() if answer.tokens is not None}
    return f" ({', '.join(f'{label} {count} tokens' for label, count in counts.items())})" if counts else ""
