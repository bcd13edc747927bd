"""The verbs of production: `monitor`, `deploy` and what else a server needs once others depend on it.

Beside `verbs`, which names them: each function answers with something to show and the same as plain data.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from llm_magics.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_magics.spec.line import LineParser

_ACTIONS = ("show", "up", "down", "status", "dashboards", "rules")


def monitor_options(line: LineParser) -> None:
    """`monitor [show | up | down | status | dashboards | rules] [options]`."""
    from llm_magics.spec.monitor import MonitorSpec

    line.add_argument(
        "action", nargs="?", default="show", choices=_ACTIONS, metavar="ACTION",
        help="show (panels), up, down, status, dashboards --out DIR (Grafana), rules --out DIR [show]",
    )  # fmt: skip
    line.add_argument("--out", default=None, metavar="DIR", help="dashboards, rules: the folder to write them to")
    line.add_argument("--last", default="5m", metavar="TIME", help="show: how much is shown [5m]")
    line.add_argument("--watch", default="0s", metavar="TIME", help="show: go on this long; interrupt to end it [0s]")
    line.add_argument("--purge", action="store_true", default=False, help="down: remove what was measured too")
    line.options_of(MonitorSpec)


def monitor(options: Any) -> tuple[Any, Any]:
    """Prometheus and Alertmanager: start, stop, ask, look."""
    from llm_magics.api import monitoring
    from llm_magics.spec.monitor import MonitorSpec

    given = {name: getattr(options, name) for name in MonitorSpec.model_fields if hasattr(options, name)}
    action = options.action
    if given and action != "up" and not (action == "rules" and set(given) == {"limits"}):
        raise SpecError(f"--{next(iter(given)).replace('_', '-')} is for `monitor up`.", then="%llm monitor up …")
    if (options.out is None) == (action in ("dashboards", "rules")):
        raise SpecError(
            "--out DIR goes with dashboards and rules, and they with it.", then="%llm monitor rules --out ."
        )
    if options.purge and action != "down":
        raise SpecError("--purge is for `monitor down`.", then="%llm monitor down --purge")
    if action == "up":
        from llm_magics.monitor.health import status
        from llm_magics.views.monitor import StatusCard

        made = monitoring.up(**given)
        found = status()
        return StatusCard(found), {**asdict(made.state), "reused": made.reused}
    if action == "down":
        ran = monitoring.down(purge=options.purge)
        said = "the monitor is stopped" if ran else "no monitor ran"
        return said + ("; what it measured is removed" if options.purge else ""), {"stopped": ran}
    if action == "status":
        from llm_magics.views.monitor import StatusCard

        found = monitoring.status()
        return StatusCard(found), asdict(found)
    if action in ("dashboards", "rules"):
        write = monitoring.dashboards if action == "dashboards" else monitoring.rules
        written = [str(path) for path in write(options.out, **given.get("limits", {}))]
        return "\n".join(written), {"files": written}
    return _shown(options)


def _shown(options: Any) -> tuple[Any, Any]:
    from llm_magics.api import monitoring
    from llm_magics.spec.quantities import seconds

    try:
        span, watch = seconds(options.last), seconds(options.watch)
    except ValueError as error:
        raise SpecError(f"--last and --watch take times: {error}.", then="%llm monitor --last 15m --watch 1m") from None
    if not span:
        raise SpecError("--last 0s shows nothing.", then="%llm monitor --last 15m")
    found = monitoring.show(span=span, watch=watch)
    data = [
        {"panel": panel.title, "unit": panel.unit, "server": line.name, "times": line.times, "values": line.values}
        for panel in found.shown
        for line in panel.lines
    ]
    return found.settled(), {"panels": data, "firing": list(found.firing)}


# Options of a server that say where it runs on this machine, or how long: nothing to a cluster.
_HERE = ("name", "gpus", "host", "port", "on", "python", "bin", "keep", "idle")


def deploy_options(line: LineParser) -> None:
    """`deploy NAME [--to KIND] [--out FILE] [--apply] [options of the deployment and of the server]`."""
    from llm_magics.spec import ServerSpec
    from llm_magics.spec.deployment import Deployment

    line.add_argument("name", help="a server that was served here; or a new name, with --engine and --model")
    line.add_argument("--out", default=None, metavar="FILE", help="write it to a file, or to a folder (one a document)")
    line.add_argument(
        "--check",
        action="store_true",
        default=False,
        help="let the schemas of three releases judge it, without a cluster",
    )
    line.add_argument("--apply", action="store_true", default=False, help="apply it to the cluster, follow the rollout")
    line.add_argument("--context", default=None, metavar="NAME", help="another of the kubeconfig's contexts")
    line.options_of(Deployment)
    line.options_of(ServerSpec, leave_out=_HERE)


def deploy(options: Any) -> tuple[Any, Any, Callable[[Callable[[str], None]], None] | None]:
    """What deploys a server: text and data; with --apply instead the rollout, line by line."""
    from llm_magics import lines
    from llm_magics.api.deploying import deploy as answer
    from llm_magics.deployment.documents import Written

    given = lines.given(options, "name", "out", "check", "apply", "context")
    if options.apply:

        def roll(say: Callable[[str], None]) -> None:
            done = answer(
                options.name, out=options.out, check=options.check, apply=True, context=options.context, on_stage=say,
                **given,
            )  # fmt: skip
            say(str(done))

        return None, None, roll
    made = answer(options.name, out=options.out, check=options.check, **given)
    assert isinstance(made, Written)  # noqa: S101 - without apply nothing is rolled out
    data = {
        "to": made.to, "file": made.file, "out": options.out, "text": made.text, "first": list(made.first),
        "then": list(made.then), "notes": list(made.notes), "checked": options.check,
    }  # fmt: skip
    shown = f"written to {options.out}: {made.summary}" if options.out else made.text
    return f"{shown}\n{made.verdict}" if options.check else shown, data, None


def runbook_options(line: LineParser) -> None:
    """`runbook NAME [--out FILE] [--namespace N]`."""
    line.add_argument("name", help="a server that was served here")
    line.add_argument("--out", default=None, metavar="FILE", help="write it to a file (Markdown)")
    line.add_argument("--namespace", default=None, metavar="N", help="where it is deployed: the cluster's commands too")


def runbook(options: Any) -> tuple[Any, Any]:
    """What to do at night, as Markdown."""
    from llm_magics.api.runbooks import runbook as answer

    text = answer(options.name, out=options.out, namespace=options.namespace)
    data = {"server": options.name, "out": options.out, "markdown": text}
    return (f"written to {options.out}" if options.out else text), data
