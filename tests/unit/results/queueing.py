"""A server whose capacity is known by theory, for searches: M/M/1, or one that decodes streams side by side.

`Queue` serves one request after another with exponential times: of requests that arrive at random with rate r, the
share that is out within t is 1 - exp(-(mu - r) t), so the highest rate that keeps share p within t is
mu + ln(1 - p) / t. `Batch` takes a + b * n for a request beside n - 1 others, up to `slots` at once; the rest waits.
"""

from __future__ import annotations

import numpy as np

from llm_magics.results.overload import Overload
from llm_magics.results.probe import Probe
from llm_magics.results.statistics import dependence


class Queue:
    """M/M/1 with `mu` requests/s; limit in s of the whole time in the system."""

    def __init__(self, mu: float, limit: float, seed: int = 0) -> None:
        self.mu, self.limit = mu, limit
        self.random = np.random.default_rng(seed)
        self.clock = 0.0

    def capacity(self, share: float) -> float:
        return self.mu + float(np.log(1 - share)) / self.limit

    def probe(self, load: float, seconds: float) -> Probe:
        count = max(1, round(load * seconds))
        gaps = self.random.exponential(1.0, count)
        arrive = np.cumsum(gaps) * count / load / gaps.sum()
        serve = self.random.exponential(1 / self.mu, count)
        done = np.empty(count)
        free = 0.0
        for i in range(count):
            free = max(free, arrive[i]) + serve[i]
            done[i] = free
        lost, end = self._watched(load, arrive, done)
        kept = (arrive >= float(np.median(done - arrive))) & (done <= end)
        good = (done - arrive)[kept] <= self.limit
        alike = dependence([good.astype(float)]) if good.any() and not good.all() else None
        until = min(end, float(arrive[-1]))
        flying = [np.sum((arrive <= now) & (done > now)) for now in np.linspace(0, until, 200)]
        self.clock += end
        return Probe(
            load, int(kept.sum()), int(good.sum()), throughput=float(np.sum(done <= end)) / end,
            latency=float((done - arrive)[kept].mean()) if kept.any() else None, seconds=end,
            growth=float(np.mean(flying[100:]) - np.mean(flying[:100])), tau=alike.tau if alike else 1.0,
            overloaded=lost,
        )  # fmt: skip

    def _watched(self, load: float, arrive: np.ndarray, done: np.ndarray) -> tuple[str, float]:
        """As the load generator would look at it, four times a second."""
        watch, last = Overload(load, 1 / self.mu), float(done.max())
        for now in np.arange(0.25, last, 0.25):
            came = (done <= now) & (done > now - 0.25)
            ttft = float((done - arrive)[came].mean()) if came.any() else None
            if why := watch.add(
                float(now), int(np.sum((arrive <= now) & (done > now))), int(np.sum(done <= now)), ttft
            ):
                return why, float(now)
        return "", last


class Batch:
    """A closed loop's server: a request beside n - 1 others takes a + b * n seconds, up to `slots` at once."""

    def __init__(self, a: float, b: float, slots: int, noise: float = 0.01, seed: int = 0) -> None:
        self.a, self.b, self.slots, self.noise = a, b, slots, noise
        self.random = np.random.default_rng(seed)
        self.clock = 0.0

    def throughput(self, streams: float) -> float:
        beside = min(streams, self.slots)
        return beside / (self.a + self.b * beside)

    def probe(self, load: float, seconds: float) -> Probe:
        self.clock += seconds
        seen = self.throughput(load) * float(np.exp(self.random.normal(0, self.noise)))
        return Probe(
            load, round(seen * seconds), throughput=seen, tokens=64 * seen, latency=load / seen, seconds=seconds
        )
