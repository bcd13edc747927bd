"""What a user may write: server specs and workloads, read from YAML or keywords, validated before anything starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llm_magics.spec.server import ServerSpec
    from llm_magics.spec.workload import Point, Slo, Workload

__all__ = ["Point", "ServerSpec", "Slo", "Workload"]


def __getattr__(name: str) -> Any:
    """The models when they are first used: building them is half of what a terminal's `list` would cost."""
    if name == "ServerSpec":
        from llm_magics.spec.server import ServerSpec

        return ServerSpec
    if name in __all__:
        from llm_magics.spec import workload

        return getattr(workload, name)
    raise AttributeError(f"module 'llm_magics.spec' has no attribute {name!r}")
