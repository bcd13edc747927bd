"""Triton with one language model: makes the model repository, starts `tritonserver`, ends it and clears up behind it.

The vLLM backend serves where this tritonserver has it (NVIDIA's containers); else the Python backend does, with
`triton_model.py`, and a tritonserver that comes with the `nvidia-pytriton` wheel. Standard library only. What is not
an option here is handed to tritonserver.

    python triton_server.py --model PATH --name tiny --port 8000 --metrics-port 8002
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from pathlib import Path
from types import FrameType

HERE = Path(__file__).resolve().parent
SYSTEM = Path("/opt/tritonserver")
SHM = Path("/dev/shm")  # noqa: S108 - where the Python backend keeps its queues, under names that we give
PATIENCE = 4.0  # s between TERM and KILL
LEFT = 1.0  # s that the backend's interpreters get to end once tritonserver has
CHILD_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER
# Bytes of shared memory at the start and at each growth, of which only what is used takes memory. tritonserver is known
# to abort (`lock_exception`, triton-inference-server/server#8882) where its own 1 MB grows under several requests.
REGION = 32 << 20

CONFIG = """name: {name}
backend: {backend}
max_batch_size: 0
model_transaction_policy {{ decoupled: True }}
instance_group [ {{ count: 1 kind: {kind} }} ]
"""
TENSORS = """input [
  {{ name: "text_input" data_type: TYPE_STRING dims: [ 1 ] }},
  {{ name: "stream" data_type: TYPE_BOOL dims: [ 1 ] optional: true }},
  {{ name: "exclude_input_in_output" data_type: TYPE_BOOL dims: [ 1 ] optional: true }},
  {{ name: "return_finish_reason" data_type: TYPE_BOOL dims: [ 1 ] optional: true }},
  {{ name: "return_num_input_tokens" data_type: TYPE_BOOL dims: [ 1 ] optional: true }},
  {{ name: "return_num_output_tokens" data_type: TYPE_BOOL dims: [ 1 ] optional: true }}
]
output [
  {{ name: "text_output" data_type: TYPE_STRING dims: [ -1 ] }},
  {{ name: "finish_reason" data_type: TYPE_STRING dims: [ -1 ] }},
  {{ name: "num_input_tokens" data_type: TYPE_UINT32 dims: [ 1 ] }},
  {{ name: "num_output_tokens" data_type: TYPE_UINT32 dims: [ -1 ] }}
]
parameters [ {{ key: "options" value: {{ string_value: {options} }} }},
             {{ key: "launchers" value: {{ string_value: {launchers} }} }} ]
"""


def parser() -> argparse.ArgumentParser:
    """The command line; names as in vLLM where vLLM has them."""
    made = argparse.ArgumentParser(
        prog="triton_server", description=(__doc__ or "").split("\n\n")[0], allow_abbrev=False
    )
    made.add_argument("--tritonserver", help="the program; looked for when left out")
    made.add_argument("--backend", choices=("auto", "vllm", "python"), default="auto")
    made.add_argument("--model", required=True, help="a folder or a hub id")
    made.add_argument("--name", required=True, help="the model's name in the repository")
    # The last one is for a container, whose port is published on the loopback interface alone.
    made.add_argument("--host", default="127.0.0.1", choices=("127.0.0.1", "localhost", "::1", "0.0.0.0"))  # noqa: S104
    made.add_argument("--port", type=int, required=True)
    made.add_argument("--metrics-port", type=int, required=True)
    for name in ("revision", "tokenizer", "dtype", "quantization", "kv-cache-dtype", "load-format"):
        made.add_argument(f"--{name}")
    for name in (
        "max-model-len", "max-num-seqs", "max-num-batched-tokens", "tensor-parallel-size", "pipeline-parallel-size",
        "data-parallel-size", "seed",
    ):  # fmt: skip
        made.add_argument(f"--{name}", type=int)
    made.add_argument("--gpu-memory-utilization", type=float)
    made.add_argument("--speculative-config", type=json.loads, help="JSON, as vLLM takes it")
    made.add_argument("--lora-modules", type=json.loads, help="JSON: the adapter's name -> its path")
    for name in ("enable-prefix-caching", "enable-chunked-prefill"):
        made.add_argument(f"--{name}", action=argparse.BooleanOptionalAction)
    made.add_argument("--trust-remote-code", action="store_true", default=None)
    return made


OWN = ("tritonserver", "backend", "name", "host", "port", "metrics_port")
PYTHON_HAS = ("model", "revision", "tokenizer", "dtype", "max_model_len", "max_num_seqs", "seed", "trust_remote_code")


def main() -> int:
    """Serve until TERM or INT; tritonserver's own status when it ends by itself."""
    options, rest = parser().parse_known_args()
    program, libraries = _program(options.tritonserver)
    backend = options.backend
    if backend == "auto":
        backend = "vllm" if (program.parent.parent / "backends" / "vllm").is_dir() else "python"
    engine = _arguments(options)
    if backend == "python" and (unknown := sorted(set(engine) - set(PYTHON_HAS))):
        raise SystemExit(f"the Python backend has no option {unknown[0]}; the vLLM backend of NVIDIA's container has")
    home = Path(tempfile.mkdtemp(prefix="llm-magics-triton-"))
    regions = f"{_own_name()}-triton-"
    try:
        _repository(home / "models", options.name, backend, engine)
        backends = _backends(home, program, libraries)
        command = _command(options, program, backend, home / "models", backends, regions)
        print(f"starting {program} with the {backend} backend", flush=True)  # noqa: T201
        return _run([*command, *rest], _environment(libraries))
    finally:
        shutil.rmtree(home, ignore_errors=True)
        for region in SHM.glob(f"{regions}*"):
            region.unlink(missing_ok=True)


def _arguments(options: argparse.Namespace) -> dict[str, object]:
    """What is said to the language model's engine, by the names of vLLM's `AsyncEngineArgs`."""
    return {key: value for key, value in vars(options).items() if key not in OWN and value is not None}


def _command(
    options: argparse.Namespace, program: Path, backend: str, models: Path, backends: Path, regions: str
) -> list[str]:
    command = [
        str(program), f"--model-repository={models}", f"--backend-directory={backends}",
        f"--http-address={options.host}", f"--http-port={options.port}", "--allow-grpc=false",
        f"--metrics-address={options.host}", f"--metrics-port={options.metrics_port}", "--metrics-interval-ms=500",
        "--exit-timeout-secs=1", f"--backend-config=python,shm-region-prefix-name={regions}",
        f"--backend-config=python,shm-default-byte-size={REGION}",
        f"--backend-config=python,shm-growth-byte-size={REGION}",
    ]  # fmt: skip
    # Our configuration is whole. To complete it, Triton would start an interpreter, end it and start the model's beside
    # its end: two seconds, and a place where it was seen to abort. The vLLM backend's needs it.
    return command if backend == "vllm" else [*command, "--disable-auto-complete-config"]


def _run(command: list[str], env: dict[str, str]) -> int:
    """tritonserver as a child that does not outlive us: it ignores that its parent has gone.

    Nor do the backend's interpreters, which it leaves behind when its own patience ends: they become our children.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(CHILD_SUBREAPER, 1, 0, 0, 0)
    # In a group of its own: a second TERM while it ends makes it abort, and TERM comes to our whole group.
    child = subprocess.Popen(command, env=env, process_group=0)
    asked = False

    def end(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            return
        asked = True
        child.terminate()
        timer = threading.Timer(PATIENCE, child.kill)
        timer.daemon = True
        timer.start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    status = child.wait()
    until = time.monotonic() + LEFT
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.02)
        except ChildProcessError:
            return status
        if time.monotonic() > until:
            for pid in _children():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def _children() -> list[int]:
    words = Path(f"/proc/self/task/{threading.main_thread().native_id}/children").read_text(encoding="ascii")
    return [int(pid) for pid in words.split()]


def _program(named: str | None) -> tuple[Path, Path | None]:
    """tritonserver, and the folder of libraries that a wheel's needs beside it."""
    import importlib.util

    if named:
        return Path(named).resolve(), None
    if found := shutil.which("tritonserver") or (SYSTEM / "bin/tritonserver").is_file():
        return Path(found if isinstance(found, str) else SYSTEM / "bin/tritonserver").resolve(), None
    spec = importlib.util.find_spec("pytriton")
    if spec is None or spec.origin is None:
        raise SystemExit("there is no tritonserver: neither on PATH, nor in /opt/tritonserver, nor nvidia-pytriton's")
    wheel = Path(spec.origin).parent
    return wheel / "tritonserver/bin/tritonserver", wheel.parent / "nvidia_pytriton.libs"


def _repository(folder: Path, name: str, backend: str, engine: dict[str, object]) -> None:
    version = folder / name / "1"
    version.mkdir(parents=True)
    config = CONFIG.format(name=json.dumps(name), backend=json.dumps(backend), kind="KIND_MODEL" if backend == "vllm" else "KIND_CPU")  # fmt: skip  # noqa: E501
    if backend == "vllm":
        if adapters := engine.pop("lora_modules", None):
            (version / "multi_lora.json").write_text(json.dumps(adapters, indent=1), encoding="utf-8")
            engine["enable_lora"] = True
        (version / "model.json").write_text(json.dumps(engine, indent=1), encoding="utf-8")
        config += 'parameters [ { key: "REPORT_CUSTOM_METRICS" value: { string_value: "true" } } ]\n'
    else:
        shutil.copy(HERE / "triton_model.py", version / "model.py")
        config += TENSORS.format(options=json.dumps(json.dumps(engine)), launchers=json.dumps(str(HERE)))
    (folder / name / "config.pbtxt").write_text(config, encoding="utf-8")


def _backends(home: Path, program: Path, libraries: Path | None) -> Path:
    """The folder of backends; a wheel keeps a stub for each version of Python, and one must stand beside the rest."""
    own = program.parent.parent / "backends"
    if libraries is None:
        return own
    made = home / "backends" / "python"
    made.mkdir(parents=True)
    for file in (own / "python").iterdir():
        if file.is_file():
            (made / file.name).symlink_to(file)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = own.parent / "python_backend_stubs" / version / "triton_python_backend_stub"
    if not stub.exists():
        raise SystemExit(f"this nvidia-pytriton has no Python backend for Python {version}")
    shutil.copy(stub, made / stub.name)
    return made.parent


def _environment(libraries: Path | None) -> dict[str, str]:
    """The backend's interpreter is found by PATH, and its library where this one's is."""
    env = dict(os.environ)
    if libraries is not None:
        folders = [str(libraries), str(sysconfig.get_config_var("LIBDIR") or "")]
        env["LD_LIBRARY_PATH"] = ":".join(filter(None, [env.get("LD_LIBRARY_PATH", ""), *folders]))
        env["PATH"] = f"{Path(sys.executable).parent}:{env.get('PATH', '')}"
    return env


def _own_name() -> str:
    """What this server's files begin with: whoever ends it removes them by that, if this process was killed."""
    return f"llm-magics-{os.environ.get('LLM_MAGICS_SERVER', str(os.getpid()))[:12]}"


if __name__ == "__main__":
    sys.exit(main())
