"""What was done stays known: across processes, after a run is deleted, in a store that an older version made."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest
from synthetic import synthetic_run

from llm_magics.errors import StoreError
from llm_magics.results.journal import Journal, of_run, server_facts
from llm_magics.results.store import RunStore


def test_a_stored_run_is_a_deed_and_stays_one_when_it_is_deleted(tmp_path: Path) -> None:
    store, run = RunStore(tmp_path / "runs.sqlite"), synthetic_run()
    store.save(run)
    store.save(run)  # stored anew, done once
    store.delete(run.id)
    (deed,) = Journal(store).deeds()
    assert (deed.kind, deed.facts["run"], deed.facts["status"]) == ("benched", run.id, "complete")
    assert deed.facts["completed"] > 0
    assert deed == of_run(run)


def test_an_older_store_without_a_journal_is_read_and_extended(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "runs.sqlite")
    store.list()  # made, and no journal in it yet
    assert Journal(store).deeds() == []
    assert Journal(store).ticks() == {}
    Journal(store).note("served", {"engine": "vllm"})
    assert [deed.kind for deed in Journal(store).deeds()] == ["served"]


def test_no_store_at_all_is_an_empty_journal_and_makes_no_file(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "nowhere" / "runs.sqlite")
    assert Journal(store).deeds() == []
    assert not store.path.exists()


def test_several_kernels_write_at_once(tmp_path: Path) -> None:
    def work(number: int) -> None:
        book = Journal(RunStore(tmp_path / "runs.sqlite"))
        for each in range(5):
            book.note("served", {"n": each}, identity=f"{number}:{each}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(Journal(RunStore(tmp_path / "runs.sqlite")).deeds()) == 20


def test_marks_by_hand_come_and_go(tmp_path: Path) -> None:
    book = Journal(RunStore(tmp_path / "runs.sqlite"))
    book.tick("kubernetes", True)
    first = book.ticks()["kubernetes"]
    book.tick("kubernetes", True)
    assert book.ticks() == {"kubernetes": first}  # done when it was first marked
    book.tick("kubernetes", False)
    assert book.ticks() == {}


def test_a_broken_store_says_so(tmp_path: Path) -> None:
    (tmp_path / "runs.sqlite").write_text("no database, " * 50)
    with pytest.raises(StoreError):
        Journal(RunStore(tmp_path / "runs.sqlite")).deeds()
    with pytest.raises(sqlite3.DatabaseError):
        sqlite3.connect(tmp_path / "runs.sqlite").execute("SELECT * FROM deeds")


@pytest.mark.parametrize(
    ("model", "billions", "quantization"),
    [
        ("Qwen/Qwen2.5-7B-Instruct", 7.0, "none"),
        ("Qwen/Qwen2.5-7B-Instruct-AWQ", 7.0, "awq"),
        ("Qwen/Qwen3-0.6B", 0.6, "none"),
        ("/home/me/models/llama-8b.Q4_K_M.gguf", 8.0, "q4_k_m"),
        ("tiny", None, "none"),
        ("/x/tiny-q4_0.gguf", None, "q4_0"),
        ("mistral-nemo", None, "none"),
    ],
)
def test_size_and_quantization_are_read_from_the_name(model: str, billions: float | None, quantization: str) -> None:
    facts = server_facts({"model": model, "engine": "vllm", "spec": {}})
    assert (facts["billions"], facts["quantization"]) == (billions, quantization)
    assert "/home" not in str(facts)


def test_the_spec_wins_over_the_name() -> None:
    facts = server_facts({"model": "a-7B", "spec": {"quantization": "FP8", "max_num_seqs": 4, "env": {"K": "secret"}}})
    assert facts["quantization"] == "fp8"
    assert facts["max_num_seqs"] == 4
    assert "secret" not in str(facts)
