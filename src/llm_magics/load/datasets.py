"""What is sent: from a workload to a recipe from which the worker makes every request, the same for the same salt.

Generated text is made of words of one token each (`words`), unique from its first words on, so that a prefix cache
cannot help by accident; `prefix` and traces share on purpose. Lengths are drawn from the seed; the words from the
salt, which is new for every run unless the caller gives one: two runs against the same server must not find each
other's prompts cached, two runs that are compared must send the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

from llm_magics.errors import SpecError, TargetError
from llm_magics.load.address import proxy_note
from llm_magics.load.dataset_files import Rows, read_file, read_frame
from llm_magics.load.endpoint import Endpoint
from llm_magics.load.probing import context, models
from llm_magics.load.traces import Trace
from llm_magics.load.words import Words, find_words
from llm_magics.spec.reading import nearest
from llm_magics.spec.workload import Workload


def recipe(
    endpoint: Endpoint, workload: Workload, salt: int, trace: Trace | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The recipe for `prompts.Recipe`, and what a run's header should say about it.

    Raises
    ------
    SpecError
        For a file or DataFrame that cannot be sent.
    TargetError
        When the server does not answer the probes that random text needs.
    """
    chat = workload.endpoint == "chat" and bool(endpoint.protocol.chat)
    _check_protocol(endpoint, workload)
    _check_models(endpoint, workload)
    rows = Rows()
    words: Words | None = None
    if workload.workload == "file":
        rows = read_file(str(workload.path), workload.column, chat=chat, turns=workload.turns)
    elif workload.workload == "dataframe":
        rows = read_frame(workload.data, workload.column, chat=chat, turns=workload.turns)
    else:
        _check_room(endpoint, workload)
        words = find_words(endpoint, completions=not chat, verse=workload.verse)
    output = _range(workload.output_tokens, workload.output_spread)
    lengths = {*range(output[0], output[1] + 1), *(row[1] for row in rows if row[1])}
    if trace is not None:
        lengths |= {row[1] for row in trace.rows}
    body = {
        **({} if workload.models else endpoint.protocol.named(endpoint.model)),
        "stream": True,
        **({} if workload.temperature is None else {"temperature": workload.temperature}),
        **endpoint.body,
        **({} if workload.json_schema is None else endpoint.json_answer(workload.json_schema)),
    }
    fields = {}
    for length in sorted(lengths):
        fixed = endpoint.fixed_length if workload.full_length else None
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
        "verse": workload.verse,
        "ends": words.ends if words else {},
        "levels": workload.levels,
        "rows": rows,
        "trace": trace.rows if trace else [],
        "warmup": workload.warmup,
        "turns": workload.turns,
        "think": workload.think,
        "models": workload.models or {},
        "images": workload.images,
        "image_size": workload.image_size,
    }
    notes = _notes(workload, words, rows, salt, trace)
    remarks = [notes["note"]] if "note" in notes else []
    if workload.endpoint == "chat" and not chat:
        remarks.append("this server has no chat: prompts were sent as plain text, without a chat template")
    remarks += filter(None, [proxy_note(endpoint.address)])
    if remarks:
        notes["note"] = "; ".join(remarks)
    return made, notes


def _notes(
    workload: Workload, words: Words | None, rows: Rows, salt: int, trace: Trace | None = None
) -> dict[str, Any]:
    if words is None:
        # tells two runs that sent the same rows from two that did not (the salt has no part in them)
        digest = hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]
        found: dict[str, Any] = {"salt": salt, "rows": len(rows), "digest": digest, "exact": False}
        if rows.skipped:
            some = f"{rows.skipped} conversation{'s' if rows.skipped != 1 else ''}"
            found |= {"skipped": rows.skipped, "note": f"{some} without a human turn passed over"}
        if workload.turns > 1:
            found["turns"] = sum(1 + len(row[2] if len(row) > 2 else []) for row in rows) / len(rows)
        return found
    notes: dict[str, Any] = {
        "salt": salt,
        "exact": words.exact,
        "counted_by": words.how,
        "template_tokens": words.overhead,
        "words": len(words.words),
    }
    if trace is not None:
        digest = hashlib.sha256(json.dumps(trace.rows).encode()).hexdigest()[:16]
        notes |= {"format": trace.format, "rows": len(trace.rows), "digest": digest}
        if trace.failed:
            notes["note"] = (
                f"{trace.failed} requests of the trace had no answer when it was recorded; they are left out"
            )
    if workload.workload == "random" and workload.input_tokens <= words.overhead:
        notes["note"] = f"the chat template alone has {words.overhead} tokens; prompts are one word longer than that"
    return notes


def _range(middle: int, spread: float) -> tuple[int, int]:
    """Shortest and longest of a length that is drawn evenly around `middle`."""
    return max(1, round(middle * (1 - spread))), max(1, round(middle * (1 + spread)))


def _check_protocol(endpoint: Endpoint, workload: Workload) -> None:
    """Refuse what only OpenAI's chat can say."""
    if endpoint.protocol.chat:
        return
    for option, used in (
        ("turns", workload.turns > 1),
        ("images", workload.images > 0),
        ("json_schema", workload.json_schema is not None),
        ("models", bool(workload.models)),
    ):
        if used:
            raise SpecError(f"{option} needs a server that speaks OpenAI's API; {endpoint.url} does not.")


def _check_room(endpoint: Endpoint, workload: Workload) -> None:
    """Refuse generated prompts that no request of this server has room for, with the largest that fit."""
    if workload.workload == "trace" or (room := context(endpoint)) is None:
        return
    longest = _range(workload.input_tokens, workload.input_spread)[1]
    answer = _range(workload.output_tokens, workload.output_spread)[1]
    shared = sum(length for _, length in workload.levels)
    needed = shared + workload.turns * (longest + answer)
    if needed <= room:
        return
    fits = math.floor(((room - shared) / workload.turns - answer) / (1 + workload.input_spread))
    raise SpecError(
        f"input_tokens: {workload.input_tokens} - a request and its answer have {room:,} tokens on this server.",
        why=f"these requests have up to {needed:,}",
        then=f"write input_tokens: {fits} or less"
        if fits > 0
        else "write fewer output_tokens (or turns, or prefix_tokens)",
    )


def _check_models(endpoint: Endpoint, workload: Workload) -> None:
    """Every model of a mix is one that the server names."""
    if not workload.models:
        return
    names = models(endpoint.url, endpoint.api_key)
    for name in workload.models:
        if names and name not in names:
            raise TargetError(
                f"{endpoint.url} has no model {name!r}{nearest(name, names)}.",
                why=f"it serves: {', '.join(names[:8])}",
                then="give its names in models: {NAME: share}; LoRA adapters stand among them once they are loaded",
            )


def _asked(fields: dict[str, Any], length: int) -> int:
    asked = fields.get("max_completion_tokens", fields.get("max_tokens", length))
    return asked if isinstance(asked, int) else length
