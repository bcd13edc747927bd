"""Prompts that a user brings: JSONL, CSV, ShareGPT JSON, DataFrames. Errors name the line and the nearest column."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from llm_magics.errors import SpecError
from llm_magics.load.brought import json_lines, table, text_of
from llm_magics.load.dialogues import ROLES, is_share, maybe_messages, message, spoken
from llm_magics.spec.reading import nearest

# [prompt text or list of messages, output tokens or None], and of a conversation what people say in later turns
Row = list[Any]

_KEYS = ("messages", "conversations", "prompt", "text", "question", "instruction")
_LENGTHS = ("output_tokens", "max_tokens", "max_completion_tokens")


class Rows(list[Row]):
    """Rows, and how many conversations without a human turn were `skipped`."""

    skipped = 0

    def add(self, row: Row | None) -> None:
        """One more, or None for a conversation that asks nothing."""
        if row is None:
            self.skipped += 1
        else:
            self.append(row)


def read_file(path: str, column: str | None, *, chat: bool, turns: int = 1) -> Rows:
    """The rows of a JSONL, CSV or JSON file.

    Parameters
    ----------
    column
        The key or column that holds the prompt; None finds `messages`, `conversations` or `prompt` by itself.
    chat
        Whether messages can be sent; else each row must be a text.
    turns
        With more than one, conversations are read as such, up to so many turns: what people say in each stands in the
        row, what the assistant says is left out, for the server is to say it. With one, all that is said before the
        last question (of a ShareGPT dump: the first) is sent as it is.

    Raises
    ------
    SpecError
        A line that is not valid, a missing column, no rows; says which line.
    """
    text, ending = text_of(path), Path(path).suffix.lower()
    documents: Iterable[tuple[str, Any]]
    if ending in (".csv", ".tsv"):
        columns, documents = table(path, text)
        column = _column(path, columns, column)
    elif text.lstrip().startswith("[") and ending != ".jsonl":
        documents = _json_list(path, text)
    else:
        documents = json_lines(path, text)
    rows = Rows()
    for where, document in documents:
        rows.add(_row(document, column, where, chat=chat, turns=turns))
    if not rows:
        why = f"none of its {rows.skipped} conversations has a human turn" if rows.skipped else ""
        raise SpecError(f"{path} holds no prompts.", why=why)
    return rows


def read_frame(data: Any, column: str | None, *, chat: bool, turns: int = 1) -> Rows:
    """The rows of a DataFrame with a column `prompt` or `messages` (or the one named)."""
    columns = [str(name) for name in getattr(data, "columns", [])]
    if not columns:
        raise SpecError(
            f"data is a {type(data).__name__}, not a DataFrame.",
            then="pass a DataFrame with a column `prompt` or `messages`",
        )
    name = _column("The DataFrame", columns, column)
    lengths = next((key for key in _LENGTHS if key in columns), None)
    asked = data[lengths].tolist() if lengths else [None] * len(data)
    rows = Rows()
    for number, (value, length) in enumerate(zip(data[name].tolist(), asked, strict=True)):
        document = {name: value, **({lengths: length} if lengths else {})}
        rows.add(_row(document, name, f"Row {number} of the DataFrame", chat=chat, turns=turns))
    if not rows:
        raise SpecError("The DataFrame has no rows" + (" with a human turn." if rows.skipped else "."))
    return rows


def _json_list(path: str, text: str) -> Iterator[tuple[str, Any]]:
    try:
        documents = json.loads(text)
    except ValueError as error:
        raise SpecError(f"{path} is not JSON.", why=str(error)) from None
    return ((f"Item {number} of {path}", document) for number, document in enumerate(documents))


def _column(where: str, columns: Sequence[str], column: str | None) -> str:
    """The column to read, checked."""
    if column is not None:
        if column in columns:
            return column
        close = nearest(column, list(columns))
        raise SpecError(f"{where} has no column {column!r}{close}.", then=f"columns: {', '.join(columns)}")
    found = next((key for key in _KEYS if key in columns), None)
    if found is None:
        close = nearest("prompt", list(columns)) or nearest("messages", list(columns))
        raise SpecError(
            f"{where} has no column `prompt` or `messages`{close}.",
            then=f"name the one to send: column: … (columns: {', '.join(columns)})",
        )
    return found


def _row(document: Any, column: str | None, where: str, *, chat: bool, turns: int = 1) -> Row | None:
    if isinstance(document, str):
        document = {"prompt": document}
    if not isinstance(document, dict):
        raise SpecError(f"{where} is not an object with `prompt` or `messages`.", why=str(document)[:80])
    if column is None and isinstance(document.get("body"), dict):  # a line of OpenAI's batch API
        document = document["body"]
    key = _column(where, [str(name) for name in document], column)
    length = next((document[name] for name in _LENGTHS if document.get(name) not in (None, "")), None)
    # ShareGPT dumps hold conversations in which nobody asks; they are passed over, as every reader of them does.
    if key == "conversations" and (document[key] is None or len(document[key]) == 0):
        return None
    asked = None if length is None else _length(length, where)
    if turns > 1:
        said = spoken(document[key], where)
        return [said[0], asked, said[1:turns]] if said else None
    content = _content(document[key], where, chat=chat)
    return None if content is None else [content, asked]


def _content(value: Any, where: str, *, chat: bool) -> str | list[dict[str, Any]] | None:
    if isinstance(value, str) and value[:1] == "[" and (chat or '"from"' in value):
        value = maybe_messages(value)
    if isinstance(value, str):
        if not value.strip():
            raise SpecError(f"{where}: the prompt is empty.")
        return value
    if not isinstance(value, Iterable) or isinstance(value, dict):
        raise SpecError(f"{where}: the prompt is {value!r}, neither text nor a list of messages.")
    if is_share(value):
        return _first_question(value, where, chat=chat)
    messages = [message(item, where) for item in value]
    while messages and messages[-1]["role"] == "assistant":
        messages.pop()  # the answer of the data set is the server's to give
    if not messages:
        raise SpecError(f"{where} holds no message of a user.")
    if chat:
        return messages
    if len(messages) == 1 and isinstance(messages[0]["content"], str):
        return str(messages[0]["content"])
    raise SpecError(f"{where} holds messages; `endpoint: completions` sends text.", then="write endpoint: chat")


def _first_question(turns: Any, where: str, *, chat: bool) -> str | list[dict[str, Any]] | None:
    """The first human turn and the system's before it; None where no human says anything.

    What an assistant says before that answers nothing that is known: dumps are cut into pieces, many begin so.
    """
    found: list[dict[str, Any]] = []
    for item in turns:
        if not isinstance(item, dict) or "from" not in item or "value" not in item:
            raise SpecError(f"{where}: {str(item)[:80]} is not a turn.", then='write {"from": "human", "value": "…"}')
        role, text = ROLES.get(str(item["from"]).strip().lower()), item["value"]
        if role not in ("user", "system") or not isinstance(text, str) or not text.strip():
            continue
        found.append({"role": role, "content": text})
        if role == "user":
            return found if chat else "\n\n".join(message["content"] for message in found)
    return None


def _length(value: Any, where: str) -> int | None:
    try:
        length = int(value)
    except (TypeError, ValueError, OverflowError):
        return None if value != value else _no_length(value, where)
    return length if length > 0 else _no_length(value, where)


def _no_length(value: Any, where: str) -> int:
    raise SpecError(f"{where}: {value!r} is not a number of output tokens.")
