"""Every workload and arrival as it reaches a server: the bytes that are sent, when, and what the run says of them."""

from __future__ import annotations

import base64
import json
import re
import struct
import zlib
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from scripted_api import TEMPLATE, ScriptedApi, Talk, pause

from llm_magics.errors import SpecError, TargetError
from llm_magics.load.endpoint import Endpoint
from llm_magics.load.measure import measure
from llm_magics.results import spool
from llm_magics.results.run import Run
from llm_magics.spec.workload import Workload


def tokens_of(text: str) -> list[int]:
    """A tokenizer of words, punctuation and line breaks, with no regard to the spaces before words."""
    return [zlib.crc32(piece.encode()) for piece in re.findall(r"\w+|[^\w\s]|\n", text)]


def run(api: ScriptedApi, folder: Path, **workload: Any) -> Run:
    options = {"input_tokens": 20, "output_tokens": 4, "warmup": 0, **workload}
    if "path" in options:
        options.pop("input_tokens")
    measure(Endpoint(api.url, "m", tokenize_path="/tokenize"), Workload(**options), folder / "spool", header={})
    return spool.read(folder / "spool")


def spoken_of(found: Run, *words: str) -> list[str]:
    """The flags that speak of something; those about a busy machine are no test's concern."""
    return [flag for flag in found.flags if any(word in flag for word in words)]


def counted(talk: Talk) -> None:
    """Answers with words that name the request, and counts tokens as `tokens_of` does."""
    said = "".join(str(each["content"]) for each in talk.body["messages"])
    talk.start()
    talk.role()
    for number in range(talk.tokens):
        talk.delta(content=f" a{talk.number}.{number}")
    talk.event({"id": "x", "choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]})
    usage = {"prompt_tokens": len(tokens_of(said)) + TEMPLATE, "completion_tokens": talk.tokens}
    talk.event({"id": "x", "choices": [], "usage": usage})
    talk.raw(b"data: [DONE]\n\n")
    talk.write(b"0\r\n\r\n")


def server(script: Any = counted, **options: Any) -> Any:
    return ScriptedApi(script, tokenizer=tokens_of, **options).running()


def test_verse_has_the_exact_length_and_reads_like_language(tmp_path: Path) -> None:
    with server() as api:
        found = run(api, tmp_path, workload="sonnet", input_tokens=90, requests=12, concurrency=3)
    assert set(found.requests["prompt_tokens"]) == {90}
    assert found.header["prompts"]["exact"]
    assert len(set(api.prompts)) == 12
    for prompt in api.prompts:
        assert prompt.count("\n") >= 5
        assert prompt[0].isupper()
        assert prompt == prompt.strip()
    assert not spoken_of(found, "tokens", "cache", "length")


def test_levels_of_shared_beginnings(tmp_path: Path) -> None:
    with server() as api:
        found = run(
            api, tmp_path, workload="prefix", prefix_tokens=[40, 100], prefixes=[1, 3], requests=12, concurrency=2
        )
    assert set(found.requests["prompt_tokens"]) == {160}
    words = [prompt.split() for prompt in api.prompts]
    assert len({tuple(each[: 40 - TEMPLATE]) for each in words}) == 1
    assert Counter(Counter(tuple(each[: 140 - TEMPLATE]) for each in words).values()) == {4: 3}
    assert len({tuple(each[140 - TEMPLATE :][:3]) for each in words}) == 12


def test_a_conversation_sends_back_what_the_model_said(tmp_path: Path) -> None:
    with server() as api:
        found = run(api, tmp_path, turns=3, conversations=4, concurrency=2)
    rows = found.requests
    assert len(rows) == 12
    assert rows.groupby("conversation")["turn"].apply(sorted).tolist() == [[0, 1, 2]] * 4
    assert rows["index"].is_unique
    longest = [body["messages"] for body in api.bodies if len(body["messages"]) == 5]
    assert len(longest) == 4
    for messages in longest:
        assert [each["role"] for each in messages] == ["user", "assistant"] * 2 + ["user"]
        first = next(n for n, body in enumerate(api.bodies) if body["messages"] == messages[:1])
        second = next(n for n, body in enumerate(api.bodies) if body["messages"] == messages[:3])
        assert messages[1]["content"] == "".join(f" a{first}.{number}" for number in range(4))
        assert messages[3]["content"] == "".join(f" a{second}.{number}" for number in range(4))
        assert len(tokens_of(messages[4]["content"])) == 20
    assert max(found.summary["max_concurrent_requests"], 2) == 2


def test_a_person_thinks_between_turns_and_no_stream_is_called_idle_for_it(tmp_path: Path) -> None:
    with server() as api:
        found = run(api, tmp_path, turns=2, conversations=4, think="120ms", concurrency=2)
    rows = found.requests.set_index(["conversation", "turn"])
    for conversation in range(4):
        waited = rows.loc[(conversation, 1), "intended"] - rows.loc[(conversation, 0), "done"]
        assert waited == pytest.approx(0.12, abs=1e-6)
        assert rows.loc[(conversation, 1), "sent"] >= rows.loc[(conversation, 1), "intended"]
    assert not spoken_of(found, "held")


def test_conversations_arrive_at_a_rate(tmp_path: Path) -> None:
    with server() as api:
        found = run(api, tmp_path, turns=2, conversations=6, rate=40, arrival="constant", think="50ms")
    rows = found.requests
    assert len(rows) == 12
    starts = sorted(rows[rows["turn"] == 0]["intended"])
    assert [after - before for before, after in pairwise(starts)] == pytest.approx([0.025] * 5, abs=1e-6)
    assert found.summary["scheduled_rate"] is not None


def test_an_error_ends_its_conversation_and_no_other(tmp_path: Path) -> None:
    def second_fails(talk: Talk) -> None:
        if len(talk.body["messages"]) == 3 and talk.number < 6:
            talk.whole("500 Internal Server Error", '{"error": {"message": "out of breath"}}')
        else:
            counted(talk)

    with server(second_fails) as api:
        found = run(api, tmp_path, turns=3, conversations=4, concurrency=1)
    assert found.summary["failed"] >= 1
    assert found.status == "complete"
    broken = set(found.requests[found.requests["status"] == "error"]["conversation"])
    for conversation, rows in found.requests.groupby("conversation"):
        assert len(rows) == (2 if conversation in broken else 3)


def test_conversations_of_a_file_are_the_persons_part(tmp_path: Path) -> None:
    file = tmp_path / "talks.jsonl"
    file.write_text(
        json.dumps(
            {
                "messages": [
                    {"role": "system", "content": "Be brief."},
                    {"role": "user", "content": "one"},
                    {"role": "assistant", "content": "RECORDED"},
                    {"role": "user", "content": "two"},
                ]
            }
        )
        + "\n"
        + json.dumps({"conversations": [{"from": "human", "value": "alone"}, {"from": "gpt", "value": "RECORDED"}]})
        + "\n"
    )
    with server() as api:
        found = run(api, tmp_path, path=str(file), turns=8, conversations=2, concurrency=1)
    assert [[each["content"] for each in body["messages"]] for body in api.bodies] == [
        ["Be brief.", "one"], ["Be brief.", "one", " a0.0 a0.1 a0.2 a0.3", "two"], ["alone"],
    ]  # fmt: skip
    assert found.requests["turn"].tolist() == [0, 1, 0]
    assert found.header["prompts"]["turns"] == 1.5


def test_reasoning_is_not_sent_back(tmp_path: Path) -> None:
    def thinking(talk: Talk) -> None:
        talk.start()
        talk.delta(reasoning_content="hmm")
        talk.delta(content="yes")
        talk.finish()

    with server(thinking) as api:
        run(api, tmp_path, turns=2, conversations=1, concurrency=1)
    assert api.bodies[1]["messages"][1] == {"role": "assistant", "content": "yes"}


SCHEMA = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}


def test_answers_are_held_against_the_schema(tmp_path: Path) -> None:
    answers = ['{"ok": true}', '{"ok": 1}', '{"ok": fal', '{"ok": false}']

    def json_answer(talk: Talk) -> None:
        talk.start()
        for letter in answers[talk.number % 4]:
            talk.delta(content=letter)
        talk.finish()

    with server(json_answer) as api:
        found = run(api, tmp_path, schema=SCHEMA, requests=8, concurrency=1)
    asked = api.bodies[0]["response_format"]
    assert asked == {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True}}
    assert found.requests["valid"].tolist() == [1, 0, 0, 1] * 2
    assert found.summary["valid"] == 0.5
    assert any("4 of 8 answers are not the JSON" in flag for flag in found.flags)


def test_models_are_mixed_in_their_shares_and_a_wrong_one_is_refused(tmp_path: Path) -> None:
    with server(models=["base", "poet", "m"]) as api:
        found = run(api, tmp_path, models={"base": 3, "poet": 1}, requests=80, concurrency=4)
        assert Counter(found.requests["model"]) == Counter(body["model"] for body in api.bodies)
        assert 10 <= Counter(found.requests["model"])["poet"] <= 30
        with pytest.raises(TargetError, match="did you mean 'poet'"):
            run(api, tmp_path, models=["base", "poat"], requests=2, concurrency=1)


def test_pictures_are_png_files_of_the_size_and_no_two_alike(tmp_path: Path) -> None:
    with server() as api:
        run(api, tmp_path, images=2, image_size="65x33", requests=3, concurrency=1)
    seen = []
    for body in api.bodies:
        text, *images = body["messages"][0]["content"]
        assert text["type"] == "text"
        assert len(images) == 2
        seen += [base64.b64decode(image["image_url"]["url"].partition("base64,")[2]) for image in images]
    assert len(set(seen)) == 6
    for data in seen:
        assert data[:8] == b"\x89PNG\r\n\x1a\n"
        assert struct.unpack(">II", data[16:24]) == (65, 33)
        pixels = data.partition(b"IDAT")[2]
        assert len(zlib.decompressobj().decompress(pixels)) == 33 * (1 + 33)


def test_stages_follow_each_other_without_a_pause(tmp_path: Path) -> None:
    with server() as api:
        found = run(
            api, tmp_path, arrival="constant",
            stages=[{"rate": 20, "duration": "500ms"}, {"rate": 80, "duration": "500ms"}],
        )  # fmt: skip
    assert [(point["label"], point["num_prompts"]) for point in found.points] == [
        ("stage 1: 20 req/s", 10), ("stage 2: 80 req/s", 40),
    ]  # fmt: skip
    first, second = (found.requests[found.requests["point"] == point]["intended"] for point in (0, 1))
    assert second.min() - first.min() == pytest.approx(0.5, abs=1e-6)
    assert [point["schedule"] for point in found.header["points"]] != [[], []]
    assert found.windows[0].end >= found.windows[1].start


def test_streams_come_and_go_with_the_stages(tmp_path: Path) -> None:
    def slow(talk: Talk) -> None:
        pause(0.02)
        counted(talk)

    with server(slow) as api:
        found = run(
            api, tmp_path,
            stages=[{"concurrency": n, "duration": "1500ms"} for n in (1, 6, 2)],
        )  # fmt: skip
    assert [point["max_concurrent_requests"] for point in found.points] == [1, 6, 2] or (
        # a stage's first moments still hold the last one's requests, which are counted where they were sent
        found.points[1]["max_concurrent_requests"] == 6
    )
    rows = found.requests[found.requests["point"] == 2]
    moments = sorted([(when, 1) for when in rows["sent"]] + [(when, -1) for when in rows["done"]])
    level = most = 0
    for _, change in moments:
        level += change
        most = max(most, level)
    assert most <= 2


def test_a_ramp_is_one_point_whose_rate_rises(tmp_path: Path) -> None:
    with server() as api:
        found = run(api, tmp_path, arrival="constant", rate={"from": 10, "to": 90, "duration": "1s"})
    assert found.summary["label"] == "10 → 90 req/s"
    assert found.summary["num_prompts"] == 50
    gaps = found.requests["intended"].sort_values().diff().dropna().tolist()
    assert all(after <= before + 1e-6 for before, after in pairwise(gaps))
    assert found.header["points"][0]["ramp"] == {"from": 10, "to": 90, "shape": "linear"}


def test_a_mooncake_trace_is_sent_at_its_times_and_shares_its_blocks(tmp_path: Path) -> None:
    file = tmp_path / "trace.jsonl"
    rows = [(0, 1100, 3, [0, 1, 2]), (200, 1100, 5, [0, 1, 3]), (600, 600, 2, [7, 8])]
    file.write_text(
        "".join(
            json.dumps({"timestamp": at, "input_length": n, "output_length": out, "hash_ids": ids}) + "\n"
            for at, n, out, ids in rows
        )
    )
    with server() as api:
        found = run(api, tmp_path, workload="trace", path=str(file), speed=2, warmup=1)
    assert found.summary["label"] == "trace x2"
    asked = found.requests
    assert (asked["intended"].sort_values() - asked["intended"].min()).tolist() == pytest.approx(
        [0, 0.1, 0.3], abs=1e-6
    )
    asked = asked.sort_values("intended")
    assert asked["prompt_tokens"].tolist() == [1100, 1100, 600]
    assert asked["output_tokens"].tolist() == [3, 5, 2]
    one, two, other = (prompt.split() for prompt in api.prompts[1:])
    assert one[: 1024 - TEMPLATE] == two[: 1024 - TEMPLATE]
    assert one[1024 - TEMPLATE :][:2] != two[1024 - TEMPLATE :][:2]
    assert other[:2] != one[:2]
    assert len(found.header["points"][0]["schedule"]) == 1
    assert not spoken_of(found, "tokens", "cache", "length")


def test_what_a_protocol_cannot_say_is_refused(tmp_path: Path) -> None:
    from llm_magics.load.protocol import KSERVE

    with server() as api, pytest.raises(SpecError, match="json_schema needs a server that speaks OpenAI's API"):
        measure(Endpoint(api.url, "m", protocol=KSERVE), Workload(schema=SCHEMA), tmp_path / "spool", header={})
