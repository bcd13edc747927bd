"""Real engines. A test that needs one which is not here fails and says what installs it; it is never skipped."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def engine_is_here(request: pytest.FixtureRequest, isolated: object) -> None:
    """Every engine that the test is marked with can be found (`LLM_MAGICS_ENVS` says where `make` installs them)."""
    from llm_magics import engines
    from llm_magics.engines import environments

    for mark in request.node.iter_markers("engine"):
        engine = engines.get(mark.args[0])
        if environments.locate(engine) is None:
            pytest.fail(
                f"{engine.title} is not here, and this test needs it: `llm-magics install {engine.key}` "
                f"with {environments.VARIABLE}={environments.folder()}, or `make test`, which does that",
                pytrace=False,
            )
