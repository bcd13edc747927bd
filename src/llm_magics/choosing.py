"""The verbs that help to choose: `fit`, `recommend`, and what `engines` says beyond the inventory.

Beside `verbs`, which names them: each function answers with something to show and the same as plain data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llm_magics.errors import SpecError

if TYPE_CHECKING:
    from llm_magics.spec.line import LineParser


def fit_options(line: LineParser) -> None:
    """`fit MODEL [--gpu KIND | --memory SIZE] [options of a server that change memory]`."""
    from llm_magics.api.fitting import OPTIONS
    from llm_magics.spec import ServerSpec

    line.add_argument("model", help="tiny, a folder, a GGUF file or a hub id")
    where = line.add_mutually_exclusive_group()
    where.add_argument("--gpu", default=None, metavar="KIND", help="H100, A100-40GB, L4, RTX-4090 …; else this machine")
    where.add_argument("--memory", default=None, metavar="SIZE", help="memory of one GPU: 24GB")
    line.options_of(ServerSpec, leave_out=tuple(name for name in ServerSpec.model_fields if name not in OPTIONS))


def fit(options: Any) -> tuple[Any, Any]:
    """Whether the model fits."""
    from llm_magics.api.fitting import OPTIONS
    from llm_magics.api.fitting import fit as answer

    given = {name: getattr(options, name) for name in OPTIONS if hasattr(options, name)}
    found = answer(options.model, gpu=options.gpu, memory=options.memory, **given)
    return found, found.data()


def calibrate_options(line: LineParser) -> None:
    """`calibrate [--concurrency N] [--seconds S]`."""
    line.add_argument("--concurrency", type=int, default=64, metavar="N", help="streams of 100 tokens/s (default 64)")
    line.add_argument("--seconds", type=float, default=10.0, metavar="S", help="how long, about (default 10)")


def calibrate(options: Any) -> tuple[Any, Any]:
    """How far off this machine's own client is."""
    from llm_magics.api.calibrating import calibrate as answer

    found = answer(options.concurrency, seconds=options.seconds)
    return found, found.data()


def engines_options(line: LineParser) -> None:
    """`engines [NAME …] [--matrix | --probe NAME | --outdated]`."""
    line.add_argument("names", nargs="*", default=[], metavar="ENGINE", help="engines side by side: vllm tgi")
    which = line.add_mutually_exclusive_group()
    which.add_argument("--matrix", action="store_true", default=False, help="what each engine can, beside the guide")
    which.add_argument(
        "--probe", default=None, metavar="NAME", help="try what a running server (or a URL) really answers"
    )
    which.add_argument("--outdated", action="store_true", default=False, help="what is newer than what is installed")


def engines(options: Any) -> tuple[Any, Any]:
    """What is installed; what each engine can, alone or side by side; what a running server answers."""
    from dataclasses import asdict

    if options.names and (options.matrix or options.probe or options.outdated):
        raise SpecError("Engines side by side go without --matrix, --probe and --outdated.")
    if options.outdated:
        from llm_magics.learning import outdated

        return outdated()
    if options.probe:
        from llm_magics.api.advising import probe
        from llm_magics.views.probe import probed

        tried = probe(options.probe)
        return probed(options.probe, tried), [asdict(each) for each in tried]
    if options.names:
        from llm_magics.advice.guide import side_by_side

        pair = side_by_side([name for word in options.names for name in word.split(",") if name])
        return pair, pair.data()
    from llm_magics.advice.matrix import matrix

    if options.matrix:
        return matrix(), matrix().data()
    from llm_magics.engines import environments
    from llm_magics.spec.typed import in_terminal
    from llm_magics.views import tables
    from llm_magics.views.matrix import Inventory

    found = environments.inventory()
    return Inventory(tables.engines(found), matrix()), [
        {**asdict(each), "command": in_terminal(each.command)} for each in found
    ]


def recommend_options(line: LineParser) -> None:
    """`recommend [--priority … --hardware … --model …] [--measure]`."""
    from llm_magics.advice.recommend import questions

    for key, question in questions().items():
        line.add_argument(f"--{key.replace('_', '-')}", dest=key, choices=question.values, metavar="ANSWER",
                          help=f"{question.asks} {', '.join(question.values)}")  # fmt: skip
    line.add_argument("--model", default=None, help="the model it is for (default: tiny, which ships)")
    line.add_argument(
        "--measure", action="store_true", default=False, help="run the best three that are installed and rank by it"
    )


def recommend(options: Any) -> tuple[Any, Any]:
    """Which engine to take; in a notebook with ipywidgets, and nothing answered yet, a form."""
    from llm_magics.advice.recommend import questions
    from llm_magics.api.recommending import recommend as answer

    given: dict[str, Any] = {key: getattr(options, key) for key in questions() if hasattr(options, key)}
    found = answer(options.model, measure=options.measure, **given)
    if given or options.measure or not _widgets():
        return found, found.data()
    from llm_magics.views.recommend import form

    def again(said: dict[str, Any]) -> Any:
        return answer(options.model, **said)

    return form(questions(), found.answers, again), found.data()


def _widgets() -> bool:
    """Whether a form can be shown: a notebook's kernel that somebody looks at, with ipywidgets."""
    import os
    import sys
    from importlib.util import find_spec

    if os.environ.get("LLM_MAGICS_NONINTERACTIVE") == "1" or "ipykernel" not in sys.modules:
        return False
    return find_spec("ipywidgets") is not None
