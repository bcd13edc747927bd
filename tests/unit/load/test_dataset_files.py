"""Prompts from files and DataFrames; what is wrong in one is said with its line and the nearest column."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from llm_magics.errors import SpecError
from llm_magics.load.dataset_files import read_file, read_frame
from llm_magics.load.datasets import recipe
from llm_magics.load.endpoint import Endpoint
from llm_magics.spec.workload import Workload


def written(path: Path, name: str, text: str) -> str:
    (path / name).write_text(text, encoding="utf-8")
    return str(path / name)


USER = {"role": "user", "content": "hi"}
REPLY = {"role": "assistant", "content": "hello"}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"prompt": "hi"}, ["hi", None]),
        ("hi", ["hi", None]),
        ({"prompt": "hi", "output_tokens": 5}, ["hi", 5]),
        ({"messages": [USER], "max_tokens": 9}, [[USER], 9]),
        ({"messages": [USER, REPLY]}, [[USER], None]),
        ({"custom_id": "1", "body": {"messages": [USER], "max_tokens": 3}}, [[USER], 3]),
        ({"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"}]}, [[USER], None]),
    ],
)
def test_shapes_of_a_line(tmp_path: Path, document: Any, expected: Any) -> None:
    path = written(tmp_path, "a.jsonl", json.dumps(document) + "\n\n")
    assert read_file(path, None, chat=True) == [expected]


def test_share_gpt_sends_the_first_question_only(tmp_path: Path) -> None:
    turns = [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "x"}, {"from": "human", "value": "more"}]
    path = written(tmp_path, "a.json", json.dumps([{"conversations": turns}, {"conversations": []}]))
    assert read_file(path, None, chat=True) == [[[USER], None]]
    assert read_file(path, None, chat=False) == [["hi", None]]


def turn(who: str, text: Any) -> dict[str, Any]:
    return {"from": who, "value": text}


@pytest.mark.parametrize("who", ["human", "user", "Human "])
@pytest.mark.parametrize("other", ["gpt", "chatgpt", "assistant", "bing", "bard", "tool", "somebody"])
def test_share_gpt_begins_with_the_first_human_turn(tmp_path: Path, who: str, other: str) -> None:
    turns = [turn(other, "as I said"), turn(who, "hi"), turn(other, "hello"), turn(who, "more")]
    path = written(tmp_path, "a.json", json.dumps([{"conversations": turns}]))
    assert read_file(path, None, chat=True) == [[[USER], None]]


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_share_gpt_conversations_without_a_question_are_skipped_and_counted(tmp_path: Path, name: str) -> None:
    without: list[Any] = [
        [],
        [turn("gpt", "as I said")],
        [turn("system", "be brief")],
        [turn("human", "  "), turn("gpt", "what?")],
        [turn("human", None)],
    ]
    asks = [turn("system", "be brief"), turn("gpt", "as I said"), turn("human", "hi")]
    items = [{"id": "x", "conversations": turns} for turns in [*without, asks]]
    path = written(tmp_path, name, json.dumps(items) if name == "a.json" else "\n".join(map(json.dumps, items)))
    rows = read_file(path, None, chat=True)
    assert rows == [[[{"role": "system", "content": "be brief"}, USER], None]]
    assert rows.skipped == 5
    assert read_file(path, None, chat=False) == [["be brief\n\nhi", None]]
    notes = recipe(Endpoint("http://127.0.0.1", "m"), Workload(path=path), 1)[1]
    assert (notes["rows"], notes["skipped"]) == (1, 5)
    assert "5 conversations" in notes["note"]


def test_share_gpt_without_any_question(tmp_path: Path) -> None:
    path = written(tmp_path, "a.json", json.dumps([{"conversations": [turn("gpt", "x")]}] * 2))
    with pytest.raises(SpecError, match="none of its 2 conversations has a human turn"):
        read_file(path, None, chat=True)
    with pytest.raises(SpecError, match="human turn"):
        read_frame(pd.DataFrame({"conversations": [[turn("gpt", "x")]]}), None, chat=True)


def test_the_same_rows_have_the_same_digest(tmp_path: Path) -> None:
    def digest(text: str, salt: int) -> str:
        path = written(tmp_path, "a.jsonl", json.dumps({"prompt": text}))
        return str(recipe(Endpoint("http://127.0.0.1", "m"), Workload(path=path), salt)[1]["digest"])

    assert digest("hi", 1) == digest("hi", 2) != digest("ho", 1)


def test_csv_by_column(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", '\ufeffid,question\n1,"two\nlines, and a comma"\n2,hi\n')
    assert read_file(path, None, chat=True) == [["two\nlines, and a comma", None], ["hi", None]]
    assert read_file(path, "id", chat=True)[0][0] == "1"


def test_a_long_prompt_in_a_csv_is_read(tmp_path: Path) -> None:
    usual = csv.field_size_limit()
    text = "word " * 40_000
    assert read_file(written(tmp_path, "a.csv", f"prompt\n{text}\n"), None, chat=True) == [[text, None]]
    assert csv.field_size_limit() == usual, "it is the whole process's"


def test_frames(tmp_path: Path) -> None:
    frame = pd.DataFrame({"prompt": ["a", "b"], "max_tokens": [3, 4]})
    assert read_frame(frame, None, chat=True) == [["a", 3], ["b", 4]]
    assert read_frame(pd.DataFrame({"messages": [[USER]]}), None, chat=True) == [[[USER], None]]
    assert read_frame(pd.DataFrame({"x": ["a"]}), "x", chat=False) == [["a", None]]


@pytest.mark.parametrize(
    ("name", "text", "column", "words"),
    [
        ("a.jsonl", '{"prompt": "a"}\n{"prompt"\n', None, "Line 2"),
        ("a.jsonl", '{"prompt": "a"}\n{"promt": "b"}\n', None, "did you mean 'promt'"),
        ("a.jsonl", '{"prompt": "a"}\n{"prompt": "  "}\n', None, "Line 2"),
        ("a.jsonl", '{"prompt": 3}\n', None, "neither text"),
        ("a.jsonl", "[1]\n", None, "not an object"),
        ("a.jsonl", '{"messages": [{"rol": "user"}]}\n', None, "not a message"),
        ("a.jsonl", '{"prompt": "a", "max_tokens": "many"}\n', None, "output tokens"),
        ("a.jsonl", "", None, "no prompts"),
        ("a.jsonl", '{"messages": []}\n', None, "no message of a user"),
        ("a.jsonl", '{"conversations": [{"from": "human"}]}\n', None, "not a turn"),
        ("a.json", "[", None, "not JSON"),
        ("a.jsonl", '{"prompt": "a"}\n' + "[" * 100_000, None, "Line 2"),
        ("a.tsv", "prompt,n\nhi,1\n", None, "columns: prompt,n"),
        ("a.csv", "questions\nhi\n", "question", "did you mean 'questions'"),
        ("a.csv", "a,b\n1,2\n", None, "columns: a, b"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, name: str, text: str, column: str | None, words: str) -> None:
    with pytest.raises(SpecError) as caught:
        read_file(written(tmp_path, name, text), column, chat=True)
    assert words in str(caught.value)


def test_messages_need_the_chat_endpoint(tmp_path: Path) -> None:
    path = written(tmp_path, "a.jsonl", json.dumps({"messages": [{"role": "system", "content": "x"}, USER]}))
    with pytest.raises(SpecError, match="completions"):
        read_file(path, None, chat=False)


def test_not_text(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SpecError, match="UTF-8"):
        read_file(str(tmp_path / "a.jsonl"), None, chat=True)


@pytest.mark.parametrize("data", [[1, 2], "text", pd.DataFrame({"prompt": []}), pd.DataFrame({"a": ["x"]})])
def test_frames_that_cannot_be_sent(data: Any) -> None:
    with pytest.raises(SpecError):
        read_frame(data, None, chat=True)


def test_missing_value_in_a_frame_names_its_row() -> None:
    with pytest.raises(SpecError, match="Row 1"):
        read_frame(pd.DataFrame({"prompt": ["a", None]}), None, chat=True)


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c"])
def test_only_a_newline_ends_a_line(tmp_path: Path, mark: str) -> None:
    text = f"one{mark}two"
    if mark > " ":  # JSON holds it as it is
        document = json.dumps({"prompt": text}, ensure_ascii=False)
        assert [row[0] for row in read_file(written(tmp_path, "a.jsonl", document), None, chat=True)] == [text]
    table = written(tmp_path, "a.csv", f"prompt,n\n{text},1\n")
    assert [row[0] for row in read_file(table, None, chat=True)] == [text]
