"""One door for the magics, the terminal and scripts: serve, bench, compare, servers, runs, fit, recommend.

What must follow what (check, then launch; run, then store, then show) is said here, in one readable function each.
"""

from __future__ import annotations

from llm_magics.api.benching import bench, runs
from llm_magics.api.calibrating import calibrate
from llm_magics.api.comparing import compare
from llm_magics.api.deploying import deploy
from llm_magics.api.fitting import fit
from llm_magics.api.recommending import recommend
from llm_magics.api.serving import serve, servers, stop

__all__ = ["bench", "calibrate", "compare", "deploy", "fit", "recommend", "runs", "serve", "servers", "stop"]
