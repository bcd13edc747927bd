"""In which format a model is, in the words of `recommend`'s question: from its files, else from how it is called."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llm_magics import models as shipped
from llm_magics.errors import SpecError

_NAMES = (
    (r"[-_.]gguf(?:$|[-_:])|\.gguf$|:(?:I?Q\d\w*|F16|BF16)$", "gguf"), (r"[-_]awq(?:$|[-_])", "awq"),
    (r"[-_]gptq(?:$|[-_])", "gptq"), (r"[-_](?:nvfp4|fp4)(?:$|[-_])", "nvfp4"), (r"[-_]mxfp4(?:$|[-_])", "mxfp4"),
    (r"[-_]fp8(?:$|[-_])", "fp8"), (r"[-_](?:bnb|bitsandbytes)(?:$|[-_])", "bitsandbytes"),
)  # fmt: skip
_METHODS = {
    "awq": "awq", "gptq": "gptq", "fp8": "fp8", "fbgemm_fp8": "fp8", "mxfp4": "mxfp4", "bitsandbytes": "bitsandbytes",
    "gguf": "gguf",
}  # fmt: skip


def format_of(model: str) -> str | None:
    """The format; None where the model is in several (the shipped one) or nothing tells.

    A local path that does not exist is no error here: whoever serves it will say so.
    """
    if shipped.is_shipped(model):
        return None
    from llm_magics.advice.model_facts import facts

    by_name = next((word for pattern, word in _NAMES if re.search(pattern, model, re.IGNORECASE)), None)
    try:
        found = facts(model, online=False)
    except SpecError:
        return by_name
    if found.format == "gguf":
        return "gguf"
    return of_quantization(found.architecture.quantization) if found.architecture.quantization else "safetensors"


def usual_format(model: str) -> str | None:
    """What a name that nothing is known of usually means: safetensors of the hub; a word alone, Ollama's GGUF."""
    if shipped.is_shipped(model) or Path(model).expanduser().exists():
        return None
    return "safetensors" if "/" in model else "gguf"


def of_quantization(config: Mapping[str, Any]) -> str:
    """The format that a checkpoint's `quantization_config` means; `safetensors` where the questions have no word."""
    method = str(config.get("quant_method") or "").lower().replace("-", "_")
    if method in _METHODS:
        return _METHODS[method]
    if method.startswith("modelopt") or "quant_algo" in config:
        return "nvfp4" if "FP4" in str(config.get("quant_algo", "")).upper() else "fp8"
    groups = config.get("config_groups")
    first: Any = next(iter(groups.values()), {}) if isinstance(groups, Mapping) else {}
    weights = first.get("weights") if isinstance(first, Mapping) else None
    if isinstance(weights, Mapping) and weights.get("type") == "float":
        return {8: "fp8", 4: "nvfp4"}.get(int(weights.get("num_bits") or 0), "safetensors")
    return "safetensors"
