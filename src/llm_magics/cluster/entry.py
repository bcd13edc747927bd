"""Run by file path in the Python that has Ray: finds this package beside itself and runs one of its modules.

The package's own folder is all it takes from the kernel's environment: with its `sys.path` packages of another Python
could be imported. A failure that a person can act on leaves as one JSON line on stderr, with exit status 7.
"""

from __future__ import annotations

import importlib.util
import json
import os
import runpy
import sys
import traceback
from pathlib import Path

WORDS = 7


def _find_package() -> None:
    home = Path(__file__).resolve().parents[1]
    spec = importlib.util.spec_from_file_location(
        "llm_magics", home / "__init__.py", submodule_search_locations=[str(home)]
    )
    assert spec is not None  # noqa: S101 - the file is there
    assert spec.loader is not None  # noqa: S101
    package = importlib.util.module_from_spec(spec)
    sys.modules["llm_magics"] = package
    spec.loader.exec_module(package)


def main() -> None:
    """`entry.py MODULE WORDS…`."""
    here = str(Path(__file__).resolve().parent)
    sys.path = [entry for entry in sys.path if entry != here]  # its modules are named like others' (clock, node)
    _find_package()
    from llm_magics.errors import LLMMagicsError

    module = sys.argv[1]
    sys.argv = sys.argv[1:]
    status: object = 0
    try:
        runpy.run_module(module, run_name="__main__")
    except LLMMagicsError as error:
        sys.stderr.write(json.dumps({"what": error.what, "why": error.why, "then": error.then}) + "\n")
        status = WORDS
    except SystemExit as end:
        status = end.code
    except BaseException:  # noqa: BLE001 - told to whoever is at the other end
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    # Ray says goodbye when the interpreter ends, to a cluster that may be gone: without a limit.
    os._exit(status if isinstance(status, int) else 0 if status is None else 1)


if __name__ == "__main__":
    main()
