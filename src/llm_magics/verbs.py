"""The verbs of `%llm VERB` and `llm-magics VERB`: one definition each, shown as a table or printed as JSON.

A verb reads its line, asks the floors below, and answers with something to show and the same as plain data. The
notebook and the terminal add only how it is put on the screen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from llm_magics import choosing, learning, production, tending
from llm_magics.answer import Answer, Say
from llm_magics.errors import SpecError
from llm_magics.spec.line import LineParser
from llm_magics.spec.reading import nearest
from llm_magics.spec.typed import in_terminal

_MAGICS = ("serve", "bench", "compare")


@dataclass(frozen=True)
class Verb:
    """A verb: what it does in one line, its options, and the function that does it."""

    summary: str
    options: Callable[[LineParser], None]
    run: Callable[[Any], Answer]


def names() -> list[str]:
    """Every verb, in the order of the help."""
    return list(VERBS)


def unknown(name: str, prog: str) -> SpecError:
    """What is said of a word that is no verb; serve, bench and compare are verbs of a terminal only."""
    notebook = prog.startswith("%")
    near = nearest(name, [*_MAGICS, *names()])
    if notebook and name in _MAGICS:
        return SpecError(f"{name} is a magic of its own, no verb of {prog}.", then=f"%{name} --help")
    every = ", ".join(names() if notebook else [*_MAGICS, *names()])
    then = f"{prog} lists them with what they do" + "; %serve, %bench and %compare are magics of their own" * notebook
    return SpecError(f"There is no verb {name!r}{near}.", why=every, then=then)


def parser(name: str, prog: str) -> LineParser:
    """The parser of one verb; `prog` is `%llm` or `llm-magics`.

    Raises
    ------
    SpecError
        When there is no such verb; names the nearest.
    """
    if name not in VERBS:
        raise unknown(name, prog)
    found = LineParser(f"{prog} {name}", VERBS[name].summary)
    VERBS[name].options(found)
    return found


def summaries() -> str:
    """A line for each verb."""
    return "\n".join(f"{name:10} {verb.summary}" for name, verb in VERBS.items())


def _no_options(_: LineParser) -> None:
    pass


def _gpus(_: Any) -> Answer:
    from llm_magics.runtime.gpus import gpus
    from llm_magics.views import tables

    found = gpus()
    return Answer(
        tables.gpus(found) if found else "no GPU that this machine's driver shows", [asdict(gpu) for gpu in found]
    )


def _install_options(line: LineParser) -> None:
    line.add_argument("engine", help="the engine to install, in an environment of its own; ENGINE==VERSION: that one")
    line.add_argument("--if-missing", action="store_true", default=False, help="do nothing when it is here already")
    which = line.add_mutually_exclusive_group()
    which.add_argument("--gpu", action="store_true", default=None, help="the build for a GPU, whatever is found here")
    which.add_argument("--cpu", action="store_false", dest="gpu", default=None, help="the build for no GPU")


def _install(options: Any) -> Answer:
    from llm_magics import engines
    from llm_magics.engines import environments
    from llm_magics.engines.install import install

    key, _, version = options.engine.partition("==")
    here = environments.locate(engines.get(key)) if options.if_missing else None
    if here is not None and here.version.removesuffix("+cpu") == (version or here.version).removesuffix("+cpu"):
        where = here.python or here.binary
        return Answer(f"{key} {here.version} is here already: {where}", {"where": where})

    def work(say: Say) -> None:
        made = install(options.engine, gpu=options.gpu, on_line=say)
        say(f"{key} {made.version} is ready: {made.python or made.binary}")

    return Answer(stream=work)


def _runs_options(line: LineParser) -> None:
    line.add_argument("run", nargs="?", default=None, help="show this run (an id or the start of one)")
    line.add_argument("-n", type=int, default=20, metavar="N", help="the newest N (default 20)")
    line.add_argument("--save", default=None, metavar="FILE", help="with a run: write it as .json, .parquet or .csv")
    line.add_argument("--delete", action="store_true", default=False, help="with a run: forget it")


def _runs(options: Any) -> Answer:
    from llm_magics.api.stored_runs import load_run, runs
    from llm_magics.views import tables

    if options.run is None:
        if options.save or options.delete:
            raise SpecError("--save and --delete need a run.", then="%llm runs")
        rows = runs(options.n)
        return Answer(tables.runs(rows), [asdict(row) for row in rows])
    run = load_run(options.run)
    if options.delete:
        from llm_magics.results.store import RunStore

        RunStore().delete(run.id)
        return Answer(f"{run.id} is deleted", {"deleted": run.id})
    if options.save:
        run.save(options.save)
        return Answer(f"{run.id} is written to {options.save}", {"run": run.id, "file": options.save})
    return Answer(run, {**run.header, "points": run.points, "flags": list(run.flags)})


def _doctor(_: Any) -> Answer:
    from llm_magics.advice.doctor import examine
    from llm_magics.views import tables

    found = examine()
    return Answer(tables.doctor(found), [{**asdict(each), "remedy": in_terminal(each.remedy)} for each in found])


VERBS: dict[str, Verb] = {
    "list": Verb(
        "the servers on this machine: state, engine, model, address, owner", tending.list_options, tending.list_verb
    ),
    "stop": Verb("stop a server, or several", tending.stop_options, tending.stop_verb),
    "sleep": Verb(
        "let a server give its GPU memory back and keep its process", tending.name_of_server, tending.sleep_verb
    ),
    "wake": Verb("let a server that sleeps take its GPU memory again", tending.name_of_server, tending.wake_verb),
    "keep": Verb(
        "put off the stop of a server that is idle, or whose notebook is gone", tending.keep_options, tending.keep_verb
    ),
    "dismiss": Verb("forget a server that no longer runs", tending.dismiss_options, tending.dismiss_verb),
    "logs": Verb("a server's log, secrets left out", tending.logs_options, tending.logs_verb),
    "gpus": Verb("the GPUs, and whose processes hold them", _no_options, _gpus),
    "engines": Verb(
        "the engines: what is installed, can (--matrix), answers (--probe), is out of date (--outdated)",
        choosing.engines_options,
        lambda options: Answer(*choosing.engines(options)),
    ),
    "fit": Verb(
        "whether a model fits a GPU: weights, KV cache, context, concurrency, what to change",
        choosing.fit_options,
        lambda options: Answer(*choosing.fit(options)),
    ),
    "recommend": Verb(
        "which engine to take, by rules or by measurement, and a cell that starts it",
        choosing.recommend_options,
        lambda options: Answer(*choosing.recommend(options)),
    ),
    "learn": Verb(
        "the learning path: what is done, what is missing; with a task: why, and its notebook",
        learning.learn_options,
        lambda options: Answer(*learning.learn(options)),
    ),
    "report": Verb(
        "a run as a reproducible report, ready to paste into an issue",
        learning.report_options,
        lambda options: Answer(*learning.report(options)),
    ),
    "deploy": Verb(
        "a server as Kubernetes manifests, helm values, KServe's or a compose file; --apply rolls it out",
        production.deploy_options,
        lambda options: Answer(*production.deploy(options)),
    ),
    "runbook": Verb(
        "what to do at night: checks, measured limits, alerts, diagnosis, roll back, as Markdown",
        production.runbook_options,
        lambda options: Answer(*production.runbook(options)),
    ),
    "calibrate": Verb(
        "how far off this machine's own client is at --concurrency N: 10 s against a server with known latencies",
        choosing.calibrate_options,
        lambda options: Answer(*choosing.calibrate(options)),
    ),
    "monitor": Verb(
        "Prometheus and Alertmanager beside the servers: live panels, alerts; up, down, status, dashboards, rules",
        production.monitor_options,
        lambda options: Answer(*production.monitor(options)),
    ),
    "install": Verb("install an engine into an environment of its own", _install_options, _install),
    "runs": Verb("the stored runs; with an id: one of them", _runs_options, _runs),
    "doctor": Verb(
        "what is installed, in which environment, what is missing and what installs it", _no_options, _doctor
    ),
}
