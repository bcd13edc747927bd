"""What is offered while a magic's line or body is written: nothing that would be refused, and nothing elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "results"))

import pytest
from IPython.core.completer import CompletionContext, provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from synthetic import synthetic_run

from llm_magics.magics.completion import complete
from llm_magics.results.store import RunStore
from llm_magics.runtime import identity
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry


def completions(text: str) -> set[str]:
    """What is offered at the end of a cell's text."""
    lines = text.split("\n")
    context = CompletionContext(
        token="",
        full_text=text,
        cursor_position=len(lines[-1]),
        cursor_line=len(lines) - 1,
        limit=None,
    )
    return {item.text for item in complete(context)["completions"]}


@pytest.fixture
def running(isolated: Path) -> Iterator[None]:
    """A server that runs (this process stands for its supervisor), and one that has stopped."""
    registry, supervisor = Registry(), identity.current().to_json()
    for name, state, model in (("qwen", "ready", "Qwen/Qwen3-0.6B"), ("gone", "stopped", "org/older")):
        registry.write(Record(name, "vllm", model, state, 1.0, "h", "k", {}, supervisor))  # type: ignore[arg-type]
    yield
    (registry.directory / "qwen.json").unlink()  # before it is found left running, and this process ended for it


def test_completion_of_names_options_and_engines() -> None:
    assert "llamacpp" in completions("%serve tiny --engine ll")
    assert "--max-num-seqs" in completions("%serve tiny --max-n")
    assert "doctor" in completions("%llm do")
    assert "--follow" in completions("%llm logs --fo")


def test_completion_in_the_body() -> None:
    assert "max_model_len: " in completions("%%serve q --engine vllm\nmax_mo")
    assert "input_tokens: " in completions("%%bench q\ninput_")
    assert "llamacpp" in completions("%%serve q\nengine: lla")
    assert "concurrency: " in completions("%%compare a b --load\nconc")
    assert completions("%%compare a b\nconc") == set()
    assert completions("x = max_mo") == set()


def test_completion_of_a_list_and_behind_an_equals_sign() -> None:
    assert "sglang" in completions("%compare --engines vllm,sg")
    assert "llamacpp" in completions("%serve q --engine=ll")


def test_completion_behind_a_word_that_is_no_verb_offers_nothing() -> None:
    assert completions("%llm nonsense --") == set()
    assert completions("%llm 'a --") == set()


@pytest.mark.parametrize(
    ("written", "offered"),
    [
        ("%%serve q\nengine: vl", {"vllm"}), ("%%serve q\ndtype: b", {"bfloat16"}),
        ("%%serve q\nkv_cache_dtype: f", {"fp8"}), ("%%serve q\nkeep: d", {"detached"}),
        ("%%serve q\ngpus: ", {"auto", "none"}), ("%%serve q\nenable_prefix_caching: t", {"true"}),
        ("%%serve q\non: ", {"local", "docker", "podman", "apptainer", "ray"}),
        ("%%serve q\nmax_model_len: a", {"auto"}),
        ("%%bench q\nworkload: so", {"sonnet"}), ("%%bench q\narrival: pois", {"poisson"}),
        ("%%bench q\nsearch: s", {"slo", "saturation"}), ("%%bench q\nslo: {tt", {"ttft: "}),
        ("%%bench q\nslo: {ttft: 500ms, ", {"ttft: ", "tpot: ", "e2e: "}), ("%%bench q\nslo:\n  tp", {"tpot: "}),
        ("%%bench q\nrate: {fr", {"from: "}), ("%%bench q\nsweep: {max_num_s", {"max_num_seqs: "}),
        ("%%compare a b --load\nworkload: tr", {"trace"}),
        ("%serve q --dtype fl", {"float16", "float32"}), ("%serve q --keep=d", {"detached"}),
        ("%bench q --workload pre", {"prefix"}), ("%bench q --search s", {"slo", "saturation"}),
        ("%bench q --sweep dtype=b", {"bfloat16"}), ("%bench q --sweep dtype=float16,b", {"bfloat16"}),
        ("%bench q --on r", {"ray"}), ("%llm monitor st", {"status"}), ("%llm install tri", {"triton"}),
        ("%llm engines vllm sg", {"sglang"}),
    ],
)  # fmt: skip
def test_values_of_options_that_have_choices(written: str, offered: set[str]) -> None:
    assert completions(written) == offered


@pytest.mark.parametrize(
    "written",
    ["%%serve q\nport: ", "%%bench q\nslo: {ttft: ", "%%bench q\nextra_body: {top_k: ", "%serve q --port ",
     "%bench q --rate 1", "%%serve q\nserved_model_name: ", "%%compare a b\ndtype: ", "%%serve q\nenv:\n  FO"],
)  # fmt: skip
def test_nothing_is_offered_where_a_number_or_an_own_word_stands(running: None, written: str) -> None:
    assert completions(written) == set()


def test_servers_and_models_of_this_machine(running: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    (tmp_path / "models--meta-llama--Llama-3.2-1B").mkdir()
    assert completions("%bench q") == {"qwen"}
    assert completions("%llm stop ") == {"qwen"}
    assert completions("%compare qwen --engines ") >= {"vllm", "llamacpp"}
    known = {"tiny", "Qwen/Qwen3-0.6B", "org/older", "meta-llama/Llama-3.2-1B"}
    assert completions("%%serve q\nmodel: ") == known
    assert completions("%serve q --model ") == known
    assert completions("%llm fit meta") == {"meta-llama/Llama-3.2-1B"}
    assert "kubernetes" in completions("%llm learn ")


@pytest.mark.parametrize(
    ("verb", "named"),
    [("logs", {"qwen", "gone"}), ("runbook", {"qwen", "gone"}), ("stop", {"qwen"}), ("keep", {"qwen"}),
     ("sleep", {"qwen"}), ("wake", {"--help"}), ("dismiss", {"gone"}), ("engines --probe", {"qwen"})],
)  # fmt: skip
def test_a_verb_is_offered_those_whom_it_is_about(running: None, verb: str, named: set[str]) -> None:
    assert completions(f"%llm {verb} ") == named


def test_ids_of_stored_runs_are_offered_where_a_run_is_named() -> None:
    assert completions("%llm runs ") == {"--delete", "--help", "--save"}
    RunStore().save(synthetic_run(run_id="r1"))
    RunStore().save(synthetic_run(run_id="s2"))
    assert completions("%llm runs ") == completions("%llm report ") == {"r1", "s2"}
    assert completions("%llm runs r") == {"r1"}


def test_where_nothing_can_be_named_options_keep_keywords_and_files_away(shell: InteractiveShell) -> None:
    for verb in ("logs", "stop", "sleep", "wake", "keep", "runbook", "runs", "list", "dismiss", "engines --probe"):
        cell = f"%llm {verb} "
        with provisionalcompleter():
            offered = {each.text for each in shell.Completer.completions(cell, len(cell))}
        assert offered, verb
        assert offered == {"http://"} or all(each.startswith("--") for each in offered), verb


def test_a_front_end_is_given_the_word_to_replace(shell: InteractiveShell) -> None:
    """As a kernel asks for a cell: the offered text takes the place of what was typed of it, no more."""
    for cell, text in (("%%serve q\nmodel: tiny\ndtype: b", "bfloat16"), ("%%bench q\nslo: {tt", "ttft: ")):
        with provisionalcompleter():
            found = [each for each in shell.Completer.completions(cell, len(cell)) if each.text == text]
        assert cell[: found[0].start] + found[0].text == cell[: cell.rindex(" ") + 1] + ("{" * ("{" in cell)) + text
