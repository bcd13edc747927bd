"""Puts the built sidebar into the wheel, where Jupyter looks for it, so that installing the wheel enables it.

A wheel that is built where the sidebar is not built yet builds it, if node is there; an editable install leaves it to
`tools/sidebar.py` (which `make` calls). LLM_MAGICS_REQUIRE_SIDEBAR=1 refuses to make a wheel without it.
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
        root = Path(self.root)
        built = root / "labextension" / "dist"
        if not (built / "package.json").is_file() and (root / "package-lock.json").is_file():
            command = [sys.executable, str(root / "tools" / "sidebar.py"), "--no-link"]
            subprocess.run(command, check=False)
        if (built / "package.json").is_file():
            build_data["shared_data"][str(built)] = "share/jupyter/labextensions/llm-magics"
        elif os.environ.get("LLM_MAGICS_REQUIRE_SIDEBAR"):
            raise RuntimeError("the sidebar is not built: python tools/sidebar.py --required")
        else:
            self.app.display_warning("The sidebar is not built, so this wheel is without it: python tools/sidebar.py")
