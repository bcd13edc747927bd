"""What is wrong in a spec is said before anything of the engine's is started to ask it."""

from __future__ import annotations

from typing import Any

import pytest

from llm_magics.api import preparing, serving
from llm_magics.errors import SpecError

NOT_TAKEN = [
    ("transformers", {"quantization": "awq"}, "does not take this quantization"),
    ("transformers", {"enable_sleep_mode": True}, "has no option for enable_sleep_mode"),
]


@pytest.mark.parametrize(("engine", "options", "said"), NOT_TAKEN, ids=["a value", "an option"])
def test_what_an_engine_does_not_take_is_said_before_it_is_asked(
    engine: str, options: dict[str, object], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asking means importing all of it: ten seconds on a good disk, a minute on a busy one."""
    monkeypatch.setattr(preparing, "executable_of", lambda *_: pytest.fail("the installed engine was asked"))
    with pytest.raises(SpecError, match=said):
        serving.dry_run("s", engine=engine, **options)


@pytest.mark.parametrize("meant", [{"every": True, "mine": True}, {"name": "s", "mine": True}, {}])
def test_a_stop_that_does_not_say_which_stops_none(monkeypatch: pytest.MonkeyPatch, meant: dict[str, Any]) -> None:
    monkeypatch.setattr("llm_magics.runtime.stop.end", lambda record: pytest.fail(f"{record.name} was stopped"))
    with pytest.raises(SpecError, match="to be stopped"):
        serving.stop(**meant)
