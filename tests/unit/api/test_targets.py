"""What may be benched: a server's name or a URL; everything else is refused before a request of a run is sent."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from listening import Quiet, listening

from llm_magics.api import bench, compare
from llm_magics.api.targets import resolve
from llm_magics.engines import environments, hardware, installed_size
from llm_magics.engines.base import Engine, Executable
from llm_magics.errors import SpecError, TargetError
from llm_magics.runtime import identity
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry


class Handler(Quiet, BaseHTTPRequestHandler):
    """Any server on this machine: what it says to /v1/models is the test's to choose."""

    models: Any
    keys: list[str | None]

    def do_GET(self) -> None:
        self.keys.append(self.headers.get("Authorization"))
        self.say(self.models if isinstance(self.models, bytes) else json.dumps(self.models))


@pytest.fixture
def server() -> Iterator[tuple[str, type[Handler]]]:
    handler = type("One", (Handler,), {"keys": [], "models": {"data": [{"id": "m"}]}})
    with listening(handler) as found:
        yield f"http://127.0.0.1:{found.server_port}", handler


def test_a_url_with_one_model_needs_nothing_else(server: tuple[str, type[Handler]]) -> None:
    url, handler = server
    for written in (url, f"{url}/", f"{url}/v1", f"{url}/v1/"):
        target = resolve(written, api_key="k")
        assert target.endpoint.model == "m"
        assert target.endpoint.url == url
    assert set(handler.keys) == {"Bearer k"}


def test_a_url_with_several_models_wants_one_named(server: tuple[str, type[Handler]]) -> None:
    url, handler = server
    handler.models = {"data": [{"id": "a"}, {"id": "b"}]}
    with pytest.raises(TargetError, match="serves 2 models"):
        resolve(url)
    assert resolve(url, model="b").endpoint.model == "b"


@pytest.mark.parametrize("answer", [b"<html>hello</html>", b"[]", b"{}", b""])
def test_what_is_no_openai_server_is_said_to_be_none(server: tuple[str, type[Handler]], answer: bytes) -> None:
    url, handler = server
    handler.models = answer
    with pytest.raises(TargetError):
        resolve(url)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "http://", "file:///etc/passwd"])
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(TargetError):
        resolve(url)


def test_nobody_answers() -> None:
    with pytest.raises(TargetError, match=r"127\.0\.0\.1:9"):
        bench("http://127.0.0.1:9", requests=1)


def test_the_url_of_a_server_of_ours_that_has_a_key_is_told_its_name(server: tuple[str, type[Handler]]) -> None:
    url, handler = server
    registry = Registry()
    record = Record("qwen", "vllm", "m", "ready", 1.0, "h", "k", {}, identity.current().to_json(), id="i", url=url)
    registry.write(record)
    try:
        assert resolve(url).name == url.removeprefix("http://"), "one that has no key is a URL as any other"
        registry.write_key("qwen", "secret")
        asked = len(handler.keys)
        for written in (url, f"{url}/v1/", url.replace("127.0.0.1", "localhost")):
            with pytest.raises(TargetError, match="is the server qwen") as told:
                resolve(written, model="m")
            assert "%bench qwen" in told.value.then
        assert len(handler.keys) == asked
        assert resolve(url, api_key="secret").endpoint.api_key == "secret"
    finally:
        registry.write_key("qwen", None)
        (registry.directory / "qwen.json").unlink()
    assert resolve(url).name == url.removeprefix("http://")


def test_a_name_that_no_server_has() -> None:
    with pytest.raises(TargetError, match="no server 'nobody'") as caught:
        bench("nobody", requests=1)
    assert "%serve nobody" in str(caught.value)


def test_a_name_that_is_nearly_a_servers_is_told_that_one_and_a_few_others() -> None:
    """Its remedy is the near name, not to start a server by the wrong one; a day's dead records are no help."""
    registry = Registry()
    names = ["broken", *(f"s{number}" for number in range(9))]
    for at, name in enumerate(names):
        registry.write(Record(name, "vllm", "m", "stopped", time.time() + at, "h", "k", {}, {}, id="i"))
    try:
        with pytest.raises(TargetError, match="did you mean 'broken'") as told:
            resolve("brokn")
        assert told.value.then == "write broken"
        assert told.value.why == (
            "known: broken (stopped), s8 (stopped), s7 (stopped), s6 (stopped), s5 (stopped) "
            "and 5 more (`%llm list --all`)"
        )
        with pytest.raises(TargetError) as other:
            resolve("quux_zz")
        assert other.value.then == "start it: `%serve quux_zz`"
    finally:
        for name in names:
            (registry.directory / f"{name}.json").unlink()


def test_a_side_that_is_nobodys_may_have_been_meant_as_a_run() -> None:
    with pytest.raises(TargetError, match=r"no server 'aaaaaaaa'\. Nor is there a run of that id") as told:
        compare(["aaaaaaaa", "bbbbbbbb"], workload={})
    assert "%llm runs" in told.value.then


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"targets": ["a"], "prompt": "x"}, "two sides"),
        ({"targets": ["a", "b"], "prompt": "  "}, "empty"),
        ({"targets": ["a", "b"], "prompt": "x", "workload": {}}, "not both"),
        ({"targets": ["a", "b"], "workload": {}, "rounds": 0}, "rounds"),
        ({"targets": ["a"], "engines": ["llamacpp"], "prompt": "x"}, "not both"),
        ({"engines": ["llamacpp", "nothing"], "prompt": "x"}, "no engine 'nothing'"),
        ({"engines": ["llamacpp", "transformers"], "model": "/nowhere", "workload": {}}, "nowhere"),
        ({"engines": ["llamacpp", "llamacpp"], "workload": {}}, "each once"),
        ({"engines": ["llamacpp"], "workload": {}}, "two engines"),
        ({"targets": ["a", "b"], "workload": {}, "max_num_seqs": 3}, "max_num_seqs"),
        ({"targets": "a", "workload": {}}, "list"),
        ({"targets": ["a", 5], "prompt": "x"}, "no server .a.|5 cannot"),
        ({"targets": ["a", "b", "Explain it."], "workload": {}}, "(?s)'Explain it.' is no name.*a b --prompt"),
        ({"targets": ["Say a", "Say b"], "prompt": "x"}, "(?s)'Say a' is no name.*--prompt"),
        ({"targets": ["a", "b"], "prompt": "x", "rounds": 2}, "rounds"),
        ({"targets": ["a", "b"], "workload": {"rate": 0}}, "rate"),
    ],
)
def test_comparisons_that_make_no_sense_start_nothing(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((SpecError, TargetError), match=message):
        compare(**arguments)


def test_what_is_no_url_at_all_is_told_as_such() -> None:
    with pytest.raises(TargetError, match="is not a URL"):
        resolve("http://[x")


def test_a_server_that_failed_is_told_with_its_cause_and_what_starts_it_again() -> None:
    registry = Registry()
    cause = {"cause": "the engine was ended by SIGKILL", "line": "", "remedy": "take a smaller model"}
    registry.write(Record("gone", "vllm", "m", "failed", time.time(), "h", "k", {}, {}, id="i", diagnosis=cause))
    try:
        with pytest.raises(TargetError, match="gone is failed") as told:
            resolve("gone")
        assert "the engine was ended by SIGKILL" in told.value.why
        assert told.value.then.startswith("take a smaller model; start it again: `%serve gone …`")
    finally:
        (registry.directory / "gone.json").unlink()


MADE, BYTES = "/envs/vllm/bin/python", 5000
GPU, CPU = Executable("0.33.0", python=MADE), Executable("0.32.0+cpu", python=MADE)
PROGRAM = Executable("0.33.0", binary="/usr/bin/vllm")


@pytest.mark.parametrize(
    ("found", "machine_has_gpu", "spec", "size", "steps"),
    [
        (CPU, False, {}, BYTES, 4),  # environment, pip install, pip uninstall, start
        (GPU, True, {}, BYTES, 3),
        (CPU, True, {}, BYTES, 4),  # the build for CPUs is what was installed
        (PROGRAM, False, {}, BYTES, None),  # nobody knows how a program came here
        (CPU, False, {"on": "docker"}, None, None),  # what is installed here did not run
        (CPU, False, {"on": "ray"}, None, None),
        (None, False, {}, None, None),  # removed while its server runs
        (SpecError("It is not where --python says."), False, {"python": "/gone"}, None, None),
    ],
)  # fmt: skip
def test_a_servers_run_says_what_it_took_to_set_its_engine_up(
    found: Executable | SpecError | None, machine_has_gpu: bool, spec: dict[str, str], size: int | None,
    steps: int | None, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def locate(engine: Engine, **where: str | None) -> Executable | None:
        assert engine.key == "vllm"
        assert where == {"python": spec.get("python"), "bin": spec.get("bin")}
        if isinstance(found, SpecError):
            raise found
        return found

    monkeypatch.setattr(environments, "locate", locate)
    monkeypatch.setattr(hardware, "has_gpu", lambda: machine_has_gpu)
    monkeypatch.setattr(installed_size, "installed_size", lambda _, executable: BYTES if executable == found else -1)
    known = record(spec={"engine": "vllm", "on": "local", **spec})
    with written(known):
        facts = resolve("qwen").provenance
    assert (facts["install_size"], facts["setup_steps"]) == (size, steps)


def test_a_size_that_cannot_be_read_leaves_the_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(*_: object) -> int:
        raise PermissionError

    monkeypatch.setattr(environments, "locate", lambda *_, **__: CPU)
    monkeypatch.setattr(hardware, "has_gpu", lambda: False)
    monkeypatch.setattr(installed_size, "installed_size", unreadable)
    with written(record()):
        facts = resolve("qwen").provenance
    assert (facts["install_size"], facts["setup_steps"]) == (None, 4)


def test_a_servers_run_says_how_long_it_took_from_command_to_ready() -> None:
    with written(record(ready_at=53.5)):
        assert resolve("qwen").provenance["ready_after"] == 12.5


def record(**facts: Any) -> Record:
    return Record(
        **{
            "name": "qwen", "engine": "vllm", "model": "m", "state": "ready", "created": 41.0, "host": "h",
            "reuse_key": "k", "spec": {}, "supervisor": identity.current().to_json(), "id": "i",
            "url": "http://127.0.0.1:9", **facts,
        }
    )  # fmt: skip


@contextmanager
def written(known: Record) -> Iterator[None]:
    """The record as that of a server which runs: this process stands for its supervisor."""
    registry = Registry()
    registry.write(known)
    try:
        yield
    finally:
        (registry.directory / f"{known.name}.json").unlink()
