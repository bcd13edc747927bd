"""How long each spec took to be ready the last time, so that a waiting person can be told what to expect."""

from __future__ import annotations

import json
from pathlib import Path

from llm_magics.runtime.private_files import write_whole

_KEPT = 200
_TOLD = 0.5  # s; what is shorter is told as 0 s, and over when it is read


class StartTimes:
    """Seconds from launch to ready, by reuse key; the most recent ones."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "start-times.json"

    def expected(self, reuse_key: str) -> float | None:
        """s that this spec took the last time; None where that is unknown, or too short to be told."""
        found = self._read().get(reuse_key)
        return None if found is None or found < _TOLD else found

    def remember(self, reuse_key: str, seconds: float) -> None:
        """Keep what a start took. Two at once may forget one of them; that costs an estimate, nothing else."""
        times = self._read()
        times.pop(reuse_key, None)
        times[reuse_key] = round(seconds, 2)
        write_whole(self._path, json.dumps(dict(list(times.items())[-_KEPT:])))

    def _read(self) -> dict[str, float]:
        try:
            times = json.loads(self._path.read_bytes())
        except (OSError, ValueError):
            return {}
        if not isinstance(times, dict):
            return {}
        return {str(key): float(value) for key, value in times.items() if isinstance(value, (int, float))}
