"""What is newer than the engines that are installed: asked of the package index, through pip's own client.

pip knows the index that this machine uses, with its proxies and its certificates; nothing else is asked. An engine that
is a program and no package has no such index: its release page is named.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from llm_magics import engines
from llm_magics.engines import environments

if TYPE_CHECKING:
    from llm_magics.engines.base import Engine, Executable

_PATIENCE = 60.0  # s for one question to the index
_NEWEST = re.compile(r"^[\w.-]+ \(([^)]+)\)$", re.MULTILINE)


@dataclass(frozen=True)
class Release:
    """An installed engine beside its newest release.

    Attributes
    ----------
    newest
        The newest version that pip would install; "" when it could not be told.
    state, why
        `newest`, `outdated` or `unknown`, and what there is to say about it.
    notes
        Where the makers say what changed.
    flags
        Options of the engine's command line that the adapter knows to be gone or renamed -> what to write instead.
    """

    key: str
    title: str
    installed: str
    newest: str
    state: str
    why: str
    notes: str
    flags: Mapping[str, str] = field(default_factory=dict)


def outdated() -> list[Release]:
    """Every installed engine beside its newest release; the index is asked for all of them at once."""
    found = [(engine, here) for key in engines.names() if (here := environments.locate(engine := engines.get(key)))]
    with ThreadPoolExecutor(max_workers=4) as pool:
        return list(pool.map(lambda pair: release(*pair), found))


def release(engine: Engine, here: Executable) -> Release:
    """One installed engine beside its newest release."""
    newest, why = _newest(engine, here)
    state = "unknown"
    if newest:
        state = "newest" if number(here.version) >= number(newest) else "outdated"
    if state == "outdated" and not any(f"{newest}.".startswith(f"{each}.") for each in engine.tested):
        why = "newer than what this llm-magics was tested with: its own --help is asked for every flag"
    # Two names that stand for each other, whichever a version knows, tell a reader nothing of what changed.
    one_way = {
        old: new for old, new in engine.renamed.items() if not any(old in engine.renamed.get(each, ()) for each in new)
    }
    flags = {**{old: " or ".join(new) for old, new in one_way.items()}, **engine.gone}
    return Release(engine.key, engine.title, here.version, newest, state, why, engine.releases or engine.url, flags)


def number(version: str) -> tuple[int, ...]:
    """The release segment of a version as numbers, for ordering: `0.32.0+cpu` is (0, 32, 0)."""
    found = re.match(r"v?(\d+(?:\.\d+)*)", version)
    return tuple(int(part) for part in found[1].split(".")) if found else ()


def _newest(engine: Engine, here: Executable) -> tuple[str, str]:
    if not here.python or not engine.install.distributions:
        return "", "a program, no package: its release page says what is new"
    cpu = [name for name in engine.install.distributions if name.endswith("-cpu")]
    name = cpu[0] if cpu and here.version.endswith("+cpu") else engine.install.distributions[0]
    options = ["--disable-pip-version-check", "--no-input", "--retries", "0", "--timeout", "15"]
    command = [here.python, "-m", "pip", *options, "index", "versions", name]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_PATIENCE, stdin=subprocess.DEVNULL, cwd="/"
        )
    except (OSError, subprocess.SubprocessError) as error:
        return "", f"the package index did not answer ({type(error).__name__})"
    answer = _NEWEST.search(done.stdout)
    if done.returncode == 0 and answer:
        return answer[1], ""
    if "No module named pip" in done.stderr:
        return "", "its environment has no pip to ask the index with"
    return "", "the package index did not answer: no network, or no such package there"
