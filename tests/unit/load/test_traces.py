"""Traces of three public formats: times honoured, lengths and blocks kept, a wrong line named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llm_magics.errors import SpecError
from llm_magics.load.traces import read_trace
from llm_magics.spec.arrivals import Window

AZURE = (
    "TIMESTAMP,ContextTokens,GeneratedTokens\n"
    "2023-11-16 18:17:03.9799600,4808,10\n"
    "2023-11-16 18:17:04.0319600,3180,8\n"
    "2023-11-16 18:17:05.0000000,110,27\n"
)
BURST = (
    "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
    "5,ChatGPT,472,18,490,Conversation log\n"
    "118,GPT-4,417,0,417,API log\n"
    "45.5,ChatGPT,1087,230,1317,Conversation log\n"
)


def file(folder: Path, text: str, name: str = "t.csv") -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def mooncake(folder: Path, count: int = 10) -> str:
    rows = [{"timestamp": 1000 * n, "input_length": 600, "output_length": 5, "hash_ids": [0, n]} for n in range(count)]
    return file(folder, "".join(json.dumps(row) + "\n" for row in rows), "t.jsonl")


def test_azure(tmp_path: Path) -> None:
    found = read_trace(file(tmp_path, AZURE))
    assert found.format == "azure"
    assert found.times == pytest.approx([0, 0.052, 1.02004], abs=1e-6)
    assert found.rows == [(4808, 10, []), (3180, 8, []), (110, 27, [])]


def test_azure_of_2024_says_its_time_zone(tmp_path: Path) -> None:
    text = AZURE.replace("3.9799600", "3.979960+00:00").replace("4.0319600", "4.031960+00:00").replace(
        "5.0000000", "5+00:00"
    )  # fmt: skip
    assert read_trace(file(tmp_path, text)).times == pytest.approx([0, 0.052, 1.02004], abs=1e-5)


def test_burstgpt_is_put_in_order_and_what_failed_then_is_left_out(tmp_path: Path) -> None:
    found = read_trace(file(tmp_path, BURST))
    assert (found.format, found.times, found.failed) == ("burstgpt", [0, 40.5], 1)
    assert found.rows == [(472, 18, []), (1087, 230, [])]


def test_mooncake_keeps_its_blocks(tmp_path: Path) -> None:
    found = read_trace(mooncake(tmp_path))
    assert found.format == "mooncake"
    assert found.times == [float(n) for n in range(10)]
    assert found.rows[3] == (600, 5, [0, 3])


def test_speed_window_and_limits(tmp_path: Path) -> None:
    path = mooncake(tmp_path)
    assert read_trace(path, speed=4).times[:3] == [0, 0.25, 0.5]
    part = read_trace(path, window=Window(2.5, 6))
    assert part.times == [0.5, 1.5, 2.5]
    assert [row[2][1] for row in part.rows] == [3, 4, 5]
    assert len(read_trace(path, limit=4).times) == 4
    assert len(read_trace(path, speed=2, duration=2.0).times) == 4


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "Timestamp,Reqest tokens,Response tokens\n1,2,3\n",
            "no column 'Request tokens' (did you mean 'Reqest tokens'?)",
        ),
        (BURST.replace("1087", "many"), "Line 4 of"),
        (AZURE.replace("2023-11-16 18:17:04", "yesterday"), "is not a time"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n", "holds no requests"),
        (BURST.replace(",18,", ",0,").replace(",230,", ",0,"), "no request in the window"),
        ('{"timestamp": 0, "input_length": 3}\n', "Line 1"),
        ('{"timestamp": 0, "input_length": 3, "output_length": 2, "hash_ids": ["a"]}\n', "not a list of numbers"),
        ('{"timestamp": 0\n', "Line 1 of"),
        ('{"timestamp": 0, "input_length": 3, "output_length": 2}\n[1]\n', "Line 2 of"),
        ("[" * 100_000, "no column"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(SpecError) as caught:
        read_trace(file(tmp_path, text))
    assert words in str(caught.value)
