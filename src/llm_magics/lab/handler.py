"""What all routes have in common: who may, how bodies are read, how failures are told.

Nothing here counts as a person's activity: a sidebar that is merely open must not keep a hub's server alive.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable
from typing import Any

from jupyter_server.base.handlers import APIHandler
from tornado.web import HTTPError

from llm_magics.errors import LLMMagicsError
from llm_magics.lab.aside import PATIENCE, Aside, Slow

RESOURCE = "llm-magics"  # what an authorizer is asked about
ASIDE = "llm_magics_aside"  # key of the server's settings
_LARGEST = 4096  # bytes of a body


class Handler(APIHandler):
    """A route under `llm-magics/`; each verb is `@authenticated` and `@authorized`."""

    auth_resource = RESOURCE
    _track_activity = False

    async def aside(self, name: Hashable, work: Callable[[], Any], patience: float | None = None) -> Any:
        """Do some work in a thread, and tell its failures as JSON.

        Raises
        ------
        HTTPError
            503 when it takes too long or the disk fails; 409 with what, why and what to do when it refuses.
        """
        aside: Aside = self.settings[ASIDE]
        try:
            return await aside(name, work, PATIENCE if patience is None else patience)
        except Slow as slow:
            raise self.failure(503, "This machine's disk or driver does not answer.", str(slow)) from slow
        except OSError as error:
            raise self.failure(503, "The disk refused.", error.strerror or str(error)) from error
        except LLMMagicsError as error:
            raise self.failure(409, error.what, error.why, error.then) from error

    def failure(self, status: int, what: str, why: str = "", then: str = "") -> HTTPError:
        """An error whose JSON body says what failed, why, and what to do."""
        error = HTTPError(status, what)
        error.told = {"message": what, "why": why, "then": then}  # type: ignore[attr-defined]
        return error

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Errors as JSON, never with a traceback."""
        error = (kwargs.get("exc_info") or (None, None))[1]
        told = getattr(error, "told", None)
        if told is None:
            super().write_error(status_code, **kwargs)
            return
        self.set_header("Content-Type", "application/json")
        self.finish(told)

    def body(self) -> dict[str, Any]:
        """The request's JSON object.

        Raises
        ------
        HTTPError
            400 when it is none, or larger than any that is meant.
        """
        if len(self.request.body) > _LARGEST:
            raise self.failure(400, "The body is too large.")
        with contextlib.suppress(HTTPError, UnicodeDecodeError):
            found = self.get_json_body()
            if isinstance(found, dict):
                return found
        raise self.failure(400, "The body must be a JSON object.")

    def number(self, name: str, default: int, least: int, most: int) -> int:
        """A whole number of the query.

        Raises
        ------
        HTTPError
            400 when it is none, or out of bounds.
        """
        text = self.get_query_argument(name, str(default))
        if not text.isascii() or not text.isdigit() or len(text) > 20 or not least <= int(text) <= most:
            raise self.failure(400, f"{name} must be a whole number from {least} to {most}.")
        return int(text)
