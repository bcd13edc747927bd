"""How the monitor is to run: what may be written behind `%llm monitor up`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from llm_magics.spec.quantities import Seconds


class MonitorSpec(BaseModel):
    """Prometheus and Alertmanager as a user asked for them."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)

    on: Literal["auto", "local", "docker", "podman"] = "auto"
    """`local`: programs on PATH; `docker` or `podman`: their images; `auto`: whichever is here, in this order."""
    port: int | None = Field(default=None, ge=1, le=65535)
    """Prometheus' port; a free one when left out."""
    alertmanager_port: int | None = Field(default=None, ge=1, le=65535)
    """Alertmanager's port; a free one when left out."""
    limits: dict[str, Any] = Field(default_factory=dict)
    """When alerts are raised: ttft=500ms,tpot=50ms,queue=4,errors=0.05 …; docs/alerts.md lists them."""
    every: Annotated[Seconds, Field(ge=1, le=300)] = 5.0
    """How often servers are looked at (1s, 15s)."""
    hold: Annotated[Seconds, Field(le=86400)] | None = None
    """How long any alert must be true before it fires; each has its own time when left out."""
    retention: Annotated[Seconds, Field(ge=3600)] = 15 * 86400.0
    """How long measurements are kept (7d, 12h)."""
    size: int = Field(default=1024, ge=64)
    """Most that measurements may take on the disk, MB."""
