"""One line of options, in a notebook or a terminal, must be read alike and say what is wrong with it."""

from __future__ import annotations

import pytest

from llm_magics import lines
from llm_magics.errors import SpecError
from llm_magics.spec import ServerSpec
from llm_magics.spec.line import HelpShown, LineParser
from llm_magics.spec.reading import build


def test_options_of_a_spec_in_both_spellings() -> None:
    asked = lines.serve("%").read("tiny --max-num-seqs 8 --max_model_len 1K --gpus 0,1 --env A=b # comment")
    assert lines.given(asked, "name", "no_wait", "replace", "dry_run", "force") == {
        "max_num_seqs": 8,
        "max_model_len": "1K",
        "gpus": [0, 1],
        "env": {"A": "b"},
    }


def test_lists_and_json_survive_quotes() -> None:
    asked = lines.bench("%").read("""tiny --rate 1,2,inf --slo '{"ttft": "500ms"}' --out r""")
    assert asked.rate == [1, 2, "inf"]
    assert asked.slo == {"ttft": "500ms"}
    assert asked.out == "r"


def test_unknown_option_names_the_nearest() -> None:
    with pytest.raises(SpecError, match="did you mean '--max-num-seqs'"):
        lines.serve("%").read("tiny --max-num-seq 8")


def test_a_word_that_no_option_takes_is_told_what_it_was_meant_as() -> None:
    with pytest.raises(SpecError, match="unknown word 'tiny'") as told:
        lines.serve("%").read("t2 tiny")
    assert told.value.then.startswith("write --model tiny; ")
    with pytest.raises(SpecError) as told:
        lines.serve("%").read("t2 vllm")
    assert told.value.then.startswith("write --engine vllm; ")
    with pytest.raises(SpecError) as told:
        lines.bench("%").read("t2 tiny")
    assert told.value.then == "%bench --help shows them all"


def test_hyphens_alone_make_no_option_alike() -> None:
    line = LineParser("%llm learn")
    line.add_argument("--to")
    line.add_argument("--tick", action="store_true")
    with pytest.raises(SpecError) as told:
        line.read("--done")
    assert str(told.value) == "%llm learn: unknown option '--done'.\n-> its options: --to, --tick"


@pytest.mark.parametrize("line", ["t2 --model x tiny", "t2 --engine sglang vllm", "t2 --model x --engine vllm y"])
def test_an_option_that_the_line_has_is_not_what_a_word_was_meant_as(line: str) -> None:
    with pytest.raises(SpecError, match="unknown word") as told:
        lines.serve("%").read(line)
    assert told.value.then == "%serve --help shows them all"


@pytest.mark.parametrize(
    ("line", "words"),
    [("t2 --engine vllm tiny", "--model tiny"), ("t2 --model x vllm", "--engine vllm")],
)
def test_the_other_of_engine_and_model_is(line: str, words: str) -> None:
    with pytest.raises(SpecError, match="unknown word") as told:
        lines.serve("%").read(line)
    assert told.value.then.startswith(f"write {words}; ")


@pytest.mark.parametrize("line", ["", "tiny --engine", "tiny 'open", "tiny more words"])
def test_lines_that_cannot_be_read(line: str) -> None:
    with pytest.raises(SpecError):
        lines.serve("%").read(line)


def test_help_names_every_option() -> None:
    with pytest.raises(HelpShown, match="--max-model-len"):
        lines.serve("llm-magics").read("--help")


def test_a_prompt_takes_no_workload_options() -> None:
    with pytest.raises(SpecError, match="--load"):
        lines.comparison(lines.compare("%").read("a b --rate 3"), "prompt")


@pytest.mark.parametrize(
    "body",
    ["concurrency: [1, 8]\nrequests: 20\n", "\nrate: 4", "model: tiny\nrequests: 20", '"slo": {ttft: 250ms}\nrate: 1'],
)
def test_a_workload_without_load_is_not_sent_as_a_prompt(body: str) -> None:
    with pytest.raises(SpecError, match="reads as a workload") as refused:
        lines.comparison(lines.compare("%").read("a b"), body)
    assert "--load" in refused.value.then
    assert "--prompt" in refused.value.then
    assert "prompt" not in lines.comparison(lines.compare("%").read("a b --load"), body)


@pytest.mark.parametrize(
    "prompt",
    [
        "Explain this: requests: 20",
        "Note: one sentence.",
        "requests:\nWhat is Python's library of this name?: say it",
        "rate: 4\nWhich unit has this number",
        "rate: [4",
        "model: what is one?",
        "concurrency",
    ],
)
def test_a_prompt_that_holds_a_colon_stays_a_prompt(prompt: str) -> None:
    assert lines.comparison(lines.compare("%").read("a b"), prompt)["prompt"] == prompt


def test_a_prompt_that_reads_as_a_workload_goes_on_the_line() -> None:
    assert lines.comparison(lines.compare("%").read("a b --prompt 'rate: 4'"))["prompt"] == "rate: 4"


def test_compare_under_load_splits_server_options_from_the_workload() -> None:
    asked = lines.compare("%").read("--engines vllm,llamacpp --model tiny --load --rounds 2")
    assert asked.targets == []
    found = lines.comparison(asked, "concurrency: [1, 2]\nmax_num_seqs: 4\n")
    assert found["engines"] == ["vllm", "llamacpp"]
    assert found["workload"] == {"concurrency": [1, 2]}
    assert found["max_num_seqs"] == 4
    assert found["rounds"] == 2
    assert found["model"] == "tiny"


@pytest.mark.parametrize("said", ["--swap-space 4", '["--swap-space", "4"]', '["--swap-space","4"]'])
def test_args_are_words_or_a_list(said: str) -> None:
    assert lines.serve("llm-magics").read(["x", "--args", said]).args == ["--swap-space", "4"]


@pytest.mark.parametrize(
    ("line", "env"),
    [
        ("--env OMP_NUM_THREADS=2", {"OMP_NUM_THREADS": "2"}),
        ("--env URL=http://h/x?a=b --env DEVICES=0,1", {"URL": "http://h/x?a=b", "DEVICES": "0,1"}),
        ("--env VERSION=1.10 --env EMPTY=", {"VERSION": "1.10", "EMPTY": ""}),
        ("--env '{VERSION: 1.10, N: 3}'", {"VERSION": "1.10", "N": "3"}),
    ],
)
def test_variables_keep_their_text(line: str, env: dict[str, str]) -> None:
    assert built_server(line).env == env


def built_server(line: str) -> ServerSpec:
    asked = lines.serve("%").read(f"tiny {line}")
    return build(ServerSpec, lines.given(asked, "no_wait", "replace", "dry_run", "force"))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('--args "--foo_bar 4"', ["--foo_bar", "4"]),
        ("--args --foo_bar", ["--foo_bar"]),
        ("--args=--foo_bar=x_y", ["--foo_bar=x_y"]),
        ("--args -h", ["-h"]),
        ('--args "--a 1" --args "--b 2"', ["--a", "1", "--b", "2"]),
    ],
)
def test_values_are_not_taken_for_options(line: str, words: list[str]) -> None:
    assert built_server(line).args == words


@pytest.mark.parametrize("line", ["--engine --max-num-seqs 8", "--engine", '--args "\'open"'])
def test_missing_and_broken_values(line: str) -> None:
    with pytest.raises(SpecError):
        built_server(line)


def test_values_with_equals_signs_in_mappings() -> None:
    asked = lines.bench("%").read("tiny --extra-body url=http://h/?a=b,top_k=3 --slo ttft=500ms,e2e=2s")
    assert asked.extra_body == {"url": "http://h/?a=b", "top_k": 3}
    assert asked.slo == {"ttft": "500ms", "e2e": "2s"}


def test_the_help_says_times_as_they_are_typed() -> None:
    from llm_magics.spec.monitor import MonitorSpec
    from llm_magics.spec.quantities import in_words, seconds

    parser = LineParser("x")
    parser.options_of(MonitorSpec)
    with pytest.raises(HelpShown) as told:
        parser.read("--help")
    assert "[15d]" in str(told.value)
    assert "[5s]" in str(told.value)
    assert "[1024]" in str(told.value)
    for said in ("15d", "36h", "15m", "90s", "1.5s", "500ms", "0.25ms", "0s"):
        assert in_words(seconds(said)) == said
