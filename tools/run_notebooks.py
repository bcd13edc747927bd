"""Run notebooks from top to bottom and save them with the outputs of that run: `run_notebooks.py examples [NAME …]`.

Outputs in the repository are real: this is the only way they are made. Widget state is not kept (it is megabytes), and
neither are the times of execution, which would change with every run; the path of this checkout is shown as
`~/llm-magics`, for it and other places of the machine say nothing to a reader.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent


def run(source: Path, target: Path, *, timeout: int = 1800) -> None:
    """Execute `source` in the folder of `target` and write it there with its outputs.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        When a cell fails; the notebook is written up to there.
    """
    notebook = nbformat.read(source, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name="python3",
        record_timing=False,
        store_widget_state=False,
        resources={"metadata": {"path": str(target.parent)}},
    )
    try:
        client.execute()
    finally:
        notebook.metadata.pop("widgets", None)
        for cell in notebook.cells:
            if "outputs" in cell:
                cell.outputs = [nbformat.from_dict(output) for output in json.loads(_public(json.dumps(cell.outputs)))]
        nbformat.write(notebook, target)


def _public(outputs: str) -> str:
    """Outputs without the places of this machine."""
    if environments := os.environ.get("LLM_MAGICS_ENVS"):
        outputs = outputs.replace(environments, "~/llm-magics/.cache/envs")
    outputs = outputs.replace(str(ROOT), "~/llm-magics")
    outputs = re.sub(re.escape(tempfile.gettempdir()) + r"/[\w.-]+", "~/scratch", outputs)
    return outputs.replace(str(Path.home()) + "/", "~/")


def main(arguments: list[str]) -> int:
    """Runs every notebook of a folder, or those named."""
    folder, *names = arguments
    for path in sorted(Path(folder).glob("*.ipynb")):
        if not names or path.stem in names:
            print(f"{path} …", flush=True)
            run(path, path)
            print(f"  {path.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
