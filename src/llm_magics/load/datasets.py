"""What is sent: from a workload to a recipe from which the worker makes every request, the same for the same salt.

Random text is made of words of one token each (`words`), unique from its first words on, so that a prefix cache cannot
help by accident; `prefix` shares on purpose. Lengths are drawn from the seed; the words from the salt, which is new
for every run unless the caller gives one: two runs against the same server must not find each other's prompts cached,
two runs that are compared must send the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import random
from typing import Any

from llm_magics.load.dataset_files import Rows, read_file, read_frame
from llm_magics.load.endpoint import Endpoint, proxy_note
from llm_magics.load.words import Words, find_words
from llm_magics.spec.workload import Workload


def recipe(endpoint: Endpoint, workload: Workload, salt: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The recipe for `prompts.Recipe`, and what a run's header should say about it.

    Raises
    ------
    SpecError
        For a file or DataFrame that cannot be sent.
    TargetError
        When the server does not answer the probes that random text needs.
    """
    chat = workload.endpoint == "chat" and bool(endpoint.protocol.chat)
    rows = Rows()
    words: Words | None = None
    if workload.workload == "file":
        rows = read_file(str(workload.path), workload.column, chat=chat)
    elif workload.workload == "dataframe":
        rows = read_frame(workload.data, workload.column, chat=chat)
    else:
        words = find_words(endpoint, completions=not chat)
    output = _range(workload.output_tokens, workload.output_spread)
    lengths = {*range(output[0], output[1] + 1), *(row[1] for row in rows if row[1])}
    body = {
        **endpoint.protocol.named(endpoint.model),
        "stream": True,
        **({} if workload.temperature is None else {"temperature": workload.temperature}),
        **endpoint.body,
    }
    fields = {}
    for length in sorted(lengths):
        fixed = endpoint.fixed_length if workload.ignore_eos else None
        fields[str(length)] = {**(fixed(length) if fixed else {"max_tokens": length}), **workload.extra_body}
    made: dict[str, Any] = {
        "endpoint": "chat" if chat else "completions",
        "prompt": endpoint.protocol.prompt,
        "body": body,
        "fields": fields,
        "asked": {key: _asked(value, int(key)) for key, value in fields.items()},
        "seed": workload.seed,
        "salt": salt,
        "input": _range(workload.input_tokens, workload.input_spread),
        "output": output,
        "overhead": words.overhead if words else 0,
        "words": words.words if words else [],
        "openers": words.openers if words else [],
        "prefixes": _prefixes(workload, words, salt) if words and workload.workload == "prefix" else [],
        "rows": rows,
    }
    notes = _notes(workload, words, rows, salt)
    remarks = [notes["note"]] if "note" in notes else []
    if workload.endpoint == "chat" and not chat:
        remarks.append("this server has no chat: prompts were sent as plain text, without a chat template")
    remarks += filter(None, [proxy_note(endpoint.address)])
    if remarks:
        notes["note"] = "; ".join(remarks)
    return made, notes


def _notes(workload: Workload, words: Words | None, rows: Rows, salt: int) -> dict[str, Any]:
    if words is None:
        # tells two runs that sent the same rows from two that did not (the salt has no part in them)
        digest = hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]
        found: dict[str, Any] = {"salt": salt, "rows": len(rows), "digest": digest, "exact": False}
        if rows.skipped:
            some = f"{rows.skipped} conversation{'s' if rows.skipped != 1 else ''}"
            found |= {"skipped": rows.skipped, "note": f"{some} without a human turn passed over"}
        return found
    notes: dict[str, Any] = {
        "salt": salt,
        "exact": words.exact,
        "counted_by": words.how,
        "template_tokens": words.overhead,
        "words": len(words.words),
    }
    if workload.workload == "random" and workload.input_tokens <= words.overhead:
        notes["note"] = f"the chat template alone has {words.overhead} tokens; prompts are one word longer than that"
    return notes


def _range(middle: int, spread: float) -> tuple[int, int]:
    """Shortest and longest of a length that is drawn evenly around `middle`."""
    return max(1, round(middle * (1 - spread))), max(1, round(middle * (1 + spread)))


def _prefixes(workload: Workload, words: Words, salt: int) -> list[str]:
    """The pool of shared beginnings; the template's tokens, which all share anyway, count as part of them."""
    size = max(1, workload.prefix_tokens - words.overhead)
    draw = random.Random(f"{salt}/prefixes")  # noqa: S311 - filler text, not a secret
    base = len(words.openers)
    return [
        " ".join([words.openers[(number + salt) % base], *draw.choices(words.words, k=size - 1)])
        for number in range(workload.prefixes)
    ]


def _asked(fields: dict[str, Any], length: int) -> int:
    asked = fields.get("max_completion_tokens", fields.get("max_tokens", length))
    return asked if isinstance(asked, int) else length
