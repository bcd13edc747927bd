"""A card tells what goes on in a glance, and never lets a name or a log line act."""

from __future__ import annotations

import pytest
from made import ATTACK, answer, record

from llm_magics.errors import LLMMagicsError
from llm_magics.views.cards import AnswerCards, ErrorCard, ServerCard, planned
from llm_magics.views.waiting import WaitingCard


def html(card: object) -> str:
    return card._repr_mimebundle_()["text/html"]  # type: ignore[attr-defined]


def test_a_starting_server_shows_stage_time_and_estimate() -> None:
    starting = record(state="loading", stage="loading weights 3/5", ready_at=None, created=100.0, expected=40.0)
    card = ServerCard(starting, line="shard 3 of 5", now=110.0)
    assert "10 s of about 40 s" in str(card)
    assert "loading weights 3/5" in str(card)
    assert "width:25%" in html(card)
    assert "shard 3 of 5" in html(card)


def test_a_start_that_takes_longer_than_expected_never_looks_finished() -> None:
    late = ServerCard(record(state="loading", ready_at=None, created=0.0, expected=10.0), now=100.0)
    assert "width:97%" in html(late)


def test_a_server_that_is_not_waited_for_says_how_to_learn_more_and_does_not_pulse_on() -> None:
    starting = record(state="starting", ready_at=None, created=100.0, expected=40.0)
    card = ServerCard(starting, left=True, now=100.1)
    assert "about 40 s until it is ready" in str(card)
    assert "%llm list" in str(card)
    assert "qwen.wait()" in html(card)
    assert "about 40 s" in html(card)
    assert "llmm-busy" not in html(card)
    assert "llmm-busy" in html(ServerCard(starting, now=100.1))
    assert "ready in 12 s" in str(ServerCard(record(created=100.0, ready_at=112.0), left=True))


def test_a_ready_server_says_how_to_use_it() -> None:
    card = ServerCard(record(created=100.0, ready_at=112.0), now=200.0)
    assert "ready in 12 s" in str(card)
    assert "qwen.client.chat.completions.create(model=qwen.model" in html(card)
    assert "http://127.0.0.1:4123/v1" in html(card)
    assert "was running already" in str(ServerCard(record(), reused=True))


def test_a_failed_server_shows_cause_line_and_remedy() -> None:
    found = {"cause": "no memory", "line": "CUDA out of memory", "remedy": "lower it"}
    card = ServerCard(record(state="failed", ready_at=None, ended_at=1.0, exit=1, diagnosis=found))
    for word in ("No memory.", "CUDA out of memory", "lower it"):
        assert word in html(card)
    assert "lower it" in str(card)
    unknown = html(ServerCard(record(state="failed", ready_at=None, ended_at=1.0, exit=3)))
    assert "exit status 3" in unknown
    assert "%llm logs qwen" in unknown


def test_a_start_that_was_broken_off_does_not_pulse_on() -> None:
    card = ServerCard(record(state="loading", ready_at=None)).ended(KeyboardInterrupt())
    assert "llmm-busy" not in html(card)
    assert "not started" in str(card)
    ready = ServerCard(record())
    assert ready.ended(KeyboardInterrupt()) is ready


@pytest.mark.parametrize(
    "card",
    [
        ServerCard(record(name=ATTACK, model=ATTACK, engine_version=ATTACK, served_model=ATTACK + "2", url=ATTACK)),
        ServerCard(record(state="loading", stage=ATTACK, ready_at=None), line=ATTACK),
        ServerCard(record(state="failed", diagnosis={"cause": ATTACK, "line": ATTACK, "remedy": ATTACK})),
        ServerCard(record(state="stopped", stops_why=ATTACK)),
        AnswerCards(ATTACK, {"a": answer(name=ATTACK, model=ATTACK, text=ATTACK, finish=ATTACK)}),
        AnswerCards("p", {"a": answer(error=ATTACK)}),
        ErrorCard(LLMMagicsError(ATTACK, why=ATTACK, then=ATTACK)),
    ],
)
def test_nothing_written_by_others_becomes_markup(card: object) -> None:
    assert "<img" not in html(card)
    assert "&lt;img" in html(card)


def test_answers_show_their_figures() -> None:
    text = str(AnswerCards("p", {"a": answer()}))
    assert "88.8 tok/s · TTFT 12.3 ms · 1,234 tokens" in text
    assert "cut at the token limit" in html(AnswerCards("p", [answer(finish="length")]))


def test_an_answer_on_its_way_shows_a_caret_until_it_is_done() -> None:
    partial = answer(finish=None)
    assert "llmm-caret" in html(AnswerCards("p", [partial]))
    assert "llmm-caret" not in html(AnswerCards("p", [partial], done=True))
    assert "waiting" in str(AnswerCards("p", [answer(finish=None, text="", tokens=None)]))


def test_a_failed_answer_stands_beside_the_good_one() -> None:
    cards = AnswerCards("p", {"a": answer(), "b": answer(name="b", text="", error="503 the queue is full")})
    assert html(cards).count("llmm-card") >= 2
    assert "503 the queue is full" in str(cards)
    assert cards.oneline == "a: 1,234 tokens · b: error"


def test_control_characters_do_not_reach_a_terminal() -> None:
    assert "\x1b" not in str(AnswerCards("p", [answer(text="\x1b[2Jhi")]))
    assert "\x1b" not in str(ServerCard(record(model="\x1b]0;x\x07m")))


def test_what_says_nothing_itself_is_said_to_be_waited_for() -> None:
    card = WaitingCard(f"asking {ATTACK}", 12.3)
    assert str(card).endswith("… 12 s")
    assert "<img" not in html(card)
    assert not card.stays


def test_a_reuse_that_changes_how_long_a_server_lives_says_from_what_to_what() -> None:
    card = ServerCard(record(keep="detached"), reused=True, lived=planned(record(keep="kernel", idle=600.0)))
    for said in (str(card), html(card)):
        assert "until stopped; before this: until its notebook or shell ends, or idle for 10 min" in said
    assert "before this" not in str(ServerCard(record(), reused=True))
