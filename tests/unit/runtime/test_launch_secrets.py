"""A spec may hold secrets; what a record, a command line and a difference show of it may not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llm_magics.engines.base import Command, Engine
from llm_magics.runtime import identity
from llm_magics.runtime.launch import launch
from llm_magics.runtime.outcomes import Differs, Reused
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry
from llm_magics.runtime.starting import LaunchRequest
from llm_magics.spec import ServerSpec


def spec(**options: Any) -> ServerSpec:
    return ServerSpec(**{"name": "s", "engine": "none", "model": "m", **options})


def never(_: int) -> Command:
    raise AssertionError("nothing is to be started here")


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """One server runs, as far as anybody can see: its supervisor is this process."""
    registry = Registry(tmp_path)
    running = spec(env={"API_TOKEN": "***", "MODE": "a"}, args=["--api-key", "***"])
    registry.write(
        Record(
            name="s", engine="none", model="m", state="ready", created=1.0, host="h",
            reuse_key=spec(env={"API_TOKEN": "first-secret", "MODE": "a"}, args=["--api-key", "abcd1234"]).reuse_key,
            spec=running.identity, supervisor=identity.current().to_json(),
        )
    )  # fmt: skip
    return registry


def ask(registry: Registry, **options: Any) -> Any:
    return launch(LaunchRequest(spec(**options), Engine(), "none:none"), never, registry=registry)


def test_the_same_secrets_are_the_same_server(registry: Registry) -> None:
    outcome = ask(registry, env={"API_TOKEN": "first-secret", "MODE": "a"}, args=["--api-key", "abcd1234"])
    assert isinstance(outcome, Reused)


def test_another_secret_is_another_server_and_is_not_shown(registry: Registry) -> None:
    outcome = ask(registry, env={"API_TOKEN": "other-secret", "MODE": "a"}, args=["--api-key", "abcd1234"])
    assert isinstance(outcome, Differs)
    assert outcome.differences == {"env": ("other secrets", "these")}


def test_differences_name_the_options_without_the_secrets(registry: Registry) -> None:
    outcome = ask(registry, env={"API_TOKEN": "first-secret", "MODE": "b"}, args=["--api-key", "zzzz9999", "--x"])
    assert isinstance(outcome, Differs)
    assert outcome.differences == {
        "env": ({"API_TOKEN": "***", "MODE": "a"}, {"API_TOKEN": "***", "MODE": "b"}),
        "args": (["--api-key", "***"], ["--api-key", "***", "--x"]),
    }
    assert "secret" not in json.dumps(outcome.differences)


def test_reuse_takes_over_the_lifetime_that_was_asked_for(registry: Registry) -> None:
    same = {"env": {"API_TOKEN": "first-secret", "MODE": "a"}, "args": ["--api-key", "abcd1234"]}
    outcome = ask(registry, **same, keep="detached", idle=90.0)
    assert isinstance(outcome, Reused)
    found = registry.get("s")
    assert found is not None
    assert (found.keep, found.idle, len(found.owners)) == ("detached", 90.0, 1)
