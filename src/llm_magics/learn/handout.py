"""A tutorial as a learner gets it: alone in a folder, where its neighbours are not, and its answers still to be found.

The outputs that ship with it are for those who read it where it stands: above them it asks for a prediction.
"""

from __future__ import annotations

import json
import re

from llm_magics.learn import path as the_path

_RELATIVE = re.compile(r"\[(?P<said>[^\]]*)\]\((?P<target>(?![a-z]+:|#)[^)\s]+)\)")


def handout(notebook: str) -> str:
    """A notebook's JSON without outputs, whose links lead somewhere from any folder.

    One to another tutorial becomes the line that opens it, one to a page of the project the page's name there.
    """
    content = json.loads(notebook)
    for cell in content["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = [_RELATIVE.sub(_elsewhere, line) for line in cell["source"]]
        elif cell["cell_type"] == "code":
            cell |= {"outputs": [], "execution_count": None}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _elsewhere(link: re.Match[str]) -> str:
    said, target = link["said"], link["target"]
    for task in the_path.tasks():
        if task.notebook == target:
            return f"{said} (`%llm learn {task.id}`)"
    page = target.removeprefix("../")
    return f"{said} (`{page}` in the project)" if page not in said else f"{said} in the project"
