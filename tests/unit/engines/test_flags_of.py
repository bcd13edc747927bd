"""Options that moved: put into new words where that is sure, refused by name where not; asked once."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from llm_magics import engines
from llm_magics.engines import flags_of
from llm_magics.engines.base import Engine, Executable, Flag
from llm_magics.errors import SpecError
from llm_magics.spec import ServerSpec

FLAGS = frozenset(
    {"--host", "--port", "--max-model-len", "--runner", "--convert", "--disable-prefix-caching", "--tp_size",
     "--speculative-config", "--kv-offloading-size", "--seed", "--seed-all"}
)  # fmt: skip
HELP = """
usage: fake [--host H]
  -h,    --host H, --port P
  --max-model-len N   not --an-example in the middle of--words
"""


class Fake(Engine):
    """An engine whose help is a script."""

    key, title = "fake", "Fake"
    tested = ("1.2",)
    options = {"max_model_len": Flag("--max-model-len")}  # noqa: RUF012 - as adapters write it

    def help_command(self, executable: Executable) -> list[str]:
        return [str(executable.binary), "--help"]


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program that counts how often it was asked."""
    path = tmp_path / "fake"
    path.write_text(
        f"#!{sys.executable}\nopen({str(tmp_path / 'asked')!r}, 'a').write('x')\nprint({HELP!r})\n", encoding="utf-8"
    )
    path.chmod(0o755)
    return path


def fitted(*argv: str, key: str = "vllm") -> list[str]:
    return flags_of.fitted(engines.get(key), list(argv), Executable("0.99", python="/p", flags=FLAGS))


def test_what_is_there_passes() -> None:
    argv = ["/p", "-m", "x", "--host", "h", "--max-model-len=5", "--speculative-config.method", "ngram", "-tp", "2"]
    assert fitted(*argv) == argv
    assert fitted("--max-model", "5") == ["--max-model", "5"]  # argparse takes a beginning of one option


def test_other_spellings_of_the_same_option() -> None:
    assert fitted("--no-enable-prefix-caching") == ["--disable-prefix-caching"]
    assert fitted("--max_model_len", "5") == ["--max-model-len", "5"]
    assert fitted("--tp-size=2") == ["--tp_size=2"]


def test_an_option_that_became_two_others() -> None:
    assert fitted("--task", "embed", "--seed", "1") == ["--runner", "pooling", "--convert", "embed", "--seed", "1"]
    assert fitted("--task=generate") == ["--runner", "generate"]
    with pytest.raises(SpecError, match="no option --task transcribe") as told:
        fitted("--task", "transcribe")
    assert "--runner" in told.value.then


@pytest.mark.parametrize(
    ("word", "then"),
    [
        ("--swap-space", "--kv-offloading-size"), ("--num-scheduler-steps", "leave it out"),
        ("--max-model-length", "--max-model-len"), ("--see", "--seed or --seed-all"), ("--zzz", "leave it out"),
    ],
)  # fmt: skip
def test_an_option_that_is_gone_is_named_with_what_to_do(word: str, then: str) -> None:
    with pytest.raises(SpecError, match=f"vLLM 0.99 has no option {word}") as told:
        fitted(word, "4")
    assert then in told.value.then


@pytest.mark.parametrize(
    ("said", "meant"), [("8K", "8192"), ("8Ki", "8192"), ("8k", "8000"), ("8192", "8192"), ("auto", "auto")]
)
def test_sizes_are_written_out_for_tokens_alone(said: str, meant: str) -> None:
    """vLLM writes 8K for 8192, SGLang 8Ki and stops at 8K."""
    vllm, unasked = engines.get("vllm"), Executable("0.33", python="/p")
    assert flags_of.fitted(vllm, ["--max-model-len", said], unasked) == ["--max-model-len", meant]
    assert flags_of.fitted(vllm, [f"--max-num-batched-tokens={said}"], unasked) == [f"--max-num-batched-tokens={meant}"]
    assert flags_of.fitted(vllm, ["--served-model-name", said], unasked) == ["--served-model-name", said]


def test_the_engine_is_asked_when_there_is_reason_and_once(program: Path) -> None:
    fake, tested = Fake(), Executable("1.2.7", binary=str(program))
    plain, own = ServerSpec(name="s"), ServerSpec(name="s", args=["--bogus", "1"])
    assert flags_of.informed(fake, tested, plain).flags is None
    asked = flags_of.informed(fake, tested, own)
    assert asked.flags == {"--host", "--port", "--max-model-len"}
    flags_of.informed(fake, tested, own)
    assert len((program.parent / "asked").read_text()) == 1
    assert flags_of.informed(fake, replace(tested, version="1.20"), plain).flags is not None
    assert len((program.parent / "asked").read_text()) == 2
    with pytest.raises(SpecError, match=r"Fake 1\.2\.7 has no option --bogus"):
        flags_of.fitted(fake, ["--bogus"], asked)


def test_who_waits_for_a_help_is_told_and_only_then(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new version of vLLM imports for half a minute before it says anything."""
    monkeypatch.setattr(flags_of, "_LOOK", 0.01)
    fake, found, waited = Fake(), Executable("2", binary=str(program)), list[float]()
    slow = f"#!{sys.executable}\nimport time\ntime.sleep(0.3)\nprint('--port')\n"
    program.write_text(slow, encoding="utf-8")
    assert flags_of.informed(fake, found, ServerSpec(name="s"), waited.append).flags == {"--port"}
    assert len(waited) > 1
    assert waited == sorted(waited)
    waited.clear()
    assert flags_of.informed(fake, found, ServerSpec(name="s"), waited.append).flags == {"--port"}
    assert not waited, "the answer was kept"


def test_a_help_that_never_ends_is_ended(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flags_of, "_TIMEOUT", 0.3)
    pid = program.parent / "pid"
    script = f"#!{sys.executable}\nimport os, time\nopen({str(pid)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)\n"
    program.write_text(script, encoding="utf-8")
    assert flags_of.known(Fake(), Executable("2", binary=str(program))) is None
    if pid.exists() and pid.read_text():  # it may have been ended before it came so far
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid.read_text()), 0)


def test_who_stops_waiting_leaves_no_process(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flags_of, "_LOOK", 0.01)
    pid = program.parent / "pid"
    script = f"#!{sys.executable}\nimport os, time\nopen({str(pid)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)\n"
    program.write_text(script, encoding="utf-8")

    def interrupted(_seconds: float) -> None:
        if pid.exists() and pid.read_text():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        flags_of.known(Fake(), Executable("2", binary=str(program)), interrupted)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_a_help_that_fails_says_nothing_about_options(program: Path) -> None:
    fake, found = Fake(), Executable("2", binary=str(program))
    program.write_text(f"#!{sys.executable}\nprint('--port')\nraise SystemExit(1)\n", encoding="utf-8")
    assert flags_of.known(fake, found) is None
    program.write_text(f"#!{sys.executable}\nprint('nothing')\n", encoding="utf-8")
    assert flags_of.known(fake, found) is None
    assert flags_of.known(fake, Executable("2", binary="/nowhere")) is None
    program.write_text(f"#!{sys.executable}\nprint('--port --new')\n", encoding="utf-8")
    assert flags_of.known(fake, found) == {"--port", "--new"}
