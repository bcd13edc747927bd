"""Puts the built sidebar into the wheel, where Jupyter looks for it, so that installing the wheel enables it.

A wheel that is made where the sidebar is not built yet, or was built from other sources than those that are here,
builds it first. Where that cannot be done it is left out, and that is said: an old sidebar beside newer routes is never
packed. An editable install leaves it to `tools/sidebar.py` (which `make` calls). LLM_MAGICS_REQUIRE_SIDEBAR=1 refuses
to make a wheel without it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Sidebar(BuildHookInterface):  # type: ignore[misc]
    """The hook."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it makes a wheel."""
        if version == "editable":
            return
        tool = Path(self.root) / "tools" / "sidebar.py"
        subprocess.run([sys.executable, str(tool), "--no-link"], check=False)
        if subprocess.run([sys.executable, str(tool), "is-current"], check=False).returncode == 0:
            built = Path(self.root) / "labextension" / "dist"
            build_data["shared_data"][str(built)] = "share/jupyter/labextensions/llm-magics"
        elif os.environ.get("LLM_MAGICS_REQUIRE_SIDEBAR"):
            raise RuntimeError("the sidebar could not be built: python tools/sidebar.py --required")
        else:
            self.app.display_warning("The sidebar could not be built, so this wheel is without it (see above).")
