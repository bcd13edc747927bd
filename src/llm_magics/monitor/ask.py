"""Asking Prometheus: its HTTP API, as far as panels, status and runbooks need it."""

from __future__ import annotations

import http.client
import json
import math
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Any

from llm_magics.errors import LLMMagicsError

_PATIENCE = 10.0  # s for an answer
_LARGEST = 64 * 2**20  # bytes of one


@dataclass(frozen=True)
class Series:
    """One series: its labels, times (s since the epoch) and values; samples that are no number are left out."""

    labels: dict[str, str]
    times: list[float]
    values: list[float]


class Prometheus:
    """A Prometheus server.

    Parameters
    ----------
    url
        Its base URL.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        # No proxy: it listens on the loopback interface, or is named by a user who knows where.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ready(self) -> bool:
        """Whether it says so."""
        try:
            with self._opener.open(f"{self.url}/-/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except (OSError, http.client.HTTPException):
            return False

    def now(self, expr: str) -> list[Series]:
        """An expression's value now, one sample a series (errors as in `get`)."""
        return _series(self.get("query", query=expr)["result"], "value")

    def over(self, expr: str, start: float, end: float, step: float) -> list[Series]:
        """An expression over time; `start`, `end` in s since the epoch, `step` in s (errors as in `get`)."""
        found = self.get("query_range", query=expr, start=f"{start:.3f}", end=f"{end:.3f}", step=f"{step:.3f}")
        return _series(found["result"], "values")

    def targets(self) -> list[dict[str, Any]]:
        """What it scrapes: `labels`, `health`, `lastError`, … (errors as in `get`)."""
        return list(self.get("targets", state="active")["activeTargets"])

    def rules(self) -> list[dict[str, Any]]:
        """Every rule that is loaded: `name`, `type`, `query`, `health`, `state`, … (errors as in `get`)."""
        return [rule for group in self.get("rules")["groups"] for rule in group["rules"]]

    def alerts(self) -> list[dict[str, Any]]:
        """Alerts that are pending or fire: `labels`, `annotations`, `state`, `activeAt`, `value` (errors: `get`)."""
        return list(self.get("alerts")["alerts"])

    def get(self, what: str, **query: str) -> Any:
        """The data of an answer of `/api/v1/WHAT`.

        Raises
        ------
        LLMMagicsError
            When nothing answers, or it refuses; in its own words.
        """
        address = f"{self.url}/api/v1/{what}?{urllib.parse.urlencode(query)}"
        try:
            with self._opener.open(address, timeout=_PATIENCE) as answer:
                return json.loads(answer.read(_LARGEST))["data"]
        except urllib.error.HTTPError as error:
            raise LLMMagicsError("Prometheus refused a question.", why=_refusal(error), then="") from None
        except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
            raise LLMMagicsError(
                f"Prometheus at {self.url} does not answer.", why=str(error), then="%llm monitor status"
            ) from None


def _refusal(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read(65536))["error"])
    except (OSError, ValueError, KeyError, TypeError):
        return str(error)


def _series(result: list[dict[str, Any]], key: str) -> list[Series]:
    found = []
    for each in result:
        pairs = [(float(time), float(value)) for time, value in ([each[key]] if key == "value" else each[key])]
        kept = [(time, value) for time, value in pairs if math.isfinite(value)]
        labels = {name: value for name, value in each["metric"].items() if name != "__name__"}
        found.append(Series(labels, [time for time, _ in kept], [value for _, value in kept]))
    return found
