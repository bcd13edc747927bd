"""Whether a server falls behind a rate while it is being sent, so that a probe need not go on to its end.

Three signs together, over what was seen since the beginning had settled: the requests in flight grow along a line
whose slope no scatter explains, fewer are answered than arrive, and the time to first token rises. One sign alone is
a burst, or steep by chance for a few seconds. (GuideLLM has a stop for over-saturation too.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

_SETTLE = 1.5  # s from the first request that are the ramp, at least
_LATENCIES = 2.0  # of an unloaded request, that the ramp lasts
_SPAN = 1.5  # s over which the signs must be seen, at least
_LOOKS = 6
_ANSWERED = 0.85  # share of the arrivals that are answered, from which on a server keeps up
_GROWN = 0.5  # growth of the requests in flight, as a share of their mean, and
_LEAST = 4.0  # at least so many
_STEEP = 3.0  # standard errors
_SLOWER = 1.2


class Overload:
    """Watches one probe of an open loop.

    Parameters
    ----------
    rate
        Requests/s that are sent.
    latency
        s that a request takes on an idle server, as far as it is known.
    """

    def __init__(self, rate: float, latency: float | None = None) -> None:
        self.rate = rate
        self.settle = max(_SETTLE, _LATENCIES * (latency or 0.0))
        self._seen: list[tuple[float, int, int, float | None]] = []

    def add(self, elapsed: float, in_flight: int, done: int, ttft: float | None) -> str:
        """One look; why the probe is lost, or "".

        Parameters
        ----------
        elapsed
            s since the first request of the probe.
        in_flight, done
            Requests under way, requests ended.
        ttft
            Mean time to first token (s) since the last look; None where none came.
        """
        if elapsed < self.settle:
            return ""
        self._seen.append((elapsed, in_flight, done, ttft))
        times = [each[0] for each in self._seen]
        span = times[-1] - times[0]
        if span < _SPAN or len(times) < _LOOKS:
            return ""
        flying = [float(each[1]) for each in self._seen]
        slope, error = _line(times, flying)
        grown = slope * span
        answered = (self._seen[-1][2] - self._seen[0][2]) / span
        if slope <= _STEEP * error or grown < max(_LEAST, _GROWN * sum(flying) / len(flying)):
            return ""
        if answered >= _ANSWERED * self.rate or not self._slower():
            return ""
        behind = f"{answered:.3g} of {self.rate:.3g} requests/s were answered"
        return f"{behind}, and those in flight grew by {slope:.2g} a second"

    def _slower(self) -> bool:
        half = len(self._seen) // 2
        early = [each[3] for each in self._seen[:half] if each[3] is not None]
        late = [each[3] for each in self._seen[half:] if each[3] is not None]
        if not early or not late:
            return True  # nothing came any more, or nothing ever did
        return sum(late) / len(late) > _SLOWER * sum(early) / len(early)


def _line(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Slope of the least-squares line through some points, and its standard error."""
    n = len(x)
    middle, height = sum(x) / n, sum(y) / n
    spread = sum((each - middle) ** 2 for each in x)
    slope = sum((a - middle) * (b - height) for a, b in zip(x, y, strict=True)) / spread
    rest = sum((b - height - slope * (a - middle)) ** 2 for a, b in zip(x, y, strict=True))
    return slope, math.sqrt(rest / max(n - 2, 1) / spread)
