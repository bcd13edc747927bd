"""Options move between versions of an engine: what the installed one really takes, by its own `--help`.

An option that is gone is put into its new words where that is sure, else refused by name before anything starts, with
what took its place; nothing is left out silently. Asking costs an import of the engine, so it is asked when there is
reason to (a version that the adapter was not written for, or arguments of the user's own), and the answer is kept
until the installation changes.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_magics.engines import memory
from llm_magics.errors import SpecError

if TYPE_CHECKING:
    from llm_magics.engines.base import Engine, Executable
    from llm_magics.spec.server import ServerSpec

_TIMEOUT = 180.0  # s; the help of an engine imports all of it, from a slow disk perhaps
_LOOK = 0.25  # s between two words to who waits
_OPTION = re.compile(r"(?<![\w-])--[A-Za-z][\w-]*")
_LISTED = re.compile(
    r"^[ \t│|*\[(]*(?=-)(.*?)(?:[ \t]{2,}(?![ \t-])|$)", re.MULTILINE
)  # a line's beginning, not its prose
_SIZE = re.compile(r"(\d+)(k|K|Ki)")
_UNITS = {"k": 1000, "K": 1024, "Ki": 1024}  # vLLM writes 8K, SGLang 8Ki for 8192; a plain number both take
_COUNTS = ("max_model_len", "max_num_seqs", "max_num_batched_tokens")  # options whose flags take a number of tokens


def informed(
    engine: Engine, executable: Executable, spec: ServerSpec, on_wait: Callable[[float], None] | None = None
) -> Executable:
    """The engine with the options it takes (`flags`), where there is reason to ask it; else as it was.

    `on_wait` is told every quarter of a second for how long, s, the engine has been asked.
    """
    known_version = any(f"{executable.version}.".startswith(f"{tested}.") for tested in engine.tested)
    if known_version and not any(word.startswith("--") for word in spec.args):
        return executable
    return replace(executable, flags=known(engine, executable, on_wait))


def known(
    engine: Engine, executable: Executable, on_wait: Callable[[float], None] | None = None
) -> frozenset[str] | None:
    """Every `--option` in the installed engine's own help; None where it cannot be asked or says too little."""
    command = engine.help_command(executable)
    if command is None:
        return None
    place = Path(executable.python or executable.binary or "")
    try:
        stamp: list[Any] = [executable.version, command, *_changes(place)]
    except OSError:
        return None
    answer = memory.kept(f"flags {engine.key} {place}", stamp, lambda: _ask(command, on_wait))
    return frozenset(answer["flags"]) if answer else None


def fitted(engine: Engine, argv: list[str], executable: Executable) -> list[str]:
    """A command's arguments as the installed version takes them.

    Raises
    ------
    SpecError
        For an option that this version does not have and that no other option of it stands for.
    """
    words = list(_plain_sizes(engine, argv))
    return words if executable.flags is None else list(_translated(engine, words, executable, executable.flags))


def _translated(engine: Engine, argv: list[str], executable: Executable, flags: frozenset[str]) -> Iterator[str]:
    words = iter(argv)
    for word in words:
        name, equals, value = word.partition("=")
        stem, dot, rest = name.partition(".")  # vLLM: --speculative-config.method
        if not word.startswith("--") or word == "--" or stem in flags:
            yield word
            continue
        other = next((each for each in (_swapped(stem), *engine.renamed.get(stem, ())) if each in flags), None)
        if other is not None:
            yield f"{other}{dot}{rest}{equals}{value}"
        elif stem in engine.replaced:
            given = value if equals else next(words, "")
            yield from _in_new_words(engine, executable, stem, given, flags)
        elif len([each for each in flags if each.startswith(stem)]) != 1:  # argparse takes a beginning that is unique
            raise _gone(engine, executable, stem, flags)
        else:
            yield word


def _in_new_words(engine: Engine, executable: Executable, stem: str, given: str, flags: frozenset[str]) -> list[str]:
    new = engine.replaced[stem].get(given)
    if new is None or any(word.startswith("--") and word not in flags for word in new):
        raise _gone(engine, executable, f"{stem} {given}", flags)
    return list(new)


def _gone(engine: Engine, executable: Executable, said: str, flags: frozenset[str]) -> SpecError:
    stem = said.split(" ")[0]
    beginnings = sorted(each for each in flags if each.startswith(stem))
    close = beginnings[:4] or get_close_matches(stem, flags, n=2, cutoff=0.75)
    instead = engine.gone.get(stem) or (f"did you mean {' or '.join(close)}?" if close else "leave it out")
    return SpecError(
        f"{engine.title} {executable.version} has no option {said}.",
        why=f"its own --help does not list it ({executable.python or executable.binary})",
        then=instead,
    )


def _plain_sizes(engine: Engine, argv: list[str]) -> Iterator[str]:
    """`8K` and `8Ki` mean the same to people and not to engines: numbers of tokens are written out."""
    takes_tokens = set()
    for option in _COUNTS:
        names = getattr(engine.options.get(option), "name", ())
        takes_tokens |= {names} if isinstance(names, str) else set(names)
    takes_tokens |= {_swapped(name) for name in takes_tokens}
    before = ""
    for word in argv:
        name, equals, value = word.partition("=")
        if equals and name in takes_tokens and (found := _SIZE.fullmatch(value)):
            yield f"{name}={int(found[1]) * _UNITS[found[2]]}"
        elif before in takes_tokens and (found := _SIZE.fullmatch(word)):
            yield str(int(found[1]) * _UNITS[found[2]])
        else:
            yield word
        before = word


def _swapped(name: str) -> str:
    """The same name with dashes for underscores, or the other way round."""
    stem = name[2:]
    return "--" + (stem.replace("_", "-") if "_" in stem else stem.replace("-", "_"))


def _changes(place: Path) -> list[float]:
    """Changes when the engine is installed anew."""
    folders = sorted(place.parent.parent.glob("lib*/python3*/site-packages"))
    return [place.stat().st_mtime, *(folder.stat().st_mtime for folder in folders)]


def _ask(command: list[str], on_wait: Callable[[float], None] | None) -> dict[str, Any] | None:
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    # Wide, so that no table cuts a name; no GPU and no hub, because only words are wanted.
    env |= {"COLUMNS": "400", "TERM": "dumb", "NO_COLOR": "1", "HF_HUB_OFFLINE": "1", "VLLM_LOGGING_LEVEL": "ERROR"}
    try:
        asked = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, errors="replace",
            env=env, cwd="/", stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except OSError:
        return None
    with asked:
        try:
            said = _said(asked, on_wait)
        finally:
            asked.kill()  # does nothing to one that has ended
    flags = sorted({option for listed in _LISTED.findall(said) for option in _OPTION.findall(listed)})
    # A program that fails says little: a help without a port is none.
    return {"flags": flags} if asked.returncode == 0 and "--port" in flags else None


def _said(asked: subprocess.Popen[str], on_wait: Callable[[float], None] | None) -> str:
    """What it wrote until it ended; "" when its time was over."""
    begun = time.monotonic()
    while (waited := time.monotonic() - begun) < _TIMEOUT:
        try:
            return asked.communicate(timeout=_LOOK)[0]
        except subprocess.TimeoutExpired:
            if on_wait:
                on_wait(waited)
    return ""
