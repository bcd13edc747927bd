"""One load of a search, measured: what it showed, and what was decided of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Probe:
    """One load, measured once or several times.

    Attributes
    ----------
    load
        Requests/s or streams.
    requests, good
        Requests that were judged, and those of them that met the SLO (0 without one).
    throughput, tokens
        Requests and output tokens answered per second.
    latency
        Mean time of a request, s; None when none was answered.
    growth
        How the requests in flight grew: mean of the second half less that of the first.
    seconds, tries
        How long it took, and how often it was measured.
    tau
        How many requests say as much as one independent one (`statistics.dependence` of their being good).
    overloaded
        Why it was stopped before its end; "" when it was not.
    unanswered
        Requests of all judged that failed or were given up on.
    cut
        Whether the budget or an interrupt ended it: those in flight, the slow ones, are not among its requests.
    holds, sure
        What was decided, and whether the interval made it clear.
    low, high
        The interval of the goodput; None without an SLO.
    """

    load: float
    requests: int
    good: int = 0
    throughput: float = 0.0
    tokens: float = 0.0
    latency: float | None = None
    growth: float = 0.0
    seconds: float = 0.0
    tries: int = 1
    tau: float = 1.0
    overloaded: str = ""
    unanswered: int = 0
    cut: bool = False
    holds: bool = False
    sure: bool = False
    low: float | None = None
    high: float | None = None

    @property
    def goodput(self) -> float | None:
        """Share of the judged requests that met the SLO."""
        return self.good / self.requests if self.requests and self.low is not None else None

    @property
    def power(self) -> float:
        """Throughput / mean time of a request, 1/s²."""
        return self.throughput / self.latency if self.latency else 0.0

    @property
    def whole(self) -> bool:
        """Whether every request of it was answered."""
        return not (self.unanswered or self.overloaded)


def pooled(a: Probe, b: Probe) -> Probe:
    """Two measurements of one load as one; means are weighted by how long each took."""
    seconds = a.seconds + b.seconds or 1.0
    share = a.seconds / seconds

    def mean(left: float | None, right: float | None) -> float | None:
        return right if left is None else left if right is None else share * left + (1 - share) * right

    return Probe(
        a.load, a.requests + b.requests, a.good + b.good,
        throughput=mean(a.throughput, b.throughput) or 0.0, tokens=mean(a.tokens, b.tokens) or 0.0,
        latency=mean(a.latency, b.latency), growth=mean(a.growth, b.growth) or 0.0,
        seconds=seconds, tries=a.tries + b.tries, tau=mean(a.tau, b.tau) or 1.0,
        # overloaded once out of several times may have been a burst
        overloaded=b.overloaded if a.overloaded else "", unanswered=a.unanswered + b.unanswered,
    )  # fmt: skip
