"""Open files: a connection is one, and a system lets a process have only so many."""

from __future__ import annotations

from contextlib import suppress

from llm_magics.errors import LoadError

_SPARE = 64  # for all that is not a connection


def raise_limit() -> None:
    """Raise this process's soft limit to the hard one."""
    try:
        import resource
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def check(connections: int) -> None:
    """Refuse more connections at once than a process can have with its soft limit raised.

    Raises
    ------
    LoadError
        Says how many there can be.
    """
    try:
        import resource
    except ImportError:
        return
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and connections + _SPARE > hard:
        raise LoadError(
            f"{connections} connections at once were asked for; this system lets a process open {hard} files.",
            then="ask for fewer, or raise the hard limit (`ulimit -Hn`) before the kernel starts",
        )
