"""Which GPUs a server takes by itself: the freest of those that nobody else uses, and the same ones the next time."""

from __future__ import annotations

from llm_magics.advice.launch_room import freest
from llm_magics.runtime.gpus import Gpu, GpuProcess
from llm_magics.runtime.record import Record

GIB, MIB = 1 << 30, 1 << 20


def card(index: int, size: float, *holders: tuple[str, float], used: float = 0.0, **facts: bool) -> Gpu:
    """A GPU of so many GiB, with processes (server, GiB) and `used` GiB that belong to none."""
    held = [GpuProcess(100 + index, round(gib * GIB), "python", server) for server, gib in holders]
    taken = round(used * GIB) + sum(process.memory or 0 for process in held)
    return Gpu(index, f"u{index}", "Card", "1", round(size * GIB), taken, processes=held, **facts)


def server(name: str, *gpus: int, state: str = "ready", engine: str = "llamacpp", **more: object) -> Record:
    return Record(
        name=name, engine=engine, model="m", state=state, created=0.0, host="h", reuse_key="k", spec={},
        supervisor={"pid": 0}, gpus=list(gpus), **more,
    )  # fmt: skip


def taken(count: int, *cards: Gpu, records: tuple[Record, ...] = (), name: str = "new") -> list[int]:
    return [gpu.index for gpu in freest(count, name, cards, records)]


def test_the_larger_of_two_empty_cards_is_taken_whichever_is_first() -> None:
    assert taken(1, card(0, 24), card(1, 80)) == [1]
    assert taken(1, card(0, 80), card(1, 24)) == [0]


def test_the_cards_of_one_server_are_the_freest_in_order_of_number() -> None:
    """A program sees its GPUs in the order in which they are named: the number stays the rank."""
    assert taken(2, card(0, 48), card(1, 24), card(2, 80)) == [0, 2]
    assert taken(9, card(0, 24), card(1, 80)) == [0, 1]


def test_cards_that_are_alike_go_by_number_though_one_is_a_few_mib_freer() -> None:
    for few in (0, 3 * MIB, 100 * MIB):
        assert taken(1, card(0, 80, used=few / GIB), card(1, 80), card(2, 80, used=MIB / GIB)) == [0]
    assert taken(1, card(0, 80, used=1), card(1, 80)) == [1], "a display's memory is no few"


def test_a_card_that_another_program_is_on_is_not_taken_however_much_is_free_of_it() -> None:
    assert taken(2, card(0, 80, ("", 0.5)), card(1, 24), card(2, 80, used=5), card(3, 80, mig=True)) == [1]


def test_a_card_is_in_use_from_the_launch_of_the_server_that_was_given_it() -> None:
    """Two servers started one after the other: the first one's engine needs seconds to come onto its card."""
    cards = card(0, 80), card(1, 80)
    for state in ("starting", "loading", "ready"):
        assert taken(2, *cards, records=(server("first", 0, state=state),)) == [1]
    for state in ("stopped", "failed", "lost", "elsewhere"):
        assert taken(2, *cards, records=(server("first", 0, state=state),)) == [0, 1]


def test_a_server_that_takes_what_it_finds_has_the_first_card_while_it_starts() -> None:
    loading = server("first", state="loading", engine="vllm", engine_version="0.33.0")
    assert taken(2, card(0, 80), card(1, 80), records=(loading,)) == [1]


def test_what_the_namesake_has_is_free_for_it_is_reused_or_replaced() -> None:
    records = (server("new", 0), server("other", 1))
    assert taken(2, card(0, 80, ("new", 70)), card(1, 80, ("other", 70)), records=records) == [0]
    unattributed = card(0, 80, ("", 70))  # as a container's processes are
    assert taken(1, unattributed, records=(server("new", 0),)) == [0]
    assert taken(1, unattributed, records=(server("new", 0, state="stopped"),)) == []


def test_the_namesake_is_free_where_the_driver_does_not_say_how_much_it_has() -> None:
    held = Gpu(0, "u", "Card", "1", 80 * GIB, 70 * GIB, processes=[GpuProcess(7, None, "python", "new")])
    assert taken(1, held) == [0]
    both = Gpu(0, "u", "Card", "1", 80 * GIB, 70 * GIB, processes=[*held.processes, GpuProcess(8, GIB, "python")])
    assert taken(1, both) == []


def test_a_card_with_the_machines_own_memory_is_taken_whatever_the_machine_holds() -> None:
    assert taken(1, card(0, 120, used=60, unified=True)) == [0]
