"""Progress never floods a front end, never loses the last state, and is silent where nobody looks."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from typing import Any

import pytest
from made import record

from llm_magics.load.progress import Progress
from llm_magics.views import progress
from llm_magics.views.cards import AnswerCards, ServerCard
from llm_magics.views.progress import BenchProgress, Live, Log, Terminal, live


class Screen:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.drawn: list[Any] = []
        self.final: list[Any] = []

    def draw(self, shown: Any) -> None:
        self.drawn.append(shown)

    def close(self, final: Any | None) -> None:
        self.final.append(final)


class Clock:
    """Moves only when told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_thousand_states_a_second_are_five_updates_and_the_last_one() -> None:
    screen, clock = Screen(), Clock()
    with Live(screen, clock) as show:
        for tick in range(2000):
            clock.now = tick / 1000
            show(str(tick))
    assert len(screen.drawn) == 9, "from 0.3 s on, one every 0.2 s"
    assert screen.final == ["1999"]


def test_quick_work_flashes_nothing_but_leaves_what_stays() -> None:
    screen = Screen()
    with Live(screen, Clock()) as show:
        show(AnswerCards("p", []))
    assert (screen.drawn, screen.final) == ([], [])
    with Live(screen, Clock()) as show:
        show(ServerCard(record()))
    assert len(screen.final) == 1, "a server that was reused at once is still said to be there"


def test_what_does_not_stay_is_taken_away() -> None:
    screen, clock = Screen(), Clock()
    with Live(screen, clock) as show:
        clock.now = 1.0
        show(AnswerCards("p", []))
    assert screen.final == [None]


def test_an_inner_display_uses_the_outer_one() -> None:
    screen, clock = Screen(), Clock()
    with Live(screen, clock) as outer:
        for number in range(3):
            clock.now += 1
            with live() as show:
                show(f"run {number}")
        clock.now += 1
        outer("over")
    assert screen.drawn == ["run 0", "run 1", "run 2", "over"]
    assert screen.final == ["over"]


def test_work_that_breaks_off_leaves_no_card_that_goes_on() -> None:
    screen, clock = Screen(), Clock()
    loading = ServerCard(record(state="loading", ready_at=None))

    def work() -> None:
        with Live(screen, clock) as show:
            clock.now = 1.0
            show(loading)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert screen.final[0].broken_off


def test_noninteractive_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_MAGICS_NONINTERACTIVE", "1")
    monkeypatch.setattr(sys, "stderr", terminal())
    with live() as show:
        show("x")
    assert sys.stderr.getvalue() == ""  # type: ignore[attr-defined]


def test_quick_work_is_silent_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLM_MAGICS_NONINTERACTIVE")
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with live() as show:
        show(ServerCard(record()))
    assert sys.stderr.getvalue() == ""  # type: ignore[attr-defined]


def moment(point: int = 0, done: int = 0) -> Progress:
    return Progress(point, 2, "8 streams", 0, 1, done, 0, 8, 300, done / 10, 30.0, 0.05, 100.0)


def test_a_pipe_gets_a_line_for_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    clock = Clock()
    with Live(Log(), clock) as show:
        for tick in range(300):
            clock.now = tick / 10
            show(BenchProgress("tiny", moment(point=tick // 150, done=tick % 150), title="round 1 of 3"))
    assert sys.stderr.getvalue() == (  # type: ignore[attr-defined]
        "measuring tiny · round 1 of 3 · 8 streams, point 1 of 2\n"
        "measuring tiny · round 1 of 3 · 8 streams, point 2 of 2\n"
    )


def test_a_pipe_that_is_gone_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    Log().draw(BenchProgress("tiny", moment()))


def test_a_log_says_the_states_of_a_start_and_no_bundle_of_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    log = Log()
    for shown in (ServerCard(record(state="loading")), AnswerCards("p", []), ServerCard(record()), "text"):
        log.draw(shown)
        log.draw(shown)
    log.close(ServerCard(record()))
    assert sys.stderr.getvalue() == "qwen: loading\nqwen: ready\n"  # type: ignore[attr-defined]


def test_a_terminal_gets_one_line_written_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal())
    screen = Terminal()
    screen.draw("a long line\nand more")
    screen.draw("b")
    screen.close(ServerCard(record()))
    written = sys.stderr.getvalue()  # type: ignore[attr-defined]
    assert written.count("\n") == str(ServerCard(record())).count("\n") + 1
    assert written.startswith("\r\x1b[K")


def test_in_a_notebook_one_display_is_updated(monkeypatch: pytest.MonkeyPatch) -> None:
    import IPython.display

    published: list[Any] = []

    class Handle:
        def update(self, data: Any, **how: Any) -> None:
            published.append(("update", data))

    def display(data: Any, **how: Any) -> Handle:
        assert how["display_id"]
        published.append(("display", data))
        return Handle()

    monkeypatch.setattr(IPython.display, "display", display)
    screen = progress.Notebook()
    screen.draw(ServerCard(record()))
    screen.draw(ServerCard(record()))
    screen.close(None)
    assert [kind for kind, _ in published] == ["display", "update", "update"]
    assert published[-1][1]["text/html"] == ""


def test_a_bench_shows_how_far_it_is() -> None:
    now = Progress(1, 3, "8 streams", 0, 2, 412, 3, 8, 906, 12.3, 31.0, 0.0482, 1234.5)
    shown = BenchProgress("qwen", now, title="round 2 of 3")
    words = ["round 2 of 3", "8 streams, point 2 of 3, repetition 1 of 2", "412 of 906 requests"]
    words += ["1,234 tok/s output", "48.2 ms TTFT", "3 errors", "about 19 s left"]
    for word in words:
        assert word in str(shown)
    assert "width:45.5%" in shown.html()
    assert " 45% " in shown.oneline
    assert "stopped" in str(shown.ended(KeyboardInterrupt()).html())
    warmed = BenchProgress("qwen", replace(now, warmup=6))
    assert "412 of 906 requests, 6 of them for warm-up" in str(warmed)
    assert "906</" in str(warmed.html())


def test_a_bench_of_unknown_length_promises_nothing() -> None:
    shown = BenchProgress("q", Progress(0, 1, "8 streams", 0, 1, 5, 0, 8, None, 2.0, None, None, 0.0))
    assert "left" not in str(shown)
    assert shown.share is None


def terminal() -> Any:
    stream = io.StringIO()
    stream.isatty = lambda: True  # type: ignore[method-assign]
    return stream
