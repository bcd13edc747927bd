"""The verbs that help to choose: `fit`, `recommend`, and what `engines` says beyond the inventory.

Beside `verbs`, which names them: each function answers with something to show and the same as plain data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
