"""`Server`: a name through which everything about a server is read."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from llm_magics.errors import LaunchError, TargetError
from llm_magics.runtime import identity
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry
from llm_magics.runtime.server import Server


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path)


def write(registry: Registry, **changes: Any) -> None:
    registry.write(
        Record(
            **{
                "name": "qwen", "engine": "vllm", "model": "Qwen/Qwen2.5-7B-Instruct", "served_model": "qwen-7b",
                "state": "ready", "created": 0.0, "host": "h", "reuse_key": "k", "spec": {}, "id": "1",
                "supervisor": identity.current().to_json(), "url": "http://127.0.0.1:4000",
                "command": "vllm serve x", **changes,
            }
        )
    )  # fmt: skip


def test_a_server_tells_what_its_record_says_now(registry: Registry) -> None:
    write(registry, state="loading", stage="loading weights 1/2")
    server = Server("qwen", registry)
    assert (server.state, server.stage) == ("loading", "loading weights 1/2")
    write(registry)
    assert (server.state, server.stage, server.name, server.model) == ("ready", "", "qwen", "qwen-7b")
    assert (server.engine, server.url, server.command) == ("vllm", "http://127.0.0.1:4000", "vllm serve x")


def test_clients_are_set_up_and_kept(registry: Registry) -> None:
    write(registry)
    registry.write_key("qwen", "the-secret-key")
    server = Server("qwen", registry)
    assert str(server.client.base_url) == "http://127.0.0.1:4000/v1/"
    assert server.client.api_key == "the-secret-key"
    assert server.client is server.client
    assert server.async_client.api_key == "the-secret-key"
    assert server.async_client is server.async_client
    asyncio.run(server.async_client.close())
    before = server.client
    write(registry, url="http://127.0.0.1:4001")
    assert server.client is not before
    assert str(server.client.base_url) == "http://127.0.0.1:4001/v1/"


def test_an_engine_without_keys_gets_a_client_all_the_same(registry: Registry) -> None:
    write(registry)
    assert Server("qwen", registry).client.api_key


def test_the_repr_is_short_and_holds_no_secret(registry: Registry) -> None:
    write(registry)
    registry.write_key("qwen", "the-secret-key")
    shown = repr(Server("qwen", registry))
    assert shown == "<Server qwen: vllm with Qwen/Qwen2.5-7B-Instruct, ready at http://127.0.0.1:4000>"
    write(registry, state="stopped")
    assert repr(Server("qwen", registry)) == "<Server qwen: vllm with Qwen/Qwen2.5-7B-Instruct, stopped>"
    assert repr(Server("nobody", registry)) == "<Server nobody: gone>"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"state": "stopped", "stops_why": "it was idle"}, "it was idle"),
        ({"state": "failed", "diagnosis": {"cause": "no memory", "line": "CUDA out of memory"}}, "CUDA out of memory"),
        ({"state": "failed", "exit": 3}, "status 3"),
        ({"supervisor": {}}, "its supervisor was killed"),
    ],
)
def test_a_server_that_does_not_run_has_no_client_and_says_why(
    registry: Registry, changes: dict[str, Any], why: str
) -> None:
    write(registry, **changes)
    server = Server("qwen", registry)
    for use in (lambda: server.client, lambda: server.async_client, server.metrics):
        with pytest.raises(TargetError, match=why):
            use()
    with pytest.raises(LaunchError, match=why):
        server.wait()


def test_a_server_without_a_record_is_gone(registry: Registry) -> None:
    with pytest.raises(TargetError, match="no server named nobody"):
        _ = Server("nobody", registry).url


def test_waiting_has_an_end(registry: Registry) -> None:
    write(registry, state="loading", stage="compiling")
    with pytest.raises(LaunchError, match="compiling"):
        Server("qwen", registry).wait(timeout=0.1)


def test_logs_are_there_after_the_server_ended(registry: Registry) -> None:
    write(registry, state="failed")
    registry.log_path("qwen").write_text("one\ntwo\nthree\n")
    assert Server("qwen", registry).logs(2) == "two\nthree"
