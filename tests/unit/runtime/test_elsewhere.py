"""A directory of servers that hosts share: what runs on another one is seen as that, and nobody here ends it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llm_magics.api import serving, targets
from llm_magics.engines import llamacpp
from llm_magics.errors import LLMMagicsError
from llm_magics.runtime import identity, keep, scratch, sleeping
from llm_magics.runtime import launch as launching
from llm_magics.runtime import stop as stopping
from llm_magics.runtime.outcomes import Elsewhere
from llm_magics.runtime.published import Published
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry
from llm_magics.runtime.server import Server
from llm_magics.runtime.starting import LaunchRequest
from llm_magics.runtime.watching import Watch
from llm_magics.spec import ServerSpec
from llm_magics.spec.reading import build
from llm_magics.views import tables
from llm_magics.views.cards import ServerCard

THERE = {**identity.current().to_json(), "boot_id": "of another machine"}


def record(name: str = "qwen", **changes: Any) -> Record:
    return Record(
        **{
            "id": "1", "name": name, "engine": "vllm", "model": "m", "state": "ready", "created": 1.0, "host": "node7",
            "reuse_key": "k", "spec": {}, "supervisor": THERE, "url": "http://127.0.0.1:9", **changes,
        }
    )  # fmt: skip


@pytest.fixture
def registry(isolated: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """With a server of the host node7, and nobody's files to be cleared away."""
    monkeypatch.setattr(scratch, "clear", lambda _: pytest.fail("another host's files were removed"))
    found = Registry()
    found.write(record())
    return found


def silent_for(registry: Registry, seconds: float) -> None:
    os.utime(registry.directory / "qwen.json", (time.time() - seconds,) * 2)


def test_it_is_seen_to_run_there_until_nothing_was_heard_of_it_for_long(registry: Registry) -> None:
    watch = Watch(registry)
    assert [each.state for each in registry.list()] == [each.state for each in watch.look()] == ["elsewhere"]
    silent_for(registry, 200)
    assert registry.get("qwen").state == "elsewhere"  # type: ignore[union-attr]
    silent_for(registry, 400)
    assert registry.get("qwen").state == "lost"  # type: ignore[union-attr]
    watch._listed = 0.0  # two seconds later
    assert [each.state for each in watch.look()] == ["lost"]
    assert Registry().read("qwen") == record()  # which is nobody's to write down


def test_its_supervisor_gives_a_sign_of_life(registry: Registry) -> None:
    silent_for(registry, 400)
    published = Published(registry, record())
    assert published.refresh()
    assert registry.get("qwen").state == "elsewhere"  # type: ignore[union-attr]
    silent_for(registry, 400)
    assert published.refresh()  # no more often than anybody needs
    assert registry.get("qwen").state == "lost"  # type: ignore[union-attr]


def test_a_machine_that_was_started_anew_runs_nothing_elsewhere(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scratch, "clear", lambda _: None)
    registry.write(record(host=os.uname().nodename))
    assert registry.get("qwen").state == "lost"  # type: ignore[union-attr]


VERBS: list[tuple[str, Callable[[], object]]] = [
    ("stop of the runtime", lambda: stopping.stop("qwen")),
    ("stop", lambda: serving.stop("qwen")),
    ("dismiss", lambda: stopping.dismiss("qwen")),
    ("keep", lambda: keep.keep("qwen", 60)),
    ("sleep", lambda: sleeping.sleep("qwen")),
    ("wake", lambda: sleeping.wake("qwen")),
    ("bench", lambda: targets.resolve("qwen")),
    ("client", lambda: Server("qwen").client),
    ("wait", lambda: Server("qwen").wait(5)),
]


@pytest.mark.parametrize("do", [do for _, do in VERBS], ids=[name for name, _ in VERBS])
def test_what_cannot_be_done_from_here_says_where_it_runs(registry: Registry, do: Callable[[], object]) -> None:
    with pytest.raises(LLMMagicsError) as refused:
        do()
    said = str(refused.value)
    assert "node7" in said
    assert "share a directory of servers" in said
    assert "5 min after its last sign of life it counts as lost" in said
    assert registry.read("qwen") == record()


def test_stopping_all_stops_what_is_here(registry: Registry) -> None:
    assert serving.stop(every=True) == []
    assert registry.read("qwen") == record()


def test_its_name_is_not_taken_while_it_runs(registry: Registry) -> None:
    """Its supervisor would see that the name is another server's, and stop it."""
    spec = build(ServerSpec, {"name": "qwen", "engine": "llamacpp", "model": "tiny"})
    request = LaunchRequest(spec, llamacpp.engine, "llm_magics.engines.llamacpp:engine")
    for replace in (False, True):
        outcome = launching.launch(request, lambda _: pytest.fail("it was started"), replace=replace)
        assert outcome == Elsewhere(registry.get("qwen"))  # type: ignore[arg-type]
    said = str(serving.failure(spec, llamacpp.engine, outcome))
    assert said.startswith("A server qwen runs on node7 already.")
    assert "choose another name" in said


def test_it_is_forgotten_a_day_after_the_last_sign_of_life(registry: Registry) -> None:
    silent_for(registry, 23 * 3600)
    registry.prune()
    assert registry.exists("qwen")
    silent_for(registry, 25 * 3600)
    registry.prune()
    assert not registry.exists("qwen")


def test_it_is_shown_where_it_runs(registry: Registry) -> None:
    found = registry.list()
    assert "on node7" in str(tables.servers(found))
    assert "127.0.0.1" not in str(tables.servers(found))  # of that host
    assert "running on node7" in str(ServerCard(found[0]))
    assert "running on node7" in ServerCard(found[0]).html()
