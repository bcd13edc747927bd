"""A real IPython kernel, beside the notebook that is named: cells come in and outputs go out as lines of JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from jupyter_client.manager import start_new_kernel


def main() -> None:
    """Runs until nothing more comes in."""
    manager, client = start_new_kernel(kernel_name="python3", cwd=str(Path(sys.argv[1]).parent), startup_timeout=120)
    try:
        for line in sys.stdin:
            reply = client.execute_interactive(json.loads(line), output_hook=told, timeout=600, allow_stdin=False)
            say(kind="done", ok=reply["content"]["status"] == "ok")
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def told(message: dict[str, Any]) -> None:
    """What the kernel says while a cell runs."""
    kind, content = message["msg_type"], message["content"]
    if kind == "stream":
        say(kind=kind, name=content["name"], text=content["text"])
    elif kind in ("display_data", "execute_result", "update_display_data"):
        given = content.get("transient", {}).get("display_id", "")
        said = "update" if kind == "update_display_data" else kind
        say(kind=said, data=content["data"], metadata=content["metadata"], id=given)
    elif kind == "error":
        say(kind="stream", name="stderr", text="\n".join(content["traceback"]))
    elif kind == "clear_output":
        say(kind="clear")


def say(**words: Any) -> None:
    """One line."""
    print(json.dumps(words), flush=True)


if __name__ == "__main__":
    main()
