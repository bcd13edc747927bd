"""The store of runs as a person asks for it: the newest, one by its name or file, and one more kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llm_magics.errors import SpecError, StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from llm_magics.results.run import Run


def runs(limit: int = 20) -> list[Any]:
    """The newest stored runs as rows (id, name, engine, started, headline figures); recovers interrupted ones."""
    from llm_magics.results.store import RunStore

    store = RunStore()
    store.recover()
    return store.list(limit)


def load_run(reference: str) -> Run:
    """A run by its id (or the start of it), or from a file (see `exchange.read`).

    Raises
    ------
    SpecError
        When there is no such run or file.
    """
    from pathlib import Path

    from llm_magics import views  # noqa: F401 - views registers how a Run is drawn
    from llm_magics.results import exchange
    from llm_magics.results.store import RunStore

    file = Path(reference).expanduser()
    if file.suffix in exchange.ENDINGS:
        if not file.is_file():
            raise SpecError(f"There is no file {reference}.")
        return exchange.read(file)
    try:
        return RunStore().get(reference)
    except KeyError as error:
        several = error.args[1:]
        what = f"{reference!r} is the start of several runs." if several else f"There is no run {reference!r}."
        raise SpecError(what, why=", ".join(several), then="`%llm runs` lists them") from None


def store(run: Run, spools: Sequence[Path]) -> None:
    """Keep a run in the store; the spools that it was written to go when that is done."""
    from llm_magics.results.store import RunStore

    try:
        RunStore().save(run)
    except StoreError as error:
        run.flags.append(f"not stored: {error.what} The measurement is in {', '.join(map(str, spools))}.")
        return
    for path in spools:
        path.unlink(missing_ok=True)
