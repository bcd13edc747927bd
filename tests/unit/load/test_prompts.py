"""Requests from a recipe: of the asked length, never twice the same, the same again for the same salt."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llm_magics.load.datasets import recipe
from llm_magics.load.endpoint import Endpoint
from llm_magics.load.prompts import Recipe
from llm_magics.load.stock import Stock
from llm_magics.load.traces import trace_of
from llm_magics.load.words import Words
from llm_magics.spec.workload import Workload

WORDS = Words(["the", "of", "and", "to", "in"], ["the", "of", "and"], 9, exact=True, how="tokenizer")


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("llm_magics.load.datasets.find_words", lambda *_, **__: WORDS)

    def make(salt: int = 1, endpoint: dict[str, Any] | None = None, **options: Any) -> Recipe:
        found, _ = recipe(Endpoint("http://h", "m", **(endpoint or {})), Workload(**options), salt)
        return Recipe(json.loads(json.dumps(found)), b"POST / HTTP/1.1\r\n", 3)

    return make


def body(payload: bytes) -> dict[str, Any]:
    head, _, data = payload.partition(b"\r\n\r\n")
    assert int(head.rsplit(b" ", 1)[1]) == len(data)
    return dict(json.loads(data))


def text(payload: bytes) -> str:
    return str(body(payload)["messages"][0]["content"])


def test_body_has_everything_in_its_order_of_precedence(made: Any) -> None:
    endpoint = {"body": {"a": 1, "b": 1}, "fixed_length": lambda n: {"max_tokens": n, "min_tokens": n, "b": 2}}
    sent = made(endpoint=endpoint, output_tokens=33, extra_body={"min_tokens": 3}).request(0, 0)
    found = body(sent.payload)
    assert (found["a"], found["b"], found["min_tokens"], found["max_tokens"]) == (1, 2, 3, 33)
    assert (found["model"], found["stream"], found["temperature"], sent.asked) == ("m", True, 0.0, 33)


def test_a_length_is_not_fixed_when_it_should_not_be(made: Any) -> None:
    endpoint = {"fixed_length": lambda n: {"max_tokens": n, "ignore_eos": True}}
    assert "ignore_eos" not in body(made(endpoint=endpoint, ignore_eos=False).request(0, 0).payload)


def test_words_make_up_for_the_template(made: Any) -> None:
    assert len(text(made(input_tokens=100).request(0, 5).payload).split()) == 91
    assert len(text(made(input_tokens=3).request(0, 5).payload).split()) == 1


def test_long_prompts_go_beyond_the_tape(made: Any) -> None:
    assert len(text(made(input_tokens=200_000).request(0, 5).payload).split()) == 199_991


def test_no_two_prompts_are_the_same_nor_those_of_two_steps(made: Any) -> None:
    some = made(input_tokens=40)
    prompts = [text(some.request(step, index).payload) for step in range(3) for index in range(400)]
    assert len(set(prompts)) == len(prompts)
    assert {prompt.split()[0] for prompt in prompts} == set(WORDS.openers)


def test_salt_decides_the_words_and_seed_the_lengths(made: Any) -> None:
    def sent(**options: Any) -> list[str]:
        some = made(input_tokens=50, input_spread=0.5, **options)
        return [text(some.request(0, index).payload) for index in range(30)]

    assert sent(salt=1) == sent(salt=1)
    assert not set(sent(salt=1)) & set(sent(salt=2))
    lengths = [[len(each.split()) for each in sent(**options)] for options in ({"salt": 1}, {"salt": 2}, {"seed": 3})]
    assert lengths[0] == lengths[1] != lengths[2]
    assert min(lengths[0]) >= 25 - 9
    assert max(lengths[0]) <= 75 - 9
    assert len(set(lengths[0])) > 5


def test_output_lengths_are_spread_and_each_has_its_fields(made: Any) -> None:
    some = made(output_tokens=10, output_spread=0.5)
    asked = [some.request(0, index) for index in range(60)]
    assert {each.asked for each in asked} <= set(range(5, 16))
    assert len({each.asked for each in asked}) > 5
    assert all(body(each.payload)["max_tokens"] == each.asked for each in asked)


def test_prefixes_are_shared(made: Any) -> None:
    some = made(workload="prefix", prefix_tokens=50, prefixes=3, input_tokens=20)
    prompts = [text(some.request(0, index).payload).split() for index in range(12)]
    assert {len(prompt) for prompt in prompts} == {50 - 9 + 20}
    assert len({tuple(prompt[:41]) for prompt in prompts}) == 3
    assert len({tuple(prompt[41:]) for prompt in prompts}) == 12


def test_rows_are_sent_in_turn_with_their_own_lengths(made: Any, tmp_path: Any) -> None:
    file = tmp_path / "p.jsonl"
    file.write_text('{"prompt": "é\\"1"}\n{"messages": [{"role": "user", "content": "2"}], "max_tokens": 7}\n')
    some = made(path=str(file), output_tokens=5)
    asked = [some.request(0, index) for index in range(3)]
    assert [text(each.payload) for each in asked] == ['é"1', "2", 'é"1']
    assert [each.asked for each in asked] == [5, 7, 5]


def test_another_seed_begins_at_another_row(made: Any, tmp_path: Any) -> None:
    """A comparison's rounds and a search's probes have a seed each: with the same rows the second would be cached."""
    file = tmp_path / "p.jsonl"
    file.write_text("".join(f'{{"prompt": "{row}"}}\n' for row in range(100)))
    sent = [
        [text(some.request(0, index).payload) for index in range(14)]
        for some in (made(path=str(file), seed=seed) for seed in range(5))
    ]
    assert sent[0] == [str(row) for row in range(14)]
    assert len({row for each in sent for row in each}) == 70


def test_a_trace_that_is_sent_once_more_has_other_text(made: Any, tmp_path: Any) -> None:
    """Of a closed loop that is longer than the trace; else whole prompts would come from the server's cache."""
    file = tmp_path / "t.jsonl"
    row = {"timestamp": 0, "input_length": 1000, "output_length": 3, "hash_ids": [7, 8]}
    file.write_text("".join(json.dumps(row | {"hash_ids": [7, n]}) + "\n" for n in (8, 9)))
    options: dict[str, Any] = {"workload": "trace", "path": str(file), "concurrency": [2], "requests": 4, "warmup": 0}
    found, _ = recipe(Endpoint("http://h", "m"), work := Workload(**options), 1, trace_of(work))
    some = Recipe(json.loads(json.dumps(found)), b"POST / HTTP/1.1\r\n", 1)
    prompts = [text(some.request(0, index).payload).split() for index in range(4)]
    assert len({tuple(each) for each in prompts}) == 4
    assert prompts[0][:400] == prompts[1][:400] != prompts[2][:400] == prompts[3][:400]


def test_completions_send_a_prompt(made: Any) -> None:
    found = body(made(input_tokens=20).request(0, 0).payload)
    assert "messages" in found
    plain = recipe(Endpoint("http://h", "m"), Workload(endpoint="completions", input_tokens=20), 1)[0]
    assert isinstance(body(Recipe(plain, b"", 1).request(0, 0).payload)["prompt"], str)


def test_stock_hands_out_in_order_ready_or_not(made: Any) -> None:
    some = made(input_tokens=20)
    ready, late = Stock(some, 1, 10), Stock(some, 1, None)
    ready.fill(5.0)
    assert len(ready.ready) == 10
    assert [ready.take() for _ in range(10)] == [late.take() for _ in range(10)]
    late.fill(0.0)
    assert not late.ready
