"""`watch`: the socket on which a visible sidebar hears of changes."""

from __future__ import annotations

import contextlib
from typing import Any

from jupyter_server.auth.decorator import authorized, ws_authenticated
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from llm_magics.lab.handler import RESOURCE
from llm_magics.lab.watcher import Watcher

WATCHER = "llm_magics_watcher"  # key of the server's settings


class Watch(WebSocketMixin, WebSocketHandler, JupyterHandler):
    """One tab; it says nothing, it is told."""

    auth_resource = RESOURCE

    @ws_authenticated
    @authorized
    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Open it."""
        await super().get(*args, **kwargs)

    def open(self, *args: Any, **kwargs: Any) -> None:
        """It is open."""
        super().open(*args, **kwargs)
        self._watcher().add(self)

    def on_message(self, message: str | bytes) -> None:
        """Nothing that a browser says here means anything."""

    def on_close(self) -> None:
        """It is closed."""
        self._watcher().remove(self)
        super().on_close()

    def send(self, text: str) -> None:
        """Send a message, unless the other end is gone."""
        with contextlib.suppress(WebSocketClosedError):
            self.write_message(text)

    def _watcher(self) -> Watcher:
        return self.settings[WATCHER]  # type: ignore[no-any-return]
