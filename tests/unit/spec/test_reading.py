"""A wrong spec must say which line is wrong and what was meant; YAML's guesses must never become other values."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_magics.errors import SpecError
from llm_magics.spec import ServerSpec, Workload
from llm_magics.spec.quantities import written
from llm_magics.spec.reading import build, read_mapping


def spec(body: str) -> ServerSpec:
    values, lines = read_mapping("name: q\n" + body)
    return build(ServerSpec, values, lines)


def work(body: str) -> Workload:
    return build(Workload, *read_mapping(body))


def test_unknown_option_names_line_and_nearest() -> None:
    with pytest.raises(SpecError) as caught:
        spec("model: tiny\nmax_modellen: 8192")
    assert "Line 4" in str(caught.value)
    assert "'max_model_len'" in str(caught.value)


def test_unknown_option_inside_a_mapping() -> None:
    with pytest.raises(SpecError, match=r"slo has no 'tpt' .did you mean 'tpot'"):
        work("slo: {ttft: 500ms, tpt: 1s}")


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("dtype: 1.10", "quotes"),
        ("dtype: true", "quotes"),
        ("max_num_seqs: 12:30", "12:30"),
        ("idle: 12:30", "not a time"),
        ("seed: 1.5", "seed"),
        ("port: 08000", "port"),
        ("port: 70000", "port"),
        ("gpu_memory_utilization: 90", "write 1 or less"),
        ("max_model_len: -1", "max_model_len"),
        ("keep: forever", "keep"),
        ("host: 0.0.0.0", "host"),
        ("trust_remote_code: 1", "trust_remote_code"),
        ("env: [a]", "env"),
        ("args: --fast", "args"),
    ],
)
def test_wrong_values_are_refused_with_their_line(body: str, what: str) -> None:
    with pytest.raises(SpecError) as caught:
        spec(body)
    assert "Line 3" in str(caught.value)
    assert what in str(caught.value)


@pytest.mark.parametrize(
    ("body", "option", "value"),
    [
        ("enable_prefix_caching: no", "enable_prefix_caching", False),
        ("enable_prefix_caching: on", "enable_prefix_caching", True),
        ("seed: 1e3", "seed", 1000),
        ("max_model_len: 8K", "max_model_len", 8192),
        ("max_model_len: 8k", "max_model_len", 8000),
        ("max_model_len: auto", "max_model_len", "auto"),
        ("idle: 2m", "idle", 120.0),
        ("gpus: 1", "gpus", [1]),
        ("dtype: 'no'", "dtype", "no"),
        ("revision: '1.10'", "revision", "1.10"),
    ],
)
def test_what_people_write_is_what_they_mean(body: str, option: str, value: object) -> None:
    assert getattr(spec(body), option) == value


@pytest.mark.parametrize("body", ["- a\n- b", "just words", "42", "[1, 2]"])
def test_a_body_that_is_no_mapping(body: str) -> None:
    with pytest.raises(SpecError, match="Line 2"):
        read_mapping(body)


def test_broken_yaml_names_its_line() -> None:
    with pytest.raises(SpecError, match=r"Line \d+: the body is not valid YAML"):
        read_mapping("a: {b\nc: d")


def test_key_given_twice() -> None:
    with pytest.raises(SpecError, match="Line 3: model was given already on line 2"):
        read_mapping("model: a\nmodel: b")


def test_aliases_and_huge_bodies_are_refused() -> None:
    with pytest.raises(SpecError):
        read_mapping("a: &x [1]\nb: *x")
    with pytest.raises(SpecError, match="characters"):
        read_mapping("a: " + "x" * 200_000)


def test_tags_do_not_build_objects() -> None:
    with pytest.raises(SpecError):
        read_mapping("a: !!python/object/apply:os.system ['true']")


@pytest.mark.parametrize("name", ["a b", "a/b", "../x", "1a", "", "a" * 41, "<b>", "a-b", "class", "in"])
def test_names_that_cannot_be_bound(name: str) -> None:
    with pytest.raises(SpecError, match="not a name"):
        build(ServerSpec, {"name": name})


def test_empty_body_is_no_options() -> None:
    assert read_mapping("") == ({}, {})
    assert read_mapping("# only a comment\n") == ({}, {})


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused_but_never_crashes(body: str) -> None:
    try:
        values, lines = read_mapping(body)
    except SpecError:
        return
    assert set(lines) >= set(values)


def test_same_server_whatever_its_lifetime() -> None:
    assert spec("keep: detached").reuse_key == spec("idle: 5m").reuse_key
    assert spec("max_num_seqs: 4").reuse_key != spec("").reuse_key
    assert spec("max_num_seqs: 4").differences(spec("").identity) == {"max_num_seqs": (None, 4)}


def test_sweeps() -> None:
    points = work("rate: [1, 2.5, inf]").points
    assert [point.label for point in points] == ["1 req/s", "2.5 req/s", "all at once"]
    assert points[0].arrival == "poisson"
    assert [point.label for point in work("concurrency: [1, 8]").points] == ["1 stream", "8 streams"]
    assert work("rate: 2\narrival: constant").points[0].arrival == "constant"
    assert math.isinf(work("rate: inf").rate[0])  # type: ignore[index]


@pytest.mark.parametrize(
    "body",
    [
        "rate: 1\nconcurrency: 2",
        "requests: 5\nduration: 3s",
        "rate: 0",
        "rate: -1",
        "rate: fast",
        "concurrency: 1.5",
        "concurrency: 0",
        "duration: 0s",
        "duration: soon",
        "arrival: poisson",
        "arrival: gamma\nconcurrency: 2",
        "arrival: concurrent",
        "arrival: throughput\nrate: 4",
        "workload: file",
        "workload: file\npath: /nowhere/at/all.jsonl",
        "workload: dataframe",
        "warmup: -1",
        "workload: rondom",
        "rate: inf\nduration: 2s",
        "rate: [1, inf]\nduration: 2s",
        "arrival: throughput\nduration: 2s",
        "rate: inf\narrival: constant",
        "rate: []",
        "concurrency: []",
        "rate: inf\nburstiness: 2",
        "burstiness: 0.3",
        "concurrency: 2\nburstiness: 1",
        "rate: 2\narrival: poisson\nburstiness: 0.3",
        "column: question",
        "prefix_tokens: 30",
        "prefixes: 2",
        "workload: prefix\ncolumn: question",
        "timeout: 0",
        "temperature: -1",
    ],
)
def test_workloads_that_make_no_sense(body: str) -> None:
    with pytest.raises(SpecError):
        work(body)


def test_a_path_means_a_file(tmp_path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "prompts.jsonl"
    file.write_text('{"prompt": "hi"}\n')
    assert build(Workload, {"path": str(file)}).workload == "file"


@pytest.mark.parametrize("option", ["input_tokens: 9", "input_spread: 0.1", "prefixes: 2", "workload: random"])
def test_what_a_file_makes_meaningless_is_refused_with_its_line(tmp_path, option: str) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "prompts.jsonl"
    file.write_text('{"prompt": "hi"}\n')
    work(f"path: {file}\ncolumn: prompt\noutput_tokens: 9")
    with pytest.raises(SpecError, match=r"Line \d: .* does nothing for workload"):
        work(f"path: {file}\n{option}")


def test_burstiness_makes_a_rate_gamma() -> None:
    assert [point.arrival for point in work("rate: [2, inf]\nburstiness: 0.3").points] == ["gamma", "throughput"]
    assert work("rate: 2").points[0].arrival == "poisson"


def test_variables_keep_their_text() -> None:
    found = spec("env: {THREADS: 2, VERSION: 1.10, RATE: 1e3, WORD: on}").env
    assert found == {"THREADS": "2", "VERSION": "1.10", "RATE": "1e3", "WORD": "on"}
    assert build(ServerSpec, {"name": "q", "env": {"THREADS": 2}}).env == {"THREADS": "2"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("env: {A: x, FAST: true}", "env: FAST: True - is read as bool"),
        ("env: 5", "takes {NAME: value}"),
        ("env: {'A=b': c}", "not the name of a variable"),
    ],
)
def test_wrong_variables_are_named(body: str, words: str) -> None:
    with pytest.raises(SpecError) as caught:
        spec(body)
    assert words in str(caught.value)
    assert "Line 3" in str(caught.value)


@pytest.mark.parametrize(
    ("slo", "words"),
    [
        (5, "slo: 5 - takes {ttft: 500ms, tpot: 50ms, e2e: 10s}."),
        ({"foo": "1s"}, "slo has no 'foo'.\n-> slo takes: ttft, tpot, e2e"),
        ({"tpt": "1s"}, "slo has no 'tpt' (did you mean 'tpot'?)."),
        ({"ttft": 250}, "slo: ttft: 250 - in what? write 250ms or 250s."),
        ({"ttft": 250.0, "e2e": "30"}, "slo: e2e: 30 - in what? write 30ms or 30s."),
        ({"ttft": "fast"}, "slo: ttft: fast - is not a time; write 500ms, 30s or 2m."),
    ],
)
def test_what_slo_takes_is_said(slo: object, words: str) -> None:
    with pytest.raises(SpecError) as caught:
        build(Workload, {"slo": slo})
    assert str(caught.value) == words


def test_an_slo_goes_round_as_it_is_typed_and_as_it_is_stored() -> None:
    asked = build(Workload, {"slo": {"ttft": "250ms", "tpot": 0.05, "e2e": 2}})
    assert asked.slo.limits == {"ttft": 0.25, "tpot": 0.05, "e2e": 2.0}
    assert written(asked.slo.limits) == "{ttft: 250ms, tpot: 50ms, e2e: 2s}"
    long = build(Workload, {"slo": {"e2e": "30s"}})
    assert written(long.slo.limits) == "{e2e: 30s}"
    assert build(Workload, long.model_dump(exclude_unset=True)).slo == long.slo


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("rate: 0", "Line 2: rate: 0 - is not a rate: write requests/s"),
        ("requests: -1", "Line 2: requests: -1 - write more than 0."),
        ("warmup: -1", "Line 2: warmup: -1 - write 0 or more."),
        ("requests: many", "Line 2: requests: many - write a whole number."),
        ("workload: rand", "Line 2: workload: rand - write random, sonnet, prefix, file, dataframe or trace."),
        ("slo:\n\tttft: 1s", "Line 3: the body is not valid YAML.\n  a tab stands there\n-> use spaces, not tabs"),
        ("seed: 1\nrate: [1, 2\nrequests: 5", "Line 3: the body is not valid YAML.\n  [ is not closed"),
        ("slo: {ttft: 1s\n", "Line 2: the body is not valid YAML.\n  { is not closed\n-> close it with }"),
        ("seed: 'one\nrate: 1", "Line 2: the body is not valid YAML.\n  ' is not closed\n-> close it with '"),
        *(
            (
                f"{before}\nrequests{wrong}{after}",
                (
                    f"Line 3: the body is not valid YAML.\n  `requests{wrong}` has no colon "
                    "with a blank behind it after the option's name\n-> write `requests: 4`"
                ),
            )
            for wrong in (" 4", ":4", "=4")
            for before, after in (("seed: 1", ""), ("seed: 1", "\n"), ("seed: 1", "\n\nrate: 2"), ("", "\nrate: 2"))
        ),
        ("seed: 1\n  rate: 2", "Line 3: the body is not valid YAML.\n  it stands further right than the line that"),
        *(
            (
                f"{before}ignore_eos{after}",
                f"Line {line}: the body is not valid YAML.\n  `ignore_eos` has no colon\n-> {then}",
            )
            for line, before in ((2, ""), (3, "seed: 1\n"), (4, "# chat\n\n"))
            for after, then in (
                ("\nrate: 1", "write `ignore_eos: VALUE`"),
                ("\n\n# fast\nrate: 1\nrequests: 4", "write `ignore_eos: VALUE`"),
                (" # all of it\nrate: 1", "write `ignore_eos: VALUE`"),
                ("\n  rate: 1", "write `ignore_eos:`"),
            )
        ),
        ("seed: 1\nignore_eos", "Line 3: the body is not valid YAML.\n  `ignore_eos` has no colon\n-> write"),
        (
            "slo:\n  ttft\n  tpot: 2ms",
            "Line 3: the body is not valid YAML.\n  `ttft` has no colon\n-> write `ttft: VALUE`",
        ),
        ("seed: 1\ngpus\n- 0\n- 1", "Line 3: the body is not valid YAML.\n  `gpus` has no colon\n-> write `gpus:`"),
        ("42\nrate: 1", "Line 3: the body is not valid YAML.\n  mapping values are not allowed here\n"),
        ("  seed: 1\nrate: 2", "Line 3: the body is not valid YAML.\n  it stands further left than the line that it"),
        ("seed: 1\n# two\n  rate: 2", "Line 4: the body is not valid YAML.\n  it stands further right than the line"),
        ("seed: 1: 2", "Line 2: the body is not valid YAML.\n  a second colon stands on the line\n-> quote text"),
    ],
)
def test_what_is_wrong_is_said_once_with_what_to_write(body: str, words: str) -> None:
    with pytest.raises(SpecError) as caught:
        work(body)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("on: mars", "on: mars - write local, docker, podman, apptainer, ray or ray://HOST:PORT."),
        ("max_model_len: long", "max_model_len: long - write 8192, 8K or auto."),
        ("gpus: all", "gpus: all - write a list, auto or none."),
    ],
)
def test_an_option_that_takes_one_of_several_kinds_names_them_all(option: str, words: str) -> None:
    with pytest.raises(SpecError) as caught:
        spec(option)
    assert words in str(caught.value)
