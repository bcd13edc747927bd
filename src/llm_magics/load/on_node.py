"""Asked on a node of a cluster, from a parcel: does the load generator run here, and can the server be reached?"""

from __future__ import annotations

import importlib
import json
import socket
import sys
from typing import Any

_OLDEST = (3, 11)
_PATIENCE = 5.0  # s for a connection


def examine(question: dict[str, Any]) -> dict[str, str]:
    """`missing` or `unreachable`, in words; nothing when all is well."""
    if sys.version_info < _OLDEST:
        return {"missing": f"it has Python {sys.version_info[0]}.{sys.version_info[1]}; 3.11 or newer is needed"}
    try:
        importlib.import_module("llm_magics.load.worker")
    except ImportError as error:
        return {"missing": str(error)}
    try:
        socket.create_connection((question["host"], question["port"]), timeout=_PATIENCE).close()
    except OSError as error:
        return {"unreachable": error.strerror or str(error)}
    return {}


if __name__ == "__main__":
    print(json.dumps(examine(json.load(sys.stdin))))  # noqa: T201 - the answer
