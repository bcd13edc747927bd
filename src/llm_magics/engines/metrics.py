"""What a running server says of itself, under the same names for every engine.

A value that the engine does not export is absent, never zero: zero waiting requests is a finding, no figure is none.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from llm_magics.engines.base import Engine

_SAMPLE = re.compile(r"(?P<name>[A-Za-z_:][\w:]*)(?:\{(?P<labels>.*)\})?\s+(?P<value>\S+)(?:\s+-?\d+)?\s*")
_LABEL = re.compile(r'([A-Za-z_]\w*)="((?:[^"\\]|\\.)*)"')
_ESCAPES = {r"\\": "\\", r"\"": '"', r"\n": "\n"}
_SHARES = frozenset({"kv_usage"})  # of several engines behind one server these are averaged, not added
_LARGEST = 8 * 2**20  # bytes of a page; vLLM's has 55 kB


class Sample(NamedTuple):
    """One line of a page of metrics."""

    name: str
    labels: dict[str, str]
    value: float


def parse(text: str) -> list[Sample]:
    """The samples of a page in Prometheus' text format 0.0.4; lines that are none are passed over."""
    samples = []
    for line in text.splitlines():
        found = _SAMPLE.fullmatch(line)
        if not found:
            continue
        try:
            value = float(found["value"])
        except ValueError:
            continue
        labels = {name: re.sub(r"\\.", _unescaped, said) for name, said in _LABEL.findall(found["labels"] or "")}
        samples.append(Sample(found["name"], labels, value))
    return samples


def portable(samples: Iterable[Sample], names: Mapping[str, Iterable[str]]) -> dict[str, float]:
    """Samples under portable names (see `base.Metrics`): counts summed over labels, shares (0 to 1) averaged."""
    values: dict[str, list[float]] = {}
    for sample in samples:
        if math.isfinite(sample.value):
            values.setdefault(sample.name, []).append(sample.value)
    found = {}
    for name, candidates in names.items():
        for candidate in candidates:
            parts = [values.get(part) for part in candidate.split(" + ")]
            if all(parts):
                total = sum(sum(part) for part in parts if part)
                found[name] = total / len(parts[0] or ()) if name in _SHARES else total
                break
    return found


def said(page: str, names: Mapping[str, Iterable[str]]) -> dict[str, float]:
    """What a page says under portable names; only the lines that are meant are taken apart, of hundreds a dozen."""
    meant = tuple(
        {part for candidates in names.values() for candidate in candidates for part in candidate.split(" + ")}
    )
    return portable(parse("\n".join(line for line in page.splitlines() if line.startswith(meant))), names)


def read(url: str, engine: Engine, api_key: str | None = None, timeout: float = 2) -> dict[str, float]:
    """What the server at `url` (without /v1) exports now, under portable names.

    Parameters
    ----------
    timeout
        s for the whole answer to begin; a server that is busy or gone gives {}.
    """
    if engine.metrics is None:
        return {}
    # Here, because a supervisor reads pages too, by its own means: urllib brings ssl, a quarter of its memory.
    import http.client
    import urllib.request

    if engine.metrics.beside:
        base, _, port = url.rstrip("/").rpartition(":")
        url = f"{base}:{int(port) + engine.metrics.beside}"
    request = urllib.request.Request(url.rstrip("/") + engine.metrics.path)  # noqa: S310 - http, to a server of ours
    if api_key:
        request.add_header("Authorization", f"Bearer {api_key}")
    # No proxy: the server listens on the loopback interface.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=timeout) as answer:
            text = answer.read(_LARGEST).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException, ValueError):  # HTTPException: an answer that breaks off, or is none
        return {}
    return said(text, engine.metrics.names)


def _unescaped(found: re.Match[str]) -> str:
    return _ESCAPES.get(found[0], found[0])
