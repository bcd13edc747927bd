"""`llm-magics VERB` in a terminal: the same verbs as `%llm`, and serve, bench and compare without a notebook.

Exit status: 0, 1 (failed, the reason on stderr), 2 (wrong usage, a name that nobody has among it). `--json` prints one
JSON document on stdout, and `list --json --watch` one a line.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from llm_magics import verbs
from llm_magics.answer import Answer
from llm_magics.errors import LLMMagicsError, SpecError
from llm_magics.reader import while_read
from llm_magics.spec.line import HelpShown
from llm_magics.spec.typed import PROG, in_terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from llm_magics.results.sweep import Sweep


_USAGE = f"""usage: {PROG} VERB [options]      ({PROG} VERB --help explains one; --json prints one JSON document)

serve      start a server that goes on when this command has ended
bench      load-test a server or a URL
compare    put servers, URLs, engines or finished runs side by side
{verbs.summaries()}"""


def main(argv: list[str] | None = None) -> int:
    """Run one verb; returns the exit status."""
    try:
        status = _run(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # The reader (head, less) has what it wanted; Python would complain once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _run(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(_USAGE)
        return 0 if words else 2
    if words[0] == "--version":
        from llm_magics import __version__

        print(__version__)
        return 0
    as_json = "--json" in words
    try:
        answer = _answer(words[0], [word for word in words[1:] if word != "--json"])
        _say(answer, as_json=as_json, verbatim=words[0] == "logs")
        return int(answer.failed)
    except HelpShown as help_text:
        print(in_terminal(str(help_text)))
    except SpecError as error:
        print(in_terminal(str(error)), file=sys.stderr)
        return 2
    except LLMMagicsError as error:
        print(in_terminal(str(error)), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        # While they measure, `bench` and `compare` end with a run; it may come before, between two, or after.
        said = f"; `{PROG} runs` lists what was measured until then" if words[0] in _MEASURING else ""
        print(f"interrupted{said}", file=sys.stderr)
        return 1
    return 0


def _answer(verb: str, words: list[str]) -> Answer:
    if verb in _COMMANDS:
        with _told_to_end(by_interrupt=verb in _MEASURING):
            return _COMMANDS[verb](words)
    options = verbs.parser(verb, PROG).read(words)
    return verbs.VERBS[verb].run(options)


@contextmanager
def _told_to_end(*, by_interrupt: bool) -> Iterator[None]:
    """Inside, SIGTERM (of `timeout`, of CI) does what ^C does: what was measured is kept and said."""
    here = threading.current_thread() is threading.main_thread()
    if not by_interrupt or not here or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _say(answer: Answer, *, as_json: bool, verbatim: bool = False) -> None:
    if as_json and answer.data is not None:
        print(_json(answer.data))
        return
    if as_json and (messages := answer.messages):
        while_read(lambda: messages(lambda message: print(_json(message), flush=True)))
        return
    if stream := answer.stream:
        if as_json:
            raise SpecError("This goes on line by line; there is no JSON of it.", then="leave --json out")
        while_read(lambda: stream(lambda line: print(line if verbatim else in_terminal(line), flush=True)))
    if answer.shown is not None:
        print(answer.shown if verbatim else in_terminal(str(answer.shown)))


def _json(value: Any) -> str:
    return json.dumps(_finite(value), default=str, allow_nan=False)


def _finite(value: Any) -> Any:
    """JSON knows no NaN and no infinity: null, and the text `inf`."""
    if isinstance(value, dict):
        return {str(key): _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "inf" if value > 0 else "-inf"
    return value


def _serve(words: list[str]) -> Answer:
    from llm_magics import lines
    from llm_magics.runtime.registry import Registry
    from llm_magics.views.cards import planned

    asked = lines.serve(PROG).read(words)
    options = lines.given(asked, "name", "no_wait", "replace", "dry_run")
    if asked.dry_run:
        from llm_magics.api.serving import dry_run

        command = dry_run(asked.name, **options)
        return Answer(command, {"command": command})
    from llm_magics.api import serve

    server = serve(asked.name, wait=not asked.no_wait, replace=asked.replace, **{**lines.IN_TERMINAL, **options})
    key = Registry().key_path(server.name)
    record, state = server.record, f"running already, {server.state}" if server.reused else server.state
    shown = f"{server.name} is {state} at {server.url}" + (f" (API key in {key})" if key.exists() else "")
    if server.lived:
        shown += f"\nit lives {planned(record)} now; before this: {server.lived}"
    return Answer(shown, record.to_json())


def _bench(words: list[str]) -> Answer:
    from llm_magics import lines
    from llm_magics.api import bench
    from llm_magics.api.ended import next_step

    asked = lines.bench(PROG).read(words)
    target, options = getattr(asked, "target", None), lines.given(asked, "target")
    if "sweep" in options:
        return _swept(bench(target, **options))
    run = bench(target, **options)
    finished = any(point["completed"] for point in run.points)
    data = {**run.header, "status": run.status, "points": run.points, "flags": list(run.flags)}
    then = next_step(run)
    return Answer(f"{run}\n-> {then}" if then else run, data, failed=run.partial or not finished)


def _swept(sweep: Sweep) -> Answer:
    data = {
        "best": sweep.best,
        "points": sweep.table.to_dict("records"),
        "runs": {label: run.id for label, run in sweep.runs.items()},
        "failed": sweep.failed,
        "flags": sweep.flags,
    }
    return Answer(sweep, data, failed=sweep.partial)


def _compare(words: list[str]) -> Answer:
    from llm_magics import lines
    from llm_magics.api import compare

    asked = lines.compare(PROG).read(words)
    comparison = compare(asked.targets, **lines.comparison(asked))
    written = True
    if getattr(asked, "report", None):
        said, written = lines.written(comparison, asked.report)
        print(said, file=sys.stderr)
    return Answer(
        comparison,
        {
            "verdict": str(comparison.verdict),
            "flags": list(comparison.flags),
            "table": comparison.table.to_dict("records"),
        },
        failed=not written
        or any(run.partial for run in comparison.runs.values())
        or any(not answer.ok for answer in comparison.answers.values()),
    )


_MEASURING = ("bench", "compare")
_COMMANDS: dict[str, Callable[[list[str]], Answer]] = {"serve": _serve, "bench": _bench, "compare": _compare}

if __name__ == "__main__":
    sys.exit(main())
