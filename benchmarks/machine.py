"""The machine that a results page was made on, in the words that mean something elsewhere."""

from __future__ import annotations

import os
import platform
import re


def system() -> str:
    """`Linux 6.18.44, Python 3.11.7`: the kernel's number alone, for what its builder wrote behind it names a host."""
    number = re.match(r"\d+(\.\d+)*", platform.release())
    return f"{platform.system()} {number[0] if number else ''}, Python {platform.python_version()}"


def cores_and_system() -> str:
    """`2 cores, Linux 6.18.44, Python 3.11.7`."""
    return f"{os.cpu_count()} cores, {system()}"
