"""What of the kernel's environment an engine sees: an allow-list, so that nothing leaks that was never meant for it.

`PYTHONPATH`, `PYTHONHOME`, `VIRTUAL_ENV` and Jupyter's own variables would break an engine that lives in another
environment than the kernel; cloud credentials and other programs' tokens are none of its business.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from llm_magics.runtime.logs import SHORTEST

_ALLOWED = re.compile(
    r"""
    PATH | HOME | USER | LOGNAME | SHELL | TERM | LANG | LANGUAGE | LC_\w+ | TZ | TMPDIR | TEMP | TMP
    | (LD|DYLD)_LIBRARY_PATH | LD_PRELOAD | XDG_(CACHE|CONFIG|DATA)_HOME | CC | CXX | MALLOC_ARENA_MAX
    | (http|https|no|all)_proxy | (HTTP|HTTPS|NO|ALL)_PROXY | SSL_CERT_\w+ | (REQUESTS|CURL)_CA_BUNDLE
    | (CUDA|NVIDIA|NCCL|HIP|HSA|ROCR|ROCM|RCCL|ZE|ONEAPI|UCX|GLOO|OMP|KMP|MKL|OPENBLAS)_\w+ | GPU_DEVICE_ORDINAL
    | (HF|HUGGINGFACE|TRANSFORMERS|TOKENIZERS|MODELSCOPE|TORCH|PYTORCH|TORCHINDUCTOR|TRITON|FLASHINFER|RAY)_\w+
    | (VLLM|SGLANG|SGL|TRTLLM|TLLM|LLAMA|GGML)_\w+
    """,
    re.VERBOSE,
)
_SECRET_NAME = re.compile(r"(?i)TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|(?:^|_)(?:KEY|PAT|AUTH)$|API_?KEY|ACCESS_KEY")
_NOT_SECRET = re.compile(r"(?i)TOKENIZER|MAX_.*TOKENS|NUM_.*TOKENS|TOKENS_PER")


def allowed(environ: Mapping[str, str]) -> dict[str, str]:
    """The part of an environment that an engine gets."""
    return {name: value for name, value in environ.items() if _ALLOWED.fullmatch(name)}


def is_secret(name: str) -> bool:
    """Whether a variable's name says that its value is a secret."""
    return bool(_SECRET_NAME.search(name)) and not _NOT_SECRET.search(name)


def secrets_in(environ: Mapping[str, str]) -> list[str]:
    """The values of an environment that must not be shown; short ones are words, not secrets."""
    return [value for name, value in environ.items() if is_secret(name) and len(value) >= SHORTEST]


def visible_gpus(gpus: Sequence[int], *, none: bool = False) -> dict[str, str]:
    """Variables that show an engine some GPUs only, by the numbers `nvidia-smi` gives them, or with `none` not one.

    CUDA's own default order is "fastest first", which is another numbering than NVML's.
    """
    if not gpus and not none:
        return {}
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": ",".join(map(str, gpus))}
