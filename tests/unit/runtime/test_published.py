"""What a supervisor says of its server's end, while others change that server's life beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llm_magics import engines
from llm_magics.runtime import identity
from llm_magics.runtime.launch import launch
from llm_magics.runtime.lifetime import IDLE, Lifetime
from llm_magics.runtime.outcomes import Reused
from llm_magics.runtime.owner import current_owner
from llm_magics.runtime.published import Published
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry
from llm_magics.runtime.starting import LaunchRequest
from llm_magics.spec import ServerSpec

WALL = 1e9  # s since the epoch at which the monotonic clock of these tests began


def spec(**life: Any) -> ServerSpec:
    return ServerSpec(name="s", **life)


class Judged:
    """A server that is idle since 0 s, and its supervisor's look at it at any time."""

    def __init__(self, directory: Path) -> None:
        self.registry = Registry(directory)
        record = Record(
            id="1", name="s", engine="llamacpp", model="tiny", state="ready", created=WALL, host="h",
            reuse_key=spec().reuse_key, spec=spec().identity, supervisor=identity.current().to_json(),
            owners=[current_owner()], keep="kernel", idle=600.0,
        )  # fmt: skip
        self.registry.write(record)
        self.published, self.life = Published(self.registry, record), Lifetime()
        self.life.active(0.0)

    def at(self, now: float) -> tuple[float | None, str]:
        assert self.published.refresh()
        verdict = self.life.judge(self.published.record, now, WALL + now)
        self.published.announce(None if verdict.stops_in is None else WALL + now + verdict.stops_in, verdict.why)
        self.published.flush(force=True)
        return self.stands

    @property
    def stands(self) -> tuple[float | None, str]:
        record = self.registry.read("s")
        assert record is not None
        return record.stops_at, record.stops_why

    def reuse(self, **life: Any) -> None:
        def build(_: int) -> Any:
            pytest.fail("it runs already")

        asked = LaunchRequest(spec=spec(**life), engine=engines.get("llamacpp"), reference="")
        assert isinstance(launch(asked, build, wait=False, registry=self.registry), Reused)


def test_an_end_that_a_reuse_called_off_and_that_still_holds_is_announced_anew(tmp_path: Path) -> None:
    """Nobody would see that it ends, nor could put that off, until it is gone."""
    server = Judged(tmp_path)
    assert server.at(200.0) == (None, "")
    assert server.at(400.0) == (WALL + 600.0, IDLE)
    server.reuse(keep="detached", idle=600.0)
    assert server.stands == (None, "")
    assert server.at(401.0) == (WALL + 600.0, IDLE)


def test_an_end_that_a_reuse_put_off_is_not_announced(tmp_path: Path) -> None:
    server = Judged(tmp_path)
    assert server.at(400.0) == (WALL + 600.0, IDLE)
    server.reuse(idle=3600.0)
    assert server.at(401.0) == (None, "")


def test_what_is_not_written_yet_is_not_lost_to_what_stands_there(tmp_path: Path) -> None:
    """The disk was full when it was announced."""
    server = Judged(tmp_path)
    server.published.announce(WALL + 600.0, IDLE)
    assert server.published.refresh()
    assert server.published.record.stops_at == WALL + 600.0
    server.published.flush(force=True)
    assert server.stands == (WALL + 600.0, IDLE)
