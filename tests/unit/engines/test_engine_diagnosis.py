"""Logs of real failed and real good starts: what each adapter says of them. `logs/` holds excerpts of what was said."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from llm_magics import engines
from llm_magics.engines.base import Failure

LOGS = Path(__file__).parent / "logs"

# The file of the log -> words of the cause, of the line that proves it, and of the remedy.
CAUSES = {
    "llamacpp_bad_flag": ("does not know an option", "unrecognized arguments: --bogus", "--help"),
    "llamacpp_bad_magic": ("is no GGUF model", "invalid magic characters: 'impo'", ".gguf"),
    "llamacpp_cut_off": ("cut off or corrupt", "not within the file bounds", "download"),
    "llamacpp_cut_off_header": ("cut off or corrupt", "failed to read key-value pairs", "download"),
    "llamacpp_missing": ("No such file or directory", "failed to open GGUF file", "/models/nope.gguf"),
    "llamacpp_no_memory": ("not enough memory", "failed to allocate", "max_model_len"),
    "llamacpp_taken_port": ("port 18498 is taken", "couldn't bind", "port:"),
    "llamacpp_unknown_architecture": ("does not know the model", "'lxama'", "pip install -U"),
    "deepspeed_bad_flag": ("does not know an option", "unrecognized arguments: --bogus", "--help"),
    "deepspeed_bad_path": ("path does not exist", "/models/nope", "model:"),
    "deepspeed_cut_off_weights": ("cut off or corrupt", "SafetensorError", "download"),
    "deepspeed_half_on_cpu": ("does not compute in float16", "float16", "dtype: bfloat16"),
    "deepspeed_no_nvme_folder": ("/nope/disk to offload to does not exist", "llm-magics-zero-", "--nvme-path"),
    "deepspeed_no_nvme_path": ("needs a folder", "--nvme-path", "args: [--offload, nvme"),
    "deepspeed_taken_port": ("port is taken", "Address already in use", "port:"),
    "deepspeed_too_long": ("max_model_len 65536 is longer", "2048 tokens", "max_model_len: 2048"),
    "deepspeed_unknown_architecture": ("does not know the model's architecture", "`foo`", "upgrade"),
    "sglang_ambiguous": ("--pp can mean several", "--pp could match", "--pp-size"),
    "sglang_no_value": ("given for --api-key", "expected one argument", "--help"),
    "sglang_bad_flag": ("does not know an option", "unrecognized arguments: --bogus", "--help"),
    "sglang_bad_path": ("path does not exist", "/models/nope", "model:"),
    "sglang_bad_quantization": ("does not know nosuch for --quantization", "invalid choice", "--help"),
    "sglang_cut_off_weights": ("cut off or corrupt", "SafetensorError", "download"),
    "sglang_taken_port": ("port is taken", "address already in use", "port:"),
    "sglang_too_long": ("max_model_len 65536 is longer", "derived context_length", "max_model_len: 2048"),
    "sglang_unknown_architecture": ("does not know the model's architecture", "`foo`", "upgrade"),
    "triton_bad_flag": ("does not know the option --bogus", "unrecognized option", "tritonserver --help"),
    "triton_bad_path": ("path does not exist", "/models/nope", "model:"),
    "triton_broke_off": ("its own shared memory", "lock_exception", "start it again"),
    "triton_cut_off_weights": ("cut off or corrupt", "SafetensorError", "download"),
    "triton_taken_port": ("is taken", "Socket '127.0.0.1:18499' already in use", "port:"),
    "triton_too_long": ("max_model_len 65536 is longer", "ValueError", "max_model_len: 2048"),
    "triton_unknown_architecture": ("does not know the model's architecture", "`foo`", "upgrade"),
    "triton_vllm_only": ("has no max_num_batched_tokens", "no option max_num_batched_tokens", "NVIDIA's container"),
    "transformers_bad_flag": ("does not know an option", "No such option '--bogus'", "--help"),
    "transformers_bad_path": ("path does not exist", "/models/nope", "model:"),
    "transformers_cut_off_weights": ("cut off or corrupt", "SafetensorError", "download"),
    "transformers_hub_offline": ("could not be fetched", "Cannot find the requested files", "local directory"),
    "transformers_no_bitsandbytes": ("bitsandbytes", "requires bitsandbytes", "pip install bitsandbytes"),
    "transformers_no_weights": ("no weights", "no file named model.safetensors", "download"),
    "transformers_taken_port": ("port 18499 is taken", "address already in use", "port:"),
    "transformers_unknown_architecture": ("does not know the model's architecture", "`foo`", "upgrade"),
    "vllm_bad_flag": ("does not know an option", "unrecognized arguments: --bogus", "--help"),
    "vllm_bad_path": ("path does not exist", "/models/nope", "model:"),
    "vllm_bad_quantization": ("does not know the quantization gguf", "Unknown quantization method", "llamacpp"),
    "vllm_cut_off_weights": ("cut off or corrupt", "SafetensorError", "download"),
    "vllm_hub_offline": ("could not be fetched", "Cannot find an appropriate cached snapshot", "local directory"),
    "vllm_lacks_a_package": ("package flashinfer is not where", "No module named 'flashinfer'", "install it there"),
    "vllm_no_weights": ("no weights", "Cannot find any model weights", "download"),
    "vllm_small_cache": ("256 tokens would fit", "estimated maximum model length is 256", "max_model_len: 256"),
    "vllm_taken_port": ("port is taken", "Address already in use", "port:"),
    "vllm_too_long": ("max_model_len 65536 is longer", "derived max_model_len", "max_model_len: 2048"),
    "vllm_too_much_memory": ("GiB are free", "Available memory on node 0", "gpu_memory_utilization"),
    "vllm_unknown_architecture": ("does not know the model's architecture", "`foo`", "upgrade"),
}  # fmt: skip


def lines(name: str) -> list[str]:
    return (LOGS / f"{name}.log").read_text().splitlines()


@pytest.mark.parametrize("name", CAUSES)
def test_a_real_failure_is_recognized(name: str) -> None:
    found = engines.get(name.partition("_")[0]).diagnose(lines(name))
    assert found is not None
    cause, line, remedy = CAUSES[name]
    assert cause in found.cause
    assert line in found.line
    assert remedy in found.remedy
    assert "pid=" not in found.line, "the engine's prefix is no news"
    assert not found.line.startswith(("0.0", "ERROR", "[transformers]"))


def test_every_log_is_in_the_table() -> None:
    assert {path.stem for path in LOGS.glob("*.log") if not path.stem.endswith("_started")} == set(CAUSES)


@pytest.mark.parametrize(
    ("key", "stages"),
    [
        ("llamacpp", ["loading weights", "warming up 4 slots of 2048 tokens", "answering"]),
        (
            "vllm",
            [
                "starting the engine", "loading weights", "loading weights 0 %", "loading weights 100 %",
                "weights are loaded", "room for 131,072 tokens in the KV cache", "answering",
            ],
        ),
        (
            "vllm_gpu",
            [
                "starting the engine", "loading weights", "weights are loaded", "compiling",
                "room for 476,768 tokens in the KV cache", "capturing CUDA graphs 100 %", "answering",
            ],
        ),
        (
            "transformers",
            ["loading the model", "loading weights 0 %", "loading weights 100 %", "starting the server", "answering"],
        ),
        (
            "sglang",
            [
                "loading weights", "loading weights 100 %", "weights are loaded",
                "room for 16384 tokens in the KV cache", "warming up", "answering",
            ],
        ),
        (
            "deepspeed",
            ["loading the model", "loading weights 100 %", "weights are loaded", "answering, 2048 tokens of context"],
        ),
        (
            "triton",
            [
                "starting with the python backend", "loading the model tiny", "loading weights 100 %",
                "the model is loaded, 2048 tokens of context", "answering",
            ],
        ),
    ],
)  # fmt: skip
def test_a_real_start_is_told_in_stages(key: str, stages: list[str]) -> None:
    adapter = engines.get(key.removesuffix("_gpu"))
    told = [word for line in lines(f"{key}_started") if (word := adapter.stage(line))]
    assert list(dict.fromkeys(told)) == stages


@pytest.mark.parametrize("key", ["llamacpp", "vllm", "transformers", "sglang", "deepspeed", "triton"])
def test_a_good_start_is_no_failure(key: str) -> None:
    assert engines.get(key).diagnose(lines(f"{key}_started")) is None


@pytest.mark.parametrize("key", ["llamacpp", "vllm", "transformers", "sglang", "deepspeed", "triton"])
def test_texts_use_only_groups_that_their_patterns_have(key: str) -> None:
    """A text with {1} and a pattern with one group would turn a diagnosis into a crash, in the worst moment."""
    import re

    for failure in engines.get(key).failures:
        groups = ["x"] * re.compile(failure.pattern).groups
        assert failure.cause.format(*groups)
        assert failure.remedy.format(*groups)


def test_the_adapters_own_signatures_come_before_common_ones() -> None:
    class Own(type(engines.get("vllm"))):  # type: ignore[misc]
        failures = (Failure(r"Address already (\w+)", "mine: {0}", "do"),)

    found = Own().diagnose(["OSError: [Errno 98] Address already in use"])
    assert found is not None
    assert found.cause == "mine: in"


FROM_SOURCES = yaml.safe_load(Path(__file__).with_name("failures_from_sources.yaml").read_text())


@pytest.mark.parametrize("said", FROM_SOURCES, ids=lambda said: f"{said['engine']}: {said['cause']}")
def test_what_the_sources_say_on_a_gpu_is_recognized(said: dict[str, str]) -> None:
    found = engines.get(said["engine"]).diagnose(["INFO loading", said["line"], "INFO done"])
    assert found is not None
    assert said["cause"] in found.cause
    assert said["remedy"] in found.remedy
    assert found.line in said["line"]
    assert "{" not in found.cause, "every number is filled in"


def test_vllms_last_line_is_not_taken_for_the_cause() -> None:
    """`See root cause above` says nothing; the first thing that was recognized does, wherever it stands."""
    log = [
        "ValueError: No available memory for the cache blocks.",
        "(EngineCore pid=1) ERROR 11-26 04:00:00 [core.py:1584] EngineCore failed to start.",
        "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}",
    ]
    found = engines.get("vllm").diagnose(log)
    assert found is not None
    assert "KV cache" in found.cause


def test_of_vllms_processes_the_first_that_failed_is_heard() -> None:
    """The others, and the server's own long traceback at the end, only say that one failed."""
    log = (LOGS / "vllm_lacks_a_package.log").read_text().replace("ModuleNotFoundError: No module named 'flashinfer'", "RuntimeError: CUBLAS said no")  # fmt: skip  # noqa: E501
    found = engines.get("vllm").diagnose(log.splitlines())
    assert found
    assert found.line == "RuntimeError: CUBLAS said no"
    assert engines.get("vllm").diagnose([line for line in log.splitlines() if "root cause" not in line]) is None
