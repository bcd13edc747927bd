"""What an engine is told of the kernel's environment."""

from __future__ import annotations

import pytest

from llm_magics.runtime.environment import allowed, is_secret, secrets_in, visible_gpus


def test_an_engine_gets_what_it_needs_and_nothing_else() -> None:
    needed = {
        "PATH": "1", "HOME": "2", "LC_ALL": "3", "LD_LIBRARY_PATH": "4", "CUDA_VISIBLE_DEVICES": "5", "HF_TOKEN": "6",
        "HF_HOME": "7", "VLLM_USE_V1": "8", "https_proxy": "9", "XDG_CACHE_HOME": "10", "TMPDIR": "11",
        "SSL_CERT_FILE": "12", "NCCL_DEBUG": "13", "OMP_NUM_THREADS": "14", "HIP_VISIBLE_DEVICES": "15",
    }  # fmt: skip
    others = {
        "PYTHONPATH": "", "PYTHONHOME": "", "VIRTUAL_ENV": "", "AWS_SECRET_ACCESS_KEY": "", "OPENAI_API_KEY": "",
        "JUPYTER_TOKEN": "", "JPY_PARENT_PID": "", "MY_PATH": "", "PATHS": "", "GITHUB_TOKEN": "",
        "LLM_MAGICS_SERVER": "",
    }  # fmt: skip
    assert allowed(needed | others) == needed


@pytest.mark.parametrize(
    "name",
    [
        "HF_TOKEN",
        "OPENAI_API_KEY",
        "MY_SECRET",
        "DB_PASSWORD",
        "KEY",
        "SSH_KEY",
        "apikey",
        "GH_PAT",
        "PROXY_AUTH",
        "PASSPHRASE",
    ],
)
def test_names_of_secrets(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize("name", ["TOKENIZERS_PARALLELISM", "MAX_NUM_BATCHED_TOKENS", "KEYBOARD", "PATH", "MONKEY"])
def test_names_of_other_things(name: str) -> None:
    assert not is_secret(name)


def test_short_values_are_words_not_secrets() -> None:
    assert secrets_in({"HF_TOKEN": "hf_long_enough", "API_KEY": "none", "PATH": "/usr/bin"}) == ["hf_long_enough"]


def test_gpus_are_numbered_as_nvidia_smi_does() -> None:
    assert visible_gpus([]) == {}
    assert visible_gpus([2, 0]) == {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "2,0"}
    assert visible_gpus([], none=True)["CUDA_VISIBLE_DEVICES"] == ""
