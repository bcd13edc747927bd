"""The routes of running engines: what is shown, and what stops, keeps and forgets them."""

from __future__ import annotations

import json
import os
import site
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llm_magics.errors import LLMMagicsError
from llm_magics.runtime import identity
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry

SOURCE = Path(__file__).parents[2] / "src"
DEAD = {**identity.current().to_json(), "ticks": 1}


async def test_no_engine_is_an_empty_list(ask: Any) -> None:
    assert await ask("engines") == (200, {"engines": [], "left_off": 0})


async def test_an_engine_is_shown_without_what_nobody_needs(ask: Any, running: Callable[..., Record]) -> None:
    running()
    status, found = await ask("engines")
    assert status == 200
    (engine,) = found["engines"]
    assert (engine["name"], engine["state"], engine["engine"]) == ("qwen", "ready", "vllm")
    assert engine["owners"] == [{"notebook": "/home/me/a.ipynb", "kernel_id": "k1"}]
    assert not {"spec", "supervisor", "process", "log", "host"} & set(engine)
    assert "in-spec" not in json.dumps(found)
    assert await ask("engines/qwen") == (200, engine)


async def test_one_of_another_host_is_shown_with_it_and_not_stopped(ask: Any, running: Callable[..., Record]) -> None:
    there = {**identity.current().to_json(), "boot_id": "of another machine"}
    running("theirs", supervisor=there, host="node7")
    status, engine = await ask("engines/theirs")
    assert (status, engine["state"], engine["host"]) == (200, "elsewhere", "node7")
    status, refusal = await ask("engines/theirs", method="DELETE")
    assert status == 409
    assert "theirs runs on node7; it cannot be stopped from here." in json.dumps(refusal)


async def test_running_ones_come_first_and_stopped_ones_not_at_all(ask: Any, running: Callable[..., Record]) -> None:
    running("failed", state="failed", created=1.0, diagnosis={"cause": "no memory", "remedy": "less"}, exit=1)
    running("gone", state="ready", created=2.0, supervisor=DEAD)
    running("ended", state="stopped", created=3.0)
    running("young", created=5.0)
    running("old", created=4.0, state="loading", stage="loading weights 1/2")
    engines = (await ask("engines"))[1]["engines"]
    assert [(each["name"], each["state"]) for each in engines] == [
        ("old", "loading"), ("young", "ready"), ("failed", "failed"), ("gone", "lost"),
    ]  # fmt: skip
    assert engines[2]["diagnosis"] == {"cause": "no memory", "remedy": "less"}


async def test_an_engine_that_another_environment_started_is_shown(
    ask: Any, running: Callable[..., Record], tmp_path: Path
) -> None:
    """A kernel of another Python shares with this server the directory, and nothing else."""
    record = running(state="stopped")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "other")], check=True)
    python = tmp_path / "other" / "bin" / "python"
    (tmp_path / "record.json").write_text(json.dumps({**record.to_json(), "name": "theirs", "state": "ready"}))
    writes = (
        "import json, sys\n"
        "from dataclasses import replace\n"
        "from llm_magics.runtime import identity\n"
        "from llm_magics.runtime.record import Record\n"
        "from llm_magics.runtime.registry import Registry\n"
        f"record = Record.from_json(json.load(open({str(tmp_path / 'record.json')!r})))\n"
        "Registry().write(replace(record, supervisor=identity.current().to_json()))\n"
        "print(sys.prefix, flush=True)\n"
        "input()\n"
    )
    around = {**os.environ, "PYTHONPATH": os.pathsep.join([str(SOURCE), *site.getsitepackages()])}
    with subprocess.Popen([python, "-c", writes], env=around, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline().decode().strip() == str(tmp_path / "other")  # type: ignore[union-attr]
        engines = (await ask("engines"))[1]["engines"]
        assert [(each["name"], each["state"]) for each in engines] == [("theirs", "ready")]
        other.communicate(b"\n")
    assert [each["state"] for each in (await ask("engines"))[1]["engines"]] == ["lost"]


async def test_the_same_list_is_not_sent_twice(jp_fetch: Any, running: Callable[..., Record]) -> None:
    running()
    first = await jp_fetch("llm-magics", "engines")
    again = await jp_fetch("llm-magics", "engines", headers={"If-None-Match": first.headers["Etag"]}, raise_error=False)
    assert (again.code, again.body) == (304, b"")
    running(stage="now")
    changed = await jp_fetch("llm-magics", "engines", headers={"If-None-Match": first.headers["Etag"]})
    assert changed.code == 200


async def test_an_unknown_or_impossible_name_is_not_found(ask: Any) -> None:
    for name in ("nobody", "..", "%2e%2e", "a.json", "a%2Fb", "start-times", "x" * 41, "a%00", "é"):
        for rest in ("", "/logs", "/report"):
            assert (await ask(f"engines/{name}{rest}"))[0] == 404, (name, rest)


async def test_stopping_answers_with_the_last_record(
    ask: Any, running: Callable[..., Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    record = running()
    asked = []

    def stop(name: str) -> Record:
        asked.append(name)
        return replace(record, state="stopped")

    monkeypatch.setattr("llm_magics.runtime.stop.stop", stop)
    status, engine = await ask("engines/qwen", method="DELETE")
    assert (status, engine["state"], asked) == (200, "stopped", ["qwen"])
    assert (await ask("engines/nobody", method="DELETE"))[0] == 404


async def test_a_stop_that_fails_says_why(
    ask: Any, running: Callable[..., Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    running()

    def hangs(name: str) -> Record:
        raise LLMMagicsError(f"{name} could not be stopped.", why="a driver call hangs", then="ps -fp 7")

    def full(name: str) -> Record:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("llm_magics.runtime.stop.stop", hangs)
    assert await ask("engines/qwen", method="DELETE") == (
        409, {"message": "qwen could not be stopped.", "why": "a driver call hangs", "then": "ps -fp 7"},
    )  # fmt: skip
    monkeypatch.setattr("llm_magics.runtime.stop.stop", full)
    status, told = await ask("engines/qwen", method="DELETE")
    assert (status, told["why"]) == (409, "No space left on device")


async def test_an_engine_that_sleeps_is_told_from_one_that_answers(ask: Any, running: Callable[..., Record]) -> None:
    running("awake")
    running("dozing", asleep=True)
    engines = (await ask("engines"))[1]["engines"]
    assert {each["name"]: each["asleep"] for each in engines} == {"awake": False, "dozing": True}


async def test_keeping_moves_the_promise_and_nothing_else(
    ask: Any, running: Callable[..., Record], registry: Registry
) -> None:
    before = running(idle=60.0, stops_at=time.time() + 20)
    status, _ = await ask("engines/qwen", method="PATCH", body='{"keep_for": 3600}')
    kept = registry.read("qwen")
    assert status == 200
    assert kept is not None
    assert kept.keep_until == pytest.approx(time.time() + 3600, abs=60)
    assert (kept.keep, kept.idle, kept.owners) == (before.keep, before.idle, before.owners)


NO_BODIES = [
    "", "[]", "{", '{"keep_for": "3600"}', '{"keep_for": true}', '{"keep": "detached"}', '{"keep_for": 1, "x": 1}',
    b"\xff", '{"keep_for": null}', "9" * 5000, '{"keep_for": 1' + "0" * 400 + "}",
]  # fmt: skip


async def test_a_body_that_means_nothing_changes_nothing(
    ask: Any, running: Callable[..., Record], registry: Registry
) -> None:
    running()
    for body in NO_BODIES:
        status, told = await ask("engines/qwen", method="PATCH", body=body)
        assert (status, bool(told["message"])) == (400, True), body
    for seconds in ("0", "-5", "1e99", "NaN", "Infinity"):
        status, told = await ask("engines/qwen", method="PATCH", body=f'{{"keep_for": {seconds}}}')
        assert status == 409, seconds
        assert "cannot be kept" in told["message"]
    assert registry.read("qwen").keep_until is None  # type: ignore[union-attr]


async def test_what_has_ended_can_be_forgotten_and_what_runs_cannot(
    ask: Any, running: Callable[..., Record], registry: Registry
) -> None:
    running("failed", state="failed")
    running("alive")
    registry.log_path("failed").write_text("x\n")
    assert await ask("engines/failed/record", method="DELETE") == (204, None)
    assert list(registry.directory.glob("failed.*")) == []
    status, told = await ask("engines/alive/record", method="DELETE")
    assert (status, told["message"]) == (409, "alive is running.")
    assert (await ask("engines/failed/record", method="DELETE"))[0] == 404


async def test_records_that_are_none_hide_nothing(ask: Any, running: Callable[..., Record], registry: Registry) -> None:
    running()
    (registry.directory / "broken.json").write_text('{"name":')
    (registry.directory / "binary.json").write_bytes(b"\xff\xfe\0")
    (registry.directory / "list.json").write_text("[]")
    (registry.directory / "folder.json").mkdir()
    (registry.directory / "dangling.json").symlink_to("nowhere")
    (registry.directory / "newer.json").write_text('{"schema": 99}')
    strange = json.loads((registry.directory / "qwen.json").read_text())
    strange |= {"name": "strange", "owners": [1, None, {"notebook": 7}], "diagnosis": {"cause": 5}, "gpus": ["x"]}
    (registry.directory / "strange.json").write_text(json.dumps(strange))
    engines = (await ask("engines"))[1]["engines"]
    assert [each["name"] for each in engines] == ["qwen", "strange"]
    assert engines[1]["owners"] == [{}]
    assert (await ask("engines/broken"))[0] == 404


async def test_a_record_that_may_not_be_read_hides_nothing(
    ask: Any, running: Callable[..., Record], registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    running()
    running("others")
    read = Path.read_bytes

    def forbid(path: Path) -> bytes:
        if path.name == "others.json":
            raise PermissionError(13, "Permission denied")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", forbid)  # root may read everything
    assert [each["name"] for each in (await ask("engines"))[1]["engines"]] == ["qwen"]
    assert (await ask("engines/others"))[0] == 404
    assert (await ask("engines/others", method="DELETE"))[0] == 404


async def test_ten_thousand_records_are_bounded_and_the_running_ones_are_among_them(
    ask: Any, running: Callable[..., Record], registry: Registry
) -> None:
    from llm_magics.runtime.shown import MOST

    text = json.dumps(running("one", state="failed").to_json())
    for number in range(10_000):
        (registry.directory / f"f{number}.json").write_text(text.replace('"one"', f'"f{number}"'))
    running("alive")
    status, found = await ask("engines")
    assert status == 200
    assert found["engines"][0]["name"] == "alive"
    assert len(found["engines"]) == MOST
    assert found["left_off"] == 10_002 - MOST
