"""Two machines' monotonic clocks: how far apart they are, and a bound that the truth cannot leave.

A question sent at t0 and answered at t1 (our clock) was read on the other clock, at r, somewhere in between. So the
offset of the other clock lies in [r - t1, r - t0], whichever way took longer. Of several exchanges the true offset lies
in all intervals at once (Marzullo 1984; NTP takes the shortest round trip, which is the special case of one interval).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

_EXCHANGES = 16


@dataclass(frozen=True)
class Offset:
    """Other clock minus ours, in ns, and how far it may be from that at most (ns)."""

    offset: int
    error: int

    def there(self, ours: int) -> int:
        """A moment of our clock on the other one, ns."""
        return ours + self.offset

    def drift(self, later: Offset) -> int:
        """How far the clocks have moved against each other since, as the estimates say (ns)."""
        return abs(later.offset - self.offset)


def estimate(exchanges: Iterable[tuple[int, int, int]]) -> Offset:
    """From exchanges (asked, other clock's reading, answered), ns; within a second, or drift empties the intersection.

    Raises
    ------
    ValueError
        Without any exchange.
    """
    known = list(exchanges)
    if not known:
        raise ValueError("no exchange, no estimate")
    low = max(reading - answered for asked, reading, answered in known)
    high = min(reading - asked for asked, reading, answered in known)
    if low > high:  # a clock that was stepped in between: what the shortest round trip says
        asked, reading, answered = min(known, key=lambda each: each[2] - each[0])
        low, high = reading - answered, reading - asked
    return Offset((low + high) // 2, -((low - high) // 2))


def measure(read: Callable[[], int], ours: Callable[[], int], exchanges: int = _EXCHANGES) -> Offset:
    """The offset of the clock that `read` asks for."""
    found = []
    for _ in range(exchanges):
        asked = ours()
        reading = read()
        found.append((asked, reading, ours()))
    return estimate(found)
