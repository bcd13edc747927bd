"""The magics parse, refuse and explain without starting anything; loading and unloading leave a shell as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell

import llm_magics
from llm_magics.errors import SpecError, TargetError
from llm_magics.magics.completion import complete


def test_unloading_takes_out_what_loading_put_in() -> None:
    shell = InteractiveShell()
    before = {kind: set(names) for kind, names in shell.magics_manager.magics.items()}
    llm_magics.load_ipython_extension(shell)
    assert {"serve", "bench", "compare"} <= set(shell.magics_manager.magics["cell"])
    assert "llm" in shell.magics_manager.magics["line"]
    llm_magics.unload_ipython_extension(shell)
    assert {kind: set(names) for kind, names in shell.magics_manager.magics.items()} == before
    assert complete not in shell.Completer.custom_matchers


def test_loading_twice_registers_once(shell: InteractiveShell) -> None:
    llm_magics.load_ipython_extension(shell)
    assert shell.Completer.custom_matchers.count(complete) == 1


def test_help_explains_and_starts_nothing(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    shell.run_line_magic("serve", "--help")
    shell.run_line_magic("llm", "logs --help")
    shell.run_line_magic("llm", "")
    shown = capsys.readouterr().out
    for word in ("--max-num-seqs", "--follow", "doctor"):
        assert word in shown


def test_wrong_cells_say_what_is_wrong(shell: InteractiveShell) -> None:
    with pytest.raises(SpecError, match=r"Line 3: there is no option 'max_modellen' .did you mean 'max_model_len'"):
        shell.run_cell_magic("serve", "tiny", "model: tiny\nmax_modellen: 3")
    with pytest.raises(SpecError, match="stands on the magic's line too"):
        shell.run_cell_magic("serve", "tiny --model tiny", "model: tiny")
    with pytest.raises(SpecError, match="did you mean 'llamacpp'"):
        shell.run_line_magic("serve", "tiny --engine llamacp")
    with pytest.raises(SpecError, match="is not a name"):
        shell.run_line_magic("serve", "'a b'")
    with pytest.raises(SpecError, match="is not a name"):
        shell.run_line_magic("serve", "a/b")
    with pytest.raises(SpecError, match=r"no verb 'lst' .did you mean 'list'"):
        shell.run_line_magic("llm", "lst")
    with pytest.raises(TargetError, match="no server 'nobody'"):
        shell.run_line_magic("bench", "nobody")
    with pytest.raises(SpecError, match="is not a name that a notebook can bind"):
        shell.run_line_magic("bench", "tiny --out 9r")
    with pytest.raises(SpecError, match="two sides"):
        shell.run_line_magic("compare", "one --prompt hi")
    with pytest.raises(SpecError, match="no nothing in this notebook"):
        shell.run_line_magic("bench", "tiny --data nothing")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "Which server is to be stopped?\n-> `%llm stop NAME`, `--mine` or `--all`"),
        ("s --mine", "Is s to be stopped, or this notebook's own?"),
        ("--mine --all", "not allowed with"),
    ],
)
def test_stop_takes_a_name_or_its_own_or_all(shell: InteractiveShell, words: str, said: str) -> None:
    with pytest.raises(SpecError) as error:
        shell.run_line_magic("llm", f"stop {words}")
    assert said in str(error.value)
    assert shell.run_line_magic("llm", "stop --mine") is None


def test_a_server_takes_no_name_that_says_something_else(shell: InteractiveShell) -> None:
    shell.user_ns["results"] = [1, 2]
    with pytest.raises(SpecError, match="'results' is a variable of this notebook, list") as refused:
        shell.run_line_magic("serve", "results")
    assert "%serve my_results" in refused.value.then
    assert shell.user_ns["results"] == [1, 2]
    with pytest.raises(SpecError, match="'dict' is Python's own"):
        shell.run_line_magic("serve", "dict")
    for verb in ("list", "stop", "runs"):
        with pytest.raises(SpecError, match=f"did you mean `%llm {verb}`"):
            shell.run_line_magic("serve", verb)
    with pytest.raises(SpecError, match="There is no verb 'foo'") as unknown:
        shell.run_line_magic("llm", "foo")
    assert "%serve" in unknown.value.then


def test_a_name_that_was_bound_to_a_server_is_bound_anew(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    from llm_magics.runtime.server import Server

    shell.user_ns["tiny"] = Server("tiny")
    shell.run_line_magic("serve", "tiny --dry-run")
    assert "--port PORT" in capsys.readouterr().out


def test_errors_are_short_and_fail_the_cell(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    result = shell.run_cell("%%serve tiny\nfoo: 1")
    assert isinstance(result.error_in_exec, SpecError)
    printed = capsys.readouterr()
    assert "Traceback" not in printed.out + printed.err
    assert "there is no option 'foo'" in printed.out + printed.err


def test_dry_run_prints_the_command_and_starts_nothing(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.run_cell_magic("serve", "tiny --dry-run", "max_num_seqs: 3\nmax_model_len: 1K")
    command = capsys.readouterr().out
    assert "--parallel 3" in command or "-np 3" in command
    assert "3072" in command  # the context of all slots together
    assert "key" not in command.lower().replace("--api-key-file", "")
    assert llm_magics.servers() == []


class _Shown:
    """A comparison as far as a line needs one."""

    answers = ("said",)

    def __init__(self, error: OSError | None = None) -> None:
        self.error = error

    def report(self, path: str) -> None:
        if self.error:
            raise self.error


def test_a_report_that_cannot_be_written_costs_no_result(
    shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = _Shown(OSError(28, "No space left on device"))
    monkeypatch.setattr("llm_magics.api.compare", lambda *_, **__: result)
    shown = shell.run_line_magic("compare", f"a b --load --out c --report {tmp_path / 'r.html'}")
    assert shown is result
    assert shell.user_ns["c"] is result
    assert "The report was not written: No space left on device" in capsys.readouterr().out


def test_a_report_that_is_a_folder_is_known_before_anything_is_measured(
    shell: InteractiveShell, tmp_path: Path
) -> None:
    with pytest.raises(SpecError, match="is a folder"):
        shell.run_line_magic("compare", f"a b --load --report {tmp_path}")
