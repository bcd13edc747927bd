"""Runs on a node, by file path: leaves the actor's family, runs one module of the parcel, removes the parcel.

It forks away from Ray's worker, which ends its children by force when it ends; what runs here sees its stdin close then
and ends in order. The last line on stderr says how it ended.
"""

from __future__ import annotations

import json
import os
import runpy
import shutil
import sys
import time
import traceback


def main() -> None:
    """`tenant.py FOLDER MODULE`."""
    folder, module = sys.argv[1:3]
    parent = os.getpid()
    if os.fork():
        os._exit(0)
    while os.getppid() == parent:  # what runs here may watch its parent: it must be the last one
        time.sleep(0.001)
    sys.path.insert(0, folder)
    sys.argv = [module]
    code: object = 0
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001 - told to whoever is at the other end
        traceback.print_exc()
        code = 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        status = code if isinstance(code, int) else 0 if code is None else 1
        sys.stderr.write("\n" + json.dumps({"exit": status}) + "\n")
        sys.stderr.flush()


if __name__ == "__main__":
    main()
