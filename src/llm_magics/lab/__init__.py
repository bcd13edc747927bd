"""The sidebar's half inside Jupyter's server: thin routes over `runtime`, `results` and `learn`, no state of their own.

Jupyter finds it through `etc/jupyter/jupyter_server_config.d/llm_magics.json`, which the wheel installs. This file
loads nothing of Jupyter's, so that the package can be looked at where there is no Jupyter server.
"""

from __future__ import annotations

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "llm_magics.lab"}]


def _load_jupyter_server_extension(server: Any) -> None:
    from llm_magics.lab.extension import load

    load(server)
