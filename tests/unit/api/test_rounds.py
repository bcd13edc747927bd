"""If these fail, sides are measured in an order that favours one, a comparison plays too many rounds, or loses some."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from llm_magics.api import again, benching, rounds, turns
from llm_magics.errors import LaunchError, SpecError
from llm_magics.spec import Workload

WORK = Workload(concurrency=[4], requests=40)


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, str]]:
    """(label, seed, title) of every turn; the servers are simulated, b a tenth faster."""
    import sys

    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "results"))
    from simulation import simulated_run

    found: list[tuple[str, int, str]] = []
    rng = np.random.default_rng(0)

    def measured(target: Any, work: Workload, *, label: str, title: str, salt: int, played: str) -> Any:
        found.append((label, work.seed, title))
        speed = {"ttft": 0.04, "tpot": 0.008} if target.name == "b" else {}
        noise = getattr(target, "noise", 0.0)
        return simulated_run(rng, name=label, seed=work.seed, round_noise=noise, **speed)

    monkeypatch.setattr(benching, "measured", measured)
    yield found
    sys.modules.pop("simulation", None)


def sides(
    opened: list[str] | None = None,
    noise: float = 0.0,
    broken_at: int = 99,
    names: str = "ab",
    error: type[BaseException] | None = None,
) -> dict[str, Any]:
    turn = [0]

    def side(name: str) -> Any:
        @contextmanager
        def opens() -> Iterator[Any]:
            turn[0] += 1
            if turn[0] == broken_at:
                raise error() if error else LaunchError(f"{name} did not start.")
            yield SimpleNamespace(name=name, noise=noise)
            if opened is not None:
                opened.append(name)

        return opens

    return {name: side(name) for name in names}


def test_rounds_turn_round_and_share_their_seeds(played: list[tuple[str, int, str]]) -> None:
    opened: list[str] = []
    found = rounds.in_rounds(sides(opened), WORK, 3)
    assert [label for label, _, _ in played] == list("abbaab") == opened
    assert [seed for _, seed, _ in played] == [0, 0, 1, 1, 2, 2]
    assert {label: len(runs) for label, runs in found.rounds.items()} == {"a": 3, "b": 3}
    assert found.level == 0.95
    assert "left" in played[-1][2]
    assert played[0][2] == "round 1 of 3"


def test_it_ends_when_a_difference_is_certain(played: list[tuple[str, int, str]]) -> None:
    found = rounds.in_rounds(sides(), WORK, None)
    assert len(played) == 6
    assert found.level == pytest.approx(0.99)
    assert "3 were enough, for every difference in the main figure is certain" in str(found.verdict)
    assert played[0][2] == "round 1 of 3 to 5"


def test_it_ends_after_the_most_rounds_where_nothing_is_known(played: list[tuple[str, int, str]]) -> None:
    found = rounds.in_rounds(sides(noise=0.5), WORK, None)
    assert len(played) == 10
    assert found.level == pytest.approx(0.975)
    assert "5, the most that are played" in str(found.verdict)
    titles = [title.partition(",")[0] for _, _, title in played[::2]]
    assert titles == [
        "round 1 of 3 to 5", "round 2 of 3 to 5", "round 3 of 3 to 5", "round 4 of at most 5", "round 5 of 5",
    ]  # fmt: skip


def test_a_side_that_breaks_later_costs_no_round(played: list[tuple[str, int, str]]) -> None:
    found = rounds.in_rounds(sides(broken_at=4), WORK, 3)
    assert {label: len(runs) for label, runs in found.rounds.items()} == {"a": 1, "b": 2}
    assert "broken off (a did not start) in round 2 at a" in str(found.verdict)
    with pytest.raises(LaunchError):
        rounds.in_rounds(sides(broken_at=2), WORK, 3)


@pytest.mark.parametrize("broken_at", [2, 5])
def test_of_three_sides_one_that_breaks_is_left_out(played: list[tuple[str, int, str]], broken_at: int) -> None:
    """Six engines take twenty minutes: the one that fails must not cost the other five."""
    found = rounds.in_rounds(sides(broken_at=broken_at, names="abc"), WORK, 3)
    assert {label: len(runs) for label, runs in found.rounds.items()} == {"a": 3, "c": 3}
    assert found.left_out == {"b": "b did not start"}
    assert any("b is left out: b did not start" in flag for flag in found.flags)
    assert "b is left out" in str(found.verdict)


def test_an_interrupt_between_two_loads_keeps_what_was_measured(played: list[tuple[str, int, str]]) -> None:
    """Engines start for minutes: an interrupt there must not cost the rounds before it."""
    found = rounds.in_rounds(sides(broken_at=5, error=KeyboardInterrupt), WORK, 5)
    assert {label: len(runs) for label, runs in found.rounds.items()} == {"a": 2, "b": 2}
    assert "interrupted in round 3 at a" in str(found.verdict)
    three = rounds.in_rounds(sides(broken_at=3, error=KeyboardInterrupt, names="abc"), WORK, 3)
    assert list(three.rounds) == ["a", "b"]
    assert three.left_out == {"c": "it had no turn yet"}
    with pytest.raises(KeyboardInterrupt):
        rounds.in_rounds(sides(broken_at=2, error=KeyboardInterrupt), WORK, 3)


def test_a_server_that_dies_under_load_costs_the_others_no_round(
    played: list[tuple[str, int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = benching.measured

    def measured(target: Any, work: Workload, **how: Any) -> Any:
        run = whole(target, work, **how)
        if how["label"] == "b" and work.seed == 1:
            run.status = "failed"
            run.header["server_ended"] = "killed by signal 9"
        return run

    monkeypatch.setattr(benching, "measured", measured)
    three = rounds.in_rounds(sides(names="abc"), WORK, 3)
    assert {label: len(runs) for label, runs in three.rounds.items()} == {"a": 3, "c": 3}
    assert three.left_out == {"b": "killed by signal 9"}
    two = rounds.in_rounds(sides(), WORK, 3)
    assert {label: len(runs) for label, runs in two.rounds.items()} == {"a": 1, "b": 2}
    assert "broken off (killed by signal 9) in round 2 at b" in str(two.verdict)


def test_a_workload_of_fixed_length_says_how_long_it_takes(played: list[tuple[str, int, str]]) -> None:
    rounds.in_rounds(sides(), Workload(concurrency=[1, 4], duration=30), 1)
    assert played[0][2] == "about 2 min in all"


def test_servers_on_one_gpu_take_turns() -> None:
    def target(*gpus: int) -> Any:
        return SimpleNamespace(name="x", provenance={"gpus": list(gpus)})

    assert turns.sharing([target(0), target(0, 1)])
    assert not turns.sharing([target(0), target(1)])
    assert not turns.sharing([target(), target()])


def test_an_endpoint_cannot_be_stopped_for_a_turn() -> None:
    target: Any = SimpleNamespace(name="host:1", provenance={"target": "http://host:1"})
    with pytest.raises(SpecError, match="no server of this machine"), turns.alternating([target]):
        pass


def test_a_server_that_does_not_come_back_keeps_no_other_away(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def launched(prepared: Any, **_: Any) -> None:
        tried.append(prepared.spec.name)
        if prepared.spec.name == "a":
            raise OSError("no space left")

    monkeypatch.setattr("llm_magics.runtime.stop.end", lambda record: None)
    monkeypatch.setattr("llm_magics.api.serving.launched", launched)
    every: Any = [(None, SimpleNamespace(spec=SimpleNamespace(name=name))) for name in "ab"]
    with pytest.raises(OSError, match="no space left"), again.away(every):
        pass
    assert tried == ["a", "b"]


def test_engines_that_start_for_every_turn_are_measured_three_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough for a verdict, and no more unless it is asked for: a start takes longer than a load."""
    from llm_magics.api import comparing
    from llm_magics.results.comparison import Comparison

    asked: list[int | None] = []

    def in_turn(prepared: Any, task: Any, rounds: int | None) -> Comparison:
        asked.append(rounds)
        return Comparison.of_answers("", {})

    monkeypatch.setattr(comparing, "_engines", lambda *_: [])
    monkeypatch.setattr(comparing, "_in_turn", in_turn)
    for given in (None, "auto", 1):
        comparing.compare(engines=["llamacpp", "vllm"], workload={"concurrency": 1}, rounds=given)
    assert asked == [3, None, 1]
