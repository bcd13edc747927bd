"""A Jupyter server in this process, with the extension, for the routes; and records that look like engines'."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytest_jupyter.jupyter_server import *  # noqa: F403 - its fixtures
from pytest_jupyter.pytest_tornasync import *  # noqa: F403 - its fixtures and hooks
from tornado.httpclient import HTTPClientError

from llm_magics.runtime import identity
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry


@pytest.fixture
def jp_server_config() -> dict[str, Any]:
    """With the extension, and without any handler that forgets to authenticate."""
    return {
        "ServerApp": {"jpserver_extensions": {"llm_magics.lab": True}, "allow_unauthenticated_access": False},
        "IdentityProvider": {"token": "the-token"},
    }


@pytest.fixture
def registry(jp_serverapp: Any) -> Registry:
    """The directory that the server looks at."""
    return Registry()


@pytest.fixture
def running(registry: Registry) -> Callable[..., Record]:
    """Writes a record; its supervisor is this process, so it is believed."""

    def write(name: str = "qwen", **changes: Any) -> Record:
        values = {
            "id": f"id-{name}", "name": name, "engine": "vllm", "model": "Qwen/Qwen2.5-7B-Instruct", "state": "ready",
            "created": 1000.0, "ready_at": 1010.0, "host": "h", "reuse_key": "k",
            "spec": {"env": {"SECRET": "in-spec"}},
            "url": "http://127.0.0.1:9", "command": "vllm serve Qwen/Qwen2.5-7B-Instruct",
            "supervisor": identity.current().to_json(),
            "owners": [{"pid": 1, "notebook": "/home/me/a.ipynb", "kernel_id": "k1"}],
        }  # fmt: skip
        record = Record(**{**values, **changes})
        registry.write(record)
        return record

    return write


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A route waits for its answer as long as a busy machine may need; that it gives up is tested for itself."""
    monkeypatch.setattr("llm_magics.lab.handler.PATIENCE", 60.0)


@pytest.fixture
def ask(jp_fetch: Any) -> Callable[..., Any]:
    """Asks a route; (status, JSON or None), whatever the status."""

    async def fetch(path: str, **options: Any) -> tuple[int, Any]:
        try:
            answer = await jp_fetch("llm-magics", *path.split("/"), **{"request_timeout": 90, **options})
        except HTTPClientError as error:
            answer = error.response
            if answer is None or "json" not in answer.headers.get("Content-Type", ""):
                return error.code, None  # no route: Jupyter's own page
            return error.code, json.loads(answer.body) if answer.body else None
        return answer.code, json.loads(answer.body) if answer.body else None

    return fetch


@pytest.fixture
def data(jp_serverapp: Any) -> Path:
    """The project's part of Jupyter's data directory."""
    from llm_magics.paths import data_dir

    return data_dir()
