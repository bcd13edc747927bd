"""Putting the routes into a Jupyter server, under its base URL."""

from __future__ import annotations

from typing import Any

from jupyter_server.utils import url_path_join
from tornado.ioloop import IOLoop

from llm_magics.lab import engines, logs, machine, work
from llm_magics.lab.aside import Aside
from llm_magics.lab.handler import ASIDE
from llm_magics.lab.hub import Busy
from llm_magics.lab.watch import WATCHER, Watch
from llm_magics.lab.watcher import Watcher

ROUTES = [
    ("engines", engines.Engines),
    (f"engines/{engines.NAME}", engines.OneEngine),
    (f"engines/{engines.NAME}/record", engines.EngineRecord),
    (f"engines/{engines.NAME}/logs", logs.Logs),
    (f"engines/{engines.NAME}/report", logs.Report),
    ("gpus", machine.Gpus),
    ("adapters", machine.Adapters),
    ("runs", work.Runs),
    (f"runs/{work.RUN}", work.OneRun),
    ("tasks", work.Tasks),
    (f"tasks/{work.TASK}", work.OneTask),
    (f"tasks/{work.TASK}/notebook", work.TaskNotebook),
    ("watch", Watch),
]


def load(server: Any) -> None:
    """Called by Jupyter when it starts."""
    app = server.web_app
    base = url_path_join(app.settings["base_url"], "llm-magics")
    aside = app.settings[ASIDE] = Aside()
    app.settings[WATCHER] = Watcher(IOLoop.current())
    Busy(app.settings, aside).start()
    app.add_handlers(".*$", [(url_path_join(base, path) + "$", handler) for path, handler in ROUTES])
