"""What a user may write: server specs and workloads, read from YAML or keywords, validated before anything starts."""

from llm_magics.spec.server import ServerSpec
from llm_magics.spec.workload import Point, Slo, Workload

__all__ = ["Point", "ServerSpec", "Slo", "Workload"]
