"""What tokens cost, where a price was given: per GPU, per dollar. No price is ever assumed.

`price` is dollars an hour: a number (of each GPU, or of the server where it uses none), `{gpu: 2.5}` or
`{server: 1.2}`. How many GPUs a server uses is known for servers of ours; of a URL nothing is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KEYS = (
    "output_throughput_per_gpu", "dollars_per_hour", "output_tokens_per_dollar", "dollars_per_million_output_tokens",
)  # fmt: skip


def gpus_used(header: Mapping[str, Any]) -> int | None:
    """How many GPUs the server uses; None where that is not known."""
    used = header.get("gpus_used", header.get("gpus"))
    return len(used) if isinstance(used, (list, tuple)) else None


def dollars_per_hour(price: Any, gpus: int | None) -> float | None:
    """What the server costs in an hour; None without a price, or where a price of a GPU meets an unknown number."""
    if isinstance(price, Mapping):
        if price.get("server") is not None:
            return float(price["server"])
        return float(price["gpu"]) * gpus if price.get("gpu") is not None and gpus else None
    if isinstance(price, (int, float)) and not isinstance(price, bool):
        return float(price) * (gpus or 1)
    return None


def figures(header: Mapping[str, Any], output_throughput: float | None) -> dict[str, float | None]:
    """A point's cost, by `KEYS`: tokens/s of each GPU, $/h, output tokens a dollar buys, $ for a million of them."""
    gpus = gpus_used(header)
    hour = dollars_per_hour((header.get("workload") or {}).get("price"), gpus)
    per_dollar = output_throughput * 3600 / hour if output_throughput and hour else None
    return {
        "output_throughput_per_gpu": output_throughput / gpus if output_throughput is not None and gpus else None,
        "dollars_per_hour": hour,
        "output_tokens_per_dollar": per_dollar,
        "dollars_per_million_output_tokens": 1e6 / per_dollar if per_dollar else None,
    }
