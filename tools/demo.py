"""`make demo`: run the quickstart notebook on the embedded engine, leave the notebook and its HTML report in demo/.

Then JupyterLab opens on it, unless HEADLESS=1.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
from nbformat.sign import NotebookNotary
from run_notebooks import run

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Runs the demo; 0 when everything worked."""
    demo = ROOT / "demo"
    demo.mkdir(exist_ok=True)
    notebook = demo / "quickstart.ipynb"
    print("Serving, benching and comparing in demo/quickstart.ipynb (about a minute) …", flush=True)
    began = time.monotonic()
    run(ROOT / "examples" / "00-quickstart.ipynb", notebook)
    NotebookNotary().sign(nbformat.read(notebook, as_version=4))  # else JupyterLab shows its outputs without style
    print(f"Done in {time.monotonic() - began:.0f} s:")
    print(f"  notebook  {notebook}")
    print(f"  report    {demo / 'report.html'}")
    print("What is next: `%llm learn` in a cell lists the tutorials; the README has every cell.")
    if os.environ.get("HEADLESS") == "1":
        return 0
    print("Opening JupyterLab; Ctrl-C twice ends it. (HEADLESS=1 make demo leaves it out.)", flush=True)
    # The address that is printed leads to the notebook, for those whose browser is on another machine.
    lab = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={demo}", "--log-level=WARN"]
    lab.append(f"--LabApp.default_url=/lab/tree/{notebook.name}")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        lab.append("--allow-root")
    running = subprocess.Popen(lab)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is JupyterLab's, which asks before it ends
    return max(0, running.wait())


if __name__ == "__main__":
    sys.exit(main())
