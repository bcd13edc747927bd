"""Short names of runs: ids that sort by time."""

from __future__ import annotations

import re
import secrets
import time

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_ID = re.compile(r"r(?=[a-z]*\d)[0-9a-z]{3,15}")


def new_id(now: float | None = None) -> str:
    """An id such as `rtm2k9x7q4`: `r`, the second in base 36 (so that ids sort by time), three letters at random.

    The first of the three is a digit, so that every id is recognized by `is_id`.

    Parameters
    ----------
    now
        Seconds since the epoch; the present moment when left out.
    """
    tail = secrets.choice(_DIGITS[:10]) + secrets.choice(_DIGITS) + secrets.choice(_DIGITS)
    return f"r{_base36(int(time.time() if now is None else now))}{tail}"


def is_id(text: str) -> bool:
    """Whether a text can be a run's id or the start of one: `r`, letters and digits, at least one digit."""
    return _ID.fullmatch(text) is not None


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, rest = divmod(number, 36)
        digits = _DIGITS[rest] + digits
    return digits or "0"
