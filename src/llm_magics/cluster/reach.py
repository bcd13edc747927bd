"""Whether a port can be connected to from this machine."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable


def reach(host: str, port: int, seconds: float, stop: Callable[[], bool] = lambda: False) -> str:
    """Why a port cannot be connected to from here within some seconds; "" when it can."""
    until, why = time.monotonic() + seconds, "nothing was tried"
    while not stop():
        try:
            socket.create_connection((host, port), timeout=min(3.0, seconds)).close()
        except OSError as error:
            why = error.strerror or str(error)
        else:
            return ""
        if time.monotonic() >= until:
            return why
        time.sleep(0.2)
    return why
