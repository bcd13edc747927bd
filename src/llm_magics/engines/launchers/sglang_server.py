"""SGLang's own server, started where torchvision was built for CUDA and torch was not.

On a machine without a GPU pip's torchvision is the build for CUDA; its operators do not load beside torch for the CPU,
and merely importing it fails on describing them. A language model needs none of them: their descriptions are passed
over. Takes SGLang's own arguments, the API key from SGLANG_API_KEY; `--check` proves that it can be imported.

    python sglang_server.py --model-path PATH --port 30000 --device cpu
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch.library

_register_fake = torch.library.register_fake


def _without_vision(operator: Any, *args: Any, **kwargs: Any) -> Any:
    if isinstance(operator, str) and operator.startswith("torchvision::"):

        def nothing(function: Callable[..., Any]) -> Callable[..., Any]:
            return function

        return nothing
    return _register_fake(operator, *args, **kwargs)


# When this file is imported, not only when it is run: SGLang's workers are new interpreters that import it.
torch.library.register_fake = _without_vision


def main() -> int:
    """Serve until TERM."""
    if sys.argv[1:] == ["--check"]:
        import sglang.launch_server

        return 0 if sglang.launch_server.run_server else 1
    import os

    from sglang.launch_server import run_server
    from sglang.srt.server_args import prepare_server_args
    from sglang.srt.utils import kill_process_tree

    key = os.environ.pop("SGLANG_API_KEY", "")
    # Not among this process's own arguments, which every user of the machine can read; one word, for a key may begin
    # with a dash.
    options = prepare_server_args([*sys.argv[1:], *([f"--api-key={key}"] if key else [])])
    try:
        run_server(options)
    finally:
        kill_process_tree(os.getpid(), include_parent=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
