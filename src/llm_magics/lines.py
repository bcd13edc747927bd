"""What stands behind serve, bench and compare on one line; the magics and the terminal read the same.

Beside `verbs`: these three take the whole of a spec as options, and in a notebook a body below the line.
"""

from __future__ import annotations

import os
from keyword import iskeyword
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_magics.errors import SpecError
from llm_magics.spec.line import LineParser

if TYPE_CHECKING:
    import argparse

    from llm_magics.results.comparison import Comparison


# Defaults of a server that a command starts: the command ends, the server does not.
IN_TERMINAL = {"keep": "detached"}


def serve(prog: str) -> LineParser:
    """The parser of `serve NAME [options]`."""
    from llm_magics.spec import ServerSpec

    line = LineParser(_prog(prog, "serve"), description="Start an inference engine and bind it to NAME.")
    line.add_argument("name", help="a Python name; `%%serve tiny` alone starts llama.cpp with the model that ships")
    line.add_argument("--dry-run", action="store_true", default=False, help="print the exact command, start nothing")
    line.add_argument("--no-wait", action="store_true", default=False, help="return at once")
    line.add_argument(
        "--replace", action="store_true", default=False,
        help="stop a server of this name that has other options and start this one; an equal one is taken as it is",
    )  # fmt: skip
    line.add_argument("--force", action="store_true", default=False, help="start even what seems not to fit the GPUs")
    line.options_of(ServerSpec, leave_out=("name",), defaults={} if prog.startswith("%") else IN_TERMINAL)
    line.meant = _served_by
    return line


def _served_by(word: str, beside: argparse.Namespace) -> str:
    """What a second name behind `serve NAME` was meant as: an engine, or else a model; "" where the line has it."""
    from llm_magics import engines

    option = "engine" if word in engines.names() else "model"
    return "" if hasattr(beside, option) else f"--{option} {word}"


def bench(prog: str) -> LineParser:
    """The parser of `bench TARGET [options]`."""
    from llm_magics.spec import Workload
    from llm_magics.spec.sweep import read_sweep

    line = LineParser(_prog(prog, "bench"), description="Load-test a server; shows and returns a Run.")
    line.add_argument("target", nargs="?", help="a server's name, or the URL of an OpenAI-compatible endpoint")
    line.gather(
        "--sweep", metavar="OPTION=A,B", type=read_sweep,
        help="start the server with each value, measure it, stop it; several are a grid; gives a Sweep",
    )  # fmt: skip
    line.add_argument("--engine", help="with --sweep and no TARGET: what is started")
    line.add_argument(
        "--on", metavar="ray", help="make the load on the nodes of a Ray cluster: ray, or ray://HOST:PORT"
    )
    line.add_argument("--label", help="what tables call the run")
    line.add_argument(
        "--mlflow", metavar="EXPERIMENT", nargs="?", const="",
        help="log the run to MLflow too, behind everything else on the line where the experiment has no name",
    )  # fmt: skip
    line.add_argument("--model", help="for a URL: which of its models; with --engine: what it serves")
    line.add_argument("--api-key", help="for a URL: its key")
    if prog.startswith("%"):
        line.add_argument("--out", metavar="NAME", type=_bindable, help="bind the Run to NAME")
        line.add_argument("--data", metavar="NAME", help="a DataFrame, with a column prompt or messages")
    line.options_of(Workload, leave_out=("workers_on",))
    return line


def compare(prog: str) -> LineParser:
    """The parser of `compare A B [options]`."""
    from llm_magics.spec import ServerSpec, Workload

    line = LineParser(
        _prog(prog, "compare"),
        description="Put servers, URLs, engines or finished runs side by side.",
    )
    line.add_argument("targets", nargs="*", metavar="TARGET", default=[], help="servers, URLs, run ids or result files")
    line.add_argument("--load", action="store_true", default=False, help="compare under load: the body is a workload")
    line.add_argument("--prompt", help="compare answers to this prompt (in a notebook: the cell's body)")
    line.add_argument("--engines", type=lambda text: text.split(","), metavar="A,B", help="start these in turn instead")
    line.add_argument(
        "--rounds",
        type=_rounds,
        help="rounds under load; auto: 3 to 5, until enough is known (the default; --engines: 3)",
    )
    line.add_argument("--restart", action="store_true", help="under load: each server is there only for its turn")
    line.add_argument("--no-restart", action="store_false", dest="restart", help="not even where they share a GPU")
    line.add_argument("--api-key", help="for URLs: their key")
    line.add_argument("--max-tokens", type=int, help="longest answer to a prompt (default 128)")
    if prog.startswith("%"):
        line.add_argument("--out", metavar="NAME", type=_bindable, help="bind the Comparison to NAME")
    line.add_argument("--report", metavar="FILE", type=_writable, help="write it as one HTML file too")
    line.options_of(Workload)
    line.options_of(ServerSpec, leave_out=("name", "engine", "seed", "timeout"))
    return line


def _prog(prog: str, verb: str) -> str:
    """`%serve` in a notebook, `llm-magics serve` in a terminal."""
    return f"%{verb}" if prog.startswith("%") else f"{prog} {verb}"


def _rounds(text: str) -> int | str:
    return text if text == "auto" else int(text)


def _bindable(name: str) -> str:
    """Checked before anything is measured, for afterwards it would cost the result."""
    if not name.isidentifier() or iskeyword(name):
        raise SpecError(f"--out: {name!r} is not a name that a notebook can bind.")
    return name


def _writable(path: str) -> str:
    file = Path(path).expanduser().absolute()
    if file.is_dir():
        raise SpecError(f"--report: {path} is a folder.", then=f"--report {Path(path) / 'report.html'}")
    if not file.parent.is_dir() or not os.access(file if file.exists() else file.parent, os.W_OK):
        why = "this user may not write it" if file.exists() else f"{file.parent} is no folder that can be written to"
        raise SpecError(f"--report: {path} cannot be written.", why=why)
    return path


def written(comparison: Comparison, path: str) -> tuple[str, bool]:
    """Write a comparison's report; what is said of it, and whether it is there: a full disk costs no result."""
    try:
        comparison.report(path)
    except OSError as error:
        return f"The report was not written: {error.strerror or error}: {path}", False
    return f"The report is written to {path}", True


def _reads_as_workload(body: str) -> bool:
    """Whether a body is options only, one of a workload among them; a sentence that holds a colon is none."""
    from llm_magics.spec import ServerSpec, Workload
    from llm_magics.spec.reading import read_mapping

    if body.lstrip().partition(":")[0].strip("\"' ") not in {*Workload.model_fields, *ServerSpec.model_fields}:
        return False  # told by its first word: a long prompt is not read as YAML for nothing
    try:
        keys = set(read_mapping(body)[0])
    except SpecError:
        return False
    return bool(keys & set(Workload.model_fields)) and keys <= {*Workload.model_fields, *ServerSpec.model_fields}


def given(asked: argparse.Namespace, *without: str) -> dict[str, Any]:
    """The options that stand on the line, by name."""
    return {key: value for key, value in vars(asked).items() if key not in without and key != "help"}


def comparison(asked: argparse.Namespace, body: str = "", first_line: int = 2) -> dict[str, Any]:
    """Keywords for `api.compare` from a line and a cell's body.

    Raises
    ------
    SpecError
        When the line and the body do not go together.
    """
    from llm_magics.spec import ServerSpec, Workload
    from llm_magics.spec.reading import read_mapping

    options = given(asked, "targets", "load", "out", "report", "help")
    found: dict[str, Any] = {
        key: options.pop(key)
        for key in ("prompt", "engines", "rounds", "restart", "max_tokens", "model", "api_key")
        if key in options
    }
    workload = {key: options.pop(key) for key in list(options) if key in Workload.model_fields}
    if not asked.load:
        temperature = workload.pop("temperature", None)
        if workload:
            raise SpecError(f"{next(iter(workload))} belongs to a workload.", then="add --load to compare under load")
        if body.strip() and "prompt" in found:
            raise SpecError("The prompt stands on the line and in the body.", then="keep one")
        if _reads_as_workload(body):
            raise SpecError(
                "The cell's body reads as a workload, and without --load it is a prompt.",
                why=body.strip().splitlines()[0],
                then='add --load to compare under load; a prompt that reads so goes on the line: --prompt "…"',
            )
        prompt = found.pop("prompt", body.strip() or None)
        extra = {} if temperature is None else {"temperature": temperature}
        return {**found, **extra, **({"prompt": prompt} if prompt is not None else {}), **options}
    values, lines = read_mapping(body, first_line=first_line)
    server = {
        key: values.pop(key)
        for key in list(values)
        if key in ServerSpec.model_fields and key not in Workload.model_fields
    }
    if "model" in server:
        found.setdefault("model", server.pop("model"))
    return {**found, "workload": {**values, **workload}, "lines": lines, **server, **options}
