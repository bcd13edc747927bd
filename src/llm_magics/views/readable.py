"""Every widget of ours is also what it shows: readable where no widget manager is.

A notebook saved by an editor, a repository's page of it, a kernel's client without the widgets' extension: there a
widget is its bare name and the names of its parts. So ours are made of kinds of which the mime bundle has the figure,
the table and the text too; front ends that have a widget manager prefer the widget.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def readable(kind: Any) -> Any:
    """A kind of widget (`ipywidgets.VBox`) that is also `still`: a mime bundle to be kept as the widget changes."""

    class Readable(kind):  # type: ignore[misc]
        still: Mapping[str, Any] = {}

        def _repr_mimebundle_(self, **asked: Any) -> Any:
            own = super()._repr_mimebundle_(**asked)
            data, *metadata = own if isinstance(own, tuple) else (own,)
            both = {**self.still, **{key: value for key, value in (data or {}).items() if key != "text/plain"}}
            return (both, *metadata) if metadata else both

    return Readable
