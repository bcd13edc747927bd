"""A place on a Ray cluster for what a spec asks: what the engine needs, said in Ray's terms."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llm_magics.cluster.placement import Placement
    from llm_magics.engines.base import Engine
    from llm_magics.spec.server import ServerSpec


def placed(engine: Engine, spec: ServerSpec, model: str) -> Placement:
    """A node with room that has the engine and sees the model; a card says meanwhile what is waited for.

    Raises
    ------
    SpecError
        When the cluster does not answer, or no node can run it.
    """
    from llm_magics import engines
    from llm_magics.cluster import placement
    from llm_magics.engines import on_ray
    from llm_magics.views.progress import live
    from llm_magics.views.waiting import WaitingCard

    with live() as show:
        what = f"looking for a place on the cluster ({spec.on})"
        return placement.find(
            spec.on,
            cpus=spec.num_cpus,
            gpus=on_ray.gpus_wanted(engine, spec),
            spread=bool(engine.across_nodes),
            reference=engines.reference(engine.key),
            title=engine.title,
            hint=engine.install.hint,
            given={"python": spec.python, "bin": spec.bin},
            paths=on_ray.paths_of(engine, spec, model),
            on_wait=lambda seconds: show(WaitingCard(what, seconds)),
        )
