"""The routes of logs: pages by byte offset, and the issue report."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry


async def test_pages_follow_each_other(ask: Any, running: Callable[..., Record], registry: Registry) -> None:
    running()
    path = registry.log_path("qwen")
    path.write_text("a\nb\n")
    _, page = await ask("engines/qwen/logs")
    assert (page["text"], page["start"], page["end"], page["earlier"]) == ("a\nb\n", 0, 4, False)
    with path.open("a") as file:
        file.write("c\n")
    _, page = await ask("engines/qwen/logs", params={"file": page["file"], "after": page["end"]})
    assert (page["text"], page["start"], page["end"], page["size"]) == ("c\n", 4, 6, 6)


async def test_an_engine_that_said_nothing_yet_has_an_empty_log(
    ask: Any, running: Callable[..., Record], registry: Registry
) -> None:
    running()
    status, page = await ask("engines/qwen/logs")
    assert (status, page["text"], page["file"].partition("-")[0]) == (200, "", "0")
    registry.log_path("qwen").write_text("a\n")
    _, page = await ask("engines/qwen/logs", params={"file": page["file"], "after": "0"})
    assert page["text"] == "a\n"


async def test_another_server_of_the_name_begins_with_a_seam(
    ask: Any, running: Callable[..., Record], registry: Registry
) -> None:
    running(id="a1")
    path = registry.log_path("qwen")
    path.write_text("old\n")
    _, page = await ask("engines/qwen/logs")
    place = {"file": page["file"], "after": page["end"]}
    running(id="b2")
    path.write_text("new and longer\n")  # in the same file, as a launch does
    _, page = await ask("engines/qwen/logs", params=place)
    assert (page["text"], page["seam"]) == ("new and longer\n", "another")
    _, earlier = await ask("engines/qwen/logs", params={"file": place["file"], "before": "4"})
    assert (earlier["text"], earlier["earlier"]) == ("", False)
    with path.open("a") as file:
        file.write("more\n")
    _, page = await ask("engines/qwen/logs", params={"file": page["file"], "after": page["end"]})
    assert (page["text"], page["seam"]) == ("more\n", "")


async def test_lines_that_are_gone_are_said(ask: Any, running: Callable[..., Record], registry: Registry) -> None:
    running()
    registry.log_path("qwen").write_text("late\n")
    _, page = await ask("engines/qwen/logs", params={"file": "1", "after": "5"})
    assert (page["text"], page["seam"]) == ("late\n", "gone")


async def test_a_gigabyte_costs_what_a_page_does(ask: Any, running: Callable[..., Record], registry: Registry) -> None:
    running()
    path = registry.log_path("qwen")
    with path.open("wb") as file:
        os.truncate(file.fileno(), 10**9)
        file.seek(0, os.SEEK_END)
        file.write(b"\nthe end\n" * 1000)
    _, page = await ask("engines/qwen/logs", params={"limit": 2048})
    assert page["text"].endswith("the end\n")
    assert len(page["text"]) <= 2048
    assert page["earlier"]
    _, before = await ask("engines/qwen/logs", params={"file": page["file"], "before": page["start"], "limit": 2048})
    assert before["end"] == page["start"]


async def test_secrets_stay_out_of_logs_and_reports(
    ask: Any, running: Callable[..., Record], registry: Registry
) -> None:
    running(command="vllm serve m --api-key hunter2hunter2")
    registry.write_key("qwen", "the-api-key")
    registry.log_path("qwen").write_text("key the-api-key token hf_abcdefgHIJ123456789\nfine\n")
    page = (await ask("engines/qwen/logs"))[1]["text"]
    report = (await ask("engines/qwen/report"))[1]["text"]
    for text in (page, report):
        assert "the-api-key" not in text
        assert "hf_abc" not in text
        assert "fine" in text
    assert "hunter2" not in report
    assert "llm-magics:" in report
    assert "vllm serve m" in report


NO_PLACES = [
    {"after": "5"}, {"file": "1"}, {"file": "1", "after": "1", "before": "1"}, {"file": "-1", "after": "0"},
    {"file": "x", "after": "0"}, {"file": "1", "after": "1e3"}, {"limit": "1"}, {"limit": "999999999"},
    {"file": "9" * 30, "after": "1"}, {"limit": "٣٣٣٣"},
]  # fmt: skip


async def test_a_place_that_is_none_is_refused(ask: Any, running: Callable[..., Record]) -> None:
    running()
    for query in NO_PLACES:
        status, told = await ask("engines/qwen/logs", params=query)
        assert (status, bool(told["message"])) == (400, True), query


async def test_a_log_that_is_no_file_is_told(ask: Any, running: Callable[..., Record], registry: Registry) -> None:
    running()
    registry.log_path("qwen").mkdir()
    status, told = await ask("engines/qwen/logs")
    assert status == 503
    assert told["why"]
