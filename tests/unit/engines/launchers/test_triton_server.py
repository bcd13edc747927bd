"""What is made for tritonserver before it starts, and cleared up after one that was killed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest


def test_the_vllm_backend_gets_its_engines_arguments(tmp_path: Path) -> None:
    import triton_server

    triton_server._repository(tmp_path, "m", "vllm", {"model": "org/x", "max_model_len": 8})
    assert json.loads((tmp_path / "m/1/model.json").read_text()) == {"model": "org/x", "max_model_len": 8}
    config = (tmp_path / "m/config.pbtxt").read_text()
    assert 'backend: "vllm"' in config
    assert "KIND_MODEL" in config
    assert "REPORT_CUSTOM_METRICS" in config, "else its tokens are in no metric"


def test_lora_adapters_stand_in_the_backends_own_file(tmp_path: Path) -> None:
    """`multi_lora.json` beside `model.json`, as triton-inference-server/vllm_backend reads it."""
    import triton_server

    triton_server._repository(tmp_path, "m", "vllm", {"model": "org/x", "lora_modules": {"a": "/x"}})
    assert json.loads((tmp_path / "m/1/multi_lora.json").read_text()) == {"a": "/x"}
    assert json.loads((tmp_path / "m/1/model.json").read_text()) == {"model": "org/x", "enable_lora": True}


def test_the_python_backend_gets_ours(tmp_path: Path) -> None:
    import triton_server

    triton_server._repository(tmp_path, "m", "python", {"model": '/a "quoted" path'})
    config = (tmp_path / "m/config.pbtxt").read_text()
    assert "decoupled: True" in config
    assert json.dumps(json.dumps({"model": '/a "quoted" path'})) in config
    assert "class TritonPythonModel" in (tmp_path / "m/1/model.py").read_text()


def test_only_a_configuration_that_is_not_whole_is_completed() -> None:
    """The vLLM backend adds its inputs and outputs by itself; ours stand there, and an interpreter less is started."""
    import triton_server

    options = triton_server.parser().parse_args(["--model", "m", "--name", "m", "--port", "1", "--metrics-port", "2"])
    said = {
        backend: triton_server._command(options, Path("/t"), backend, Path("/models"), Path("/b"), "llm-magics-x-")
        for backend in ("python", "vllm")
    }
    assert [*said["vllm"], "--disable-auto-complete-config"] == said["python"]
    assert "--backend-config=python,shm-region-prefix-name=llm-magics-x-" in said["vllm"]


def test_a_wheels_backend_gets_the_stub_of_this_python(tmp_path: Path) -> None:
    import sys

    import triton_server

    wheel = tmp_path / "tritonserver"
    (wheel / "backends/python").mkdir(parents=True)
    (wheel / "backends/python/libtriton_python.so").touch()
    with pytest.raises(SystemExit, match="no Python backend for Python"):
        triton_server._backends(tmp_path / "one", wheel / "bin/tritonserver", tmp_path)
    stub = wheel / f"python_backend_stubs/3.{sys.version_info.minor}/triton_python_backend_stub"
    stub.parent.mkdir(parents=True)
    stub.write_text("stub")
    made = triton_server._backends(tmp_path / "two", wheel / "bin/tritonserver", tmp_path)
    assert {path.name for path in (made / "python").iterdir()} == {"libtriton_python.so", "triton_python_backend_stub"}
    assert triton_server._backends(tmp_path, wheel / "bin/tritonserver", None) == wheel / "backends"


def test_its_shared_memory_is_named_after_the_server_that_clears_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import triton_server

    from llm_magics.runtime import scratch
    from llm_magics.runtime.processes import MARK

    monkeypatch.setenv(MARK, "0123456789abcdef0123456789abcdef")
    assert triton_server._own_name() == scratch.name("0123456789abcdef0123456789abcdef")
    monkeypatch.delenv(MARK)
    assert triton_server._own_name() == f"llm-magics-{os.getpid()}"


def test_what_is_offloaded_is_named_after_the_server_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import deepspeed_server

    from llm_magics import engines
    from llm_magics.runtime import scratch
    from llm_magics.runtime.processes import MARK
    from llm_magics.spec import ServerSpec

    monkeypatch.setenv(MARK, "0123456789abcdef0123456789abcdef")
    words = ["--offload", "nvme", "--nvme-path", str(tmp_path)]
    options = deepspeed_server.parser().parse_args(["--model", "m", "--port", "1", *words])
    made = Path(deepspeed_server._swap_folder(options))
    assert made.name.startswith(scratch.name("0123456789abcdef0123456789abcdef"))
    for args in (words, ["--offload=nvme", f"--nvme-path={tmp_path}"]):
        spec = ServerSpec(name="a", engine="deepspeed", args=args)
        assert engines.get("deepspeed").scratch(spec) == [str(made.parent)], "whoever ends the server looks there"


def test_a_lock_is_stale_when_no_process_has_it_open(tmp_path: Path) -> None:
    import deepspeed_server

    held, stale = tmp_path / "a/lock", tmp_path / "b/c/lock"
    for lock in (held, stale):
        lock.parent.mkdir(parents=True)
    stale.touch()
    with held.open("w"):
        deepspeed_server._clear_stale_locks(tmp_path)
        assert held.exists()
        assert not stale.exists()
    deepspeed_server._clear_stale_locks(tmp_path / "not there")


def test_minutes_of_compiling_are_announced_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What PyTorch says of it has moved between a page and its logger: the words are the launcher's own."""
    import sys
    from types import ModuleType

    import deepspeed_server

    from llm_magics import engines

    loads = []

    class Builder:
        def load(self, *, verbose: bool) -> None:
            loads.append(verbose)

    module = ModuleType("deepspeed.ops.op_builder")
    module.AsyncIOBuilder = Builder  # type: ignore[attr-defined]
    for name in ("deepspeed", "deepspeed.ops"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "deepspeed.ops.op_builder", module)
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path))
    deepspeed_server._compile_for_disks()
    assert engines.get("deepspeed").stage(capsys.readouterr().out) == "compiling DeepSpeed's operators"
    (tmp_path / "async_io").mkdir()
    (tmp_path / "async_io/async_io.so").touch()
    deepspeed_server._compile_for_disks()
    assert capsys.readouterr().out == ""
    assert loads == [True, True]
