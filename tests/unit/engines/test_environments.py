"""Where engines are found, in which order, what is remembered, and that looking twice costs nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_magics import engines
from llm_magics.engines import asking, environments, hardware, install
from llm_magics.engines.base import Engine, Executable, Install
from llm_magics.errors import SpecError


class Made(Engine):
    """An engine whose package is two files in a site-packages folder."""

    key, title = "made", "Made"
    install = Install(
        modules=("made_engine",), distributions=("made-engine", "made-engine-cpu"), binary="made-serve", hint="pip it"
    )


MADE = Made()


def put(site: Path, distribution: str = "made-engine", version: str = "1.5") -> None:
    """What pip leaves behind for a package."""
    (site / "made_engine.py").write_text("raise SystemExit('asking must not import')")
    info = site / f"{distribution.replace('-', '_')}-{version}.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A virtual environment without the engine."""
    home = tmp_path / "other"
    venv.create(home, with_pip=False, symlinks=True)
    return home


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[list[str]]]:
    """Every process that is started."""
    calls: list[list[str]] = []
    real = subprocess.run

    def run(command: list[str], **options: object) -> object:
        calls.append(command)
        return real(command, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(asking.subprocess, "run", run)
    return calls  # type: ignore[return-value]


@pytest.fixture(autouse=True)
def nothing_around(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.delenv(environments.VARIABLE, raising=False)


def site(home: Path) -> Path:
    return next(home.glob("lib/python3*/site-packages"))


def remembered(**given: str) -> Executable:
    """What a launch does with a place that a user named, once the engine has started from it."""
    found = environments.locate(MADE, **given)
    assert found is not None
    environments.remember(MADE, found)
    return found


def test_nothing_is_found_where_nothing_is() -> None:
    assert environments.locate(MADE) is None


def test_a_given_python_is_asked_and_once_remembered_not_asked_again(bare: Path, asked: list[list[str]]) -> None:
    put(site(bare))
    python = str(bare / "bin/python")
    given = environments.locate(MADE, python=python)
    assert given == Executable("1.5", python=python, origin="given")
    assert len(asked) == 1
    assert environments.locate(MADE) is None, "only what really started is remembered"
    environments.remember(MADE, given)
    found = environments.locate(MADE)
    assert found == Executable("1.5", python=python, origin="named before")
    assert len(asked) == 1, "the second look costs no process"
    environments.forget(MADE)
    assert environments.locate(MADE) is None


def test_an_environments_folder_does_for_its_python(bare: Path) -> None:
    put(site(bare))
    found = environments.locate(MADE, python=str(bare))
    assert found is not None
    assert found.python == str(bare / "bin/python")


def test_an_upgrade_and_a_removal_are_seen(bare: Path) -> None:
    put(site(bare))
    remembered(python=str(bare))
    (site(bare) / "made_engine-1.5.dist-info").rename(site(bare) / "gone")
    put(site(bare), version="1.6")
    os.utime(site(bare), (1, 1))
    found = environments.locate(MADE)
    assert found is not None
    assert found.version == "1.6"
    (site(bare) / "made_engine.py").unlink()
    os.utime(site(bare), (2, 2))
    assert environments.locate(MADE) is None


def test_a_python_that_lacks_it_is_refused_and_not_remembered(bare: Path) -> None:
    with pytest.raises(SpecError, match="does not have made_engine"):
        environments.locate(MADE, python=str(bare))
    with pytest.raises(SpecError, match="there is no"):
        environments.locate(MADE, python=str(bare / "nowhere"))
    assert environments.locate(MADE) is None


def test_the_build_for_cpus_is_marked(bare: Path) -> None:
    put(site(bare), "made-engine-cpu", "0.32.0")
    found = environments.locate(MADE, python=str(bare))
    assert found is not None
    assert found.version == "0.32.0+cpu"


def test_the_kernels_python_is_asked_in_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[list[str]]
) -> None:
    put(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    found = environments.locate(MADE)
    assert found == Executable("1.5", python=sys.executable, origin="the kernel's Python")
    assert asked == []


def test_installed_environments_lie_in_the_data_directory_or_where_the_variable_says(
    bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, isolated: Path
) -> None:
    assert environments.folder() == isolated / "data" / "llm-magics" / "envs"
    put(site(bare))
    monkeypatch.setenv(environments.VARIABLE, str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    bare.rename(tmp_path / "cache" / "made")
    found = environments.locate(MADE)
    assert found is not None
    assert (found.python, found.origin) == (str(tmp_path / "cache/made/bin/python"), "installed by llm-magics")


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_a_binary_on_path_is_asked_for_its_version_once(tmp_path: Path, asked: list[list[str]]) -> None:
    made = program(tmp_path / "path" / "made-serve", "#!/bin/sh\necho 'version: 6111 (abc)' >&2\necho built\n")
    expected = Executable("6111 (abc)", binary=str(made), origin="on PATH")
    assert environments.locate(MADE) == environments.locate(MADE) == expected
    assert len(asked) == 1


def test_a_python_script_on_path_stands_for_its_interpreter(bare: Path, tmp_path: Path) -> None:
    put(site(bare))
    program(tmp_path / "path" / "made-serve", f"#!{bare}/bin/python\nraise SystemExit(1)\n")
    found = environments.locate(MADE)
    assert found is not None
    assert (found.version, found.python, found.binary) == ("1.5", str(bare / "bin/python"), None)


def test_a_given_binary_is_remembered_and_a_wrong_one_refused(tmp_path: Path) -> None:
    made = program(tmp_path / "elsewhere" / "serve", "#!/bin/sh\necho 2.0\n")
    assert remembered(bin=str(made)) == Executable("2.0", binary=str(made), origin="given")
    assert environments.locate(MADE) == Executable("2.0", binary=str(made), origin="named before")
    with pytest.raises(SpecError, match="is no program"):
        environments.locate(MADE, bin="/nowhere/serve")
    made.unlink()
    assert environments.locate(MADE) is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"made": 3}', '{"made": {"python": 4}}'])
def test_a_spoiled_memory_is_none(content: str, isolated: Path) -> None:
    environments.folder()
    for name in ("engine-answers.json", "engine-places.json"):
        (isolated / "data" / "llm-magics" / name).write_text(content)
    assert environments.locate(MADE) is None


def test_a_full_disk_costs_the_memory_not_the_launch(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(site(bare))

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    assert environments.locate(MADE, python=str(bare)) is not None


def test_what_is_remembered_is_the_users_alone(bare: Path, isolated: Path) -> None:
    put(site(bare))
    remembered(python=str(bare))
    for name in ("engine-answers.json", "engine-places.json"):
        assert (isolated / "data" / "llm-magics" / name).stat().st_mode & 0o077 == 0


def test_the_inventory_names_every_engine_and_what_installs_it() -> None:
    found = {each.key: each for each in environments.inventory()}
    assert set(found) == set(engines.names())
    assert found["llamacpp"].installed
    assert found["llamacpp"].where == sys.executable
    assert not found["vllm"].installed
    assert found["vllm"].command == "%llm install vllm"


@pytest.mark.parametrize(
    ("programs", "daemon", "said"),
    [
        (("docker", "podman"), True, "docker"),
        (("docker", "podman"), False, "podman"),
        (("docker", "apptainer"), False, "apptainer"),
        (("docker",), False, "docker"),
        (("podman",), False, "podman"),
        ((), False, "docker"),
    ],
)
def test_hints_name_the_container_tool_that_can_be_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, programs: tuple[str, ...], daemon: bool, said: str
) -> None:
    """A docker client whose daemon is elsewhere, or nowhere, is not named where there is another tool."""
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setattr(environments, "_DOCKER_SOCKET", tmp_path / "docker.sock")
    if daemon:
        (tmp_path / "docker.sock").touch()
    monkeypatch.setattr(environments.shutil, "which", lambda name: f"/bin/{name}" if name in programs else None)
    assert environments.by_tool("add on: docker") == f"add on: {said}"
    assert f"on: {said}" in environments.by_hand(engines.get("tgi"))
    monkeypatch.setenv("DOCKER_HOST", "tcp://there:2375")
    assert environments.by_tool("on: docker") == f"on: {'docker' if 'docker' in programs else said}"


def test_one_text_says_how_tensorrt_llm_comes_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """`doctor`, `engines`, a dry run and a refused installation: beside a GPU the command, elsewhere both ways."""
    engine = engines.get("tensorrt_llm")
    command = "%llm install tensorrt_llm"
    monkeypatch.setattr(hardware, "has_gpu", lambda: True)
    assert environments.brings(engine) == command
    monkeypatch.setattr(hardware, "has_gpu", lambda: False)
    assert environments.brings(engine) == environments.by_hand(engine)
    assert environments.brings(engine).endswith(f"libopenmpi-dev: {command}")
    with pytest.raises(SpecError) as told:
        install.install("tensorrt_llm")
    assert told.value.then == environments.by_hand(engine)
