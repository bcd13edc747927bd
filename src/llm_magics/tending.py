"""The verbs that tend servers: `list`, `stop`, `sleep`, `wake`, `keep`, `dismiss` and `logs`.

Beside `verbs`, which names them.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from llm_magics import watching
from llm_magics.answer import Answer, Say
from llm_magics.errors import SpecError

if TYPE_CHECKING:
    from llm_magics.spec.line import LineParser


def list_options(line: LineParser) -> None:
    """`list [--all | --watch]`."""
    line.add_argument("--all", action="store_true", default=False, help="those that were stopped too")
    line.add_argument(
        "--watch",
        action="store_true",
        default=False,
        help="go on, and say what changes; with --json: a JSON document a line, as the sidebars of editors read it",
    )


def list_verb(options: Any) -> Answer:
    """The servers of this machine; with --watch whatever changes."""
    if options.watch:
        if options.all:
            raise SpecError("--watch shows what runs, --all what was stopped.", then="leave one of them out")
        return Answer(stream=watching.in_words, messages=watching.as_messages)
    from llm_magics.runtime.registry import Registry
    from llm_magics.views import tables

    known = [record for record in Registry().list() if options.all or record.state != "stopped"]
    records = sorted(known, key=lambda record: (not record.alive, record.created))
    return Answer(tables.servers(records), [record.to_json() for record in records])


def stop_options(line: LineParser) -> None:
    """`stop NAME | --mine | --all`; no `--mine` in a terminal, whose commands end and own nothing afterwards."""
    line.add_argument("name", nargs="?", default=None, help="the server to stop")
    several = line.add_mutually_exclusive_group()
    if line.prog.startswith("%"):
        mine = "stop those that this notebook started and nobody else uses"
        several.add_argument("--mine", action="store_true", default=False, help=mine)
    several.add_argument("--all", action="store_true", default=False, help="stop every server, whoever started it")


def stop_verb(options: Any) -> Answer:
    """Stop one, this notebook's own, or all."""
    from llm_magics.api.serving import stop

    mine = getattr(options, "mine", None)
    if options.name is None and not options.all and not mine:
        several = "`%llm stop NAME` or `--all`" if mine is None else "`%llm stop NAME`, `--mine` or `--all`"
        raise SpecError("Which server is to be stopped?", then=several)
    stopped = stop(options.name, every=options.all, mine=bool(mine))
    none = "no server of this notebook's own was running" if mine else "no server was running"
    return Answer("\n".join(f"{name} is stopped" for name in stopped) or none, {"stopped": stopped})


def name_of_server(line: LineParser) -> None:
    """`sleep NAME`, `wake NAME`."""
    line.add_argument("name", help="a server that is ready")


def sleep_verb(options: Any) -> Answer:
    """Have it give its GPU memory back."""
    from llm_magics.runtime.sleeping import sleep

    record = sleep(options.name)
    return Answer(f"{record.name} is asleep; `%llm wake {record.name}` wakes it", {"asleep": True, "name": record.name})


def wake_verb(options: Any) -> Answer:
    """Have it take its GPU memory again."""
    from llm_magics.runtime.sleeping import wake

    record = wake(options.name)
    return Answer(f"{record.name} is awake", {"asleep": False, "name": record.name})


def keep_options(line: LineParser) -> None:
    """`keep NAME DURATION`."""
    line.add_argument("name", help="a server that runs")
    line.add_argument("duration", help="how long from now, at least: 1h, 30m")


def keep_verb(options: Any) -> Answer:
    """Put off its end."""
    from llm_magics.runtime.keep import keep
    from llm_magics.spec.quantities import seconds

    try:
        wanted = seconds(options.duration)
    except ValueError as error:
        raise SpecError(f"{options.duration!r} is no duration.", why=str(error), then="1h, 30m") from None
    record = keep(options.name, wanted)
    return Answer(f"{record.name} is kept for {options.duration}", record.to_json())


def dismiss_options(line: LineParser) -> None:
    """`dismiss NAME`."""
    line.add_argument("name", help="a server that has stopped, failed or is lost")


def dismiss_verb(options: Any) -> Answer:
    """Forget one that runs no more."""
    from llm_magics.runtime.stop import dismiss

    dismiss(options.name)
    return Answer(f"{options.name} is forgotten", {"dismissed": [options.name]})


def logs_options(line: LineParser) -> None:
    """`logs NAME [-n N] [-f]`."""
    line.add_argument("name", help="whose log")
    line.add_argument("-n", type=int, default=50, metavar="N", help="the last N lines (default 50)")
    line.add_argument("-f", "--follow", action="store_true", default=False, help="go on as new lines come")


def logs_verb(options: Any) -> Answer:
    """The last lines of a log, or every new one."""
    import threading

    from llm_magics.runtime import logs
    from llm_magics.runtime.registry import Registry
    from llm_magics.runtime.unknown import no_server

    registry = Registry()
    try:
        path = registry.log_path(options.name)
    except ValueError:  # no name that a server can have
        path = None
    if path is None or not (registry.exists(options.name) or path.exists()):
        raise no_server(options.name, registry)
    last = logs.tail(path, options.n)
    if not options.follow:
        return Answer("\n".join(last), {"name": options.name, "log": last})

    def follow(say: Say) -> None:
        with suppress(KeyboardInterrupt):  # the usual way to end it
            for line in logs.follow(path, threading.Event(), lines=options.n):
                say(line)

    return Answer(stream=follow)
