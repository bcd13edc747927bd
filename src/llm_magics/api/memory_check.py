"""The check of memory before a launch: what surely finds too little is stopped, with who holds it and what would fit.

It speaks only where it is sure: an engine whose adapter says how it takes memory (`Engine.memory`), a model whose files
or configuration are here. Everything else is left to the engine, which knows better; no network is asked.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from llm_magics.api.fitting import demand_of
from llm_magics.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llm_magics.advice.balance import Balance
    from llm_magics.advice.launch_room import Room
    from llm_magics.advice.model_facts import ModelFacts
    from llm_magics.api.preparing import Prepared
    from llm_magics.spec import ServerSpec

GIB = 1 << 30
_SURE = 0.5  # part of the estimated overhead that counts against a launch
_SHORT = 1024  # tokens; engines that shrink the context by themselves need room for a short one
_ANY_PORT = 58999  # a command is only looked at
# What changes how much is taken, or where: then it is not known here.
_ELSEWHERE = (
    "--cpu-offload", "--kv-offloading", "--device", "--max-total-tokens", "--mem-fraction", "--offload", "--rpc",
    "--quantize", "--quantization", "--gpu-memory-utilization",
)  # fmt: skip
_CACHE = "--kv-cache-memory-bytes"


def check(prepared: Prepared, *, sure: bool = True) -> None:
    """Refuse a server that surely finds too little memory; silent where anything about it is not known.

    `sure` counts half of what is estimated, so that nothing is refused that may start; without it all of that counts,
    so that nothing is advised that may not.

    Raises
    ------
    SpecError
        With what does not fit, who holds the memory, and what would fit.
    """
    spec, engine = prepared.spec, prepared.engine
    offloaded = "--offload cpu" in " ".join(spec.args).replace("=", " ")
    if engine.memory is None or spec.load_format == "gguf":
        return
    if not offloaded and any(word.startswith(_ELSEWHERE) for word in spec.args):
        return
    from llm_magics.advice.model_facts import facts

    try:
        known = facts(prepared.model, revision=spec.revision, online=False)
        known.weights(spec.dtype, spec.quantization)
    except SpecError:
        return
    known = replace(known, name=spec.model)
    found = _on_cpu(prepared, known) if offloaded or _runs_on_cpu(prepared) else _on_gpus(prepared, known)
    if found is not None and not sure:
        found = replace(found, doubt=1.0)
    if found is not None and not found.unknown and not found.fits:
        raise _refusal(found)


def _runs_on_cpu(prepared: Prepared) -> bool:
    from llm_magics.runtime import gpus

    return prepared.spec.gpus == "none" or prepared.executable.for_cpus or not gpus.gpus()


def _on_cpu(prepared: Prepared, known: ModelFacts) -> Balance | None:
    """Against the machine's free memory; None where a namesake runs, whose memory will be free, or is the server."""
    from llm_magics.advice import machine
    from llm_magics.advice.balance import Balance, Device
    from llm_magics.runtime.registry import Registry

    namesake = Registry().get(prepared.spec.name)
    memory = prepared.engine.memory
    if memory is None or prepared.engine.needs_gpu or (namesake is not None and namesake.alive):
        return None
    device = Device("this machine's memory", machine.memory_free(), "cpu", 1)
    cache = _cache_on_the_line(prepared) if memory.whole else None
    demand = replace(demand_of(prepared.spec), tensor=1, pipeline=1, share=None, cache=cache)
    return _asked(Balance(known, demand, device, doubt=_SURE), prepared, whole=cache is not None)


def _on_gpus(prepared: Prepared, known: ModelFacts) -> Balance | None:
    """Against what is free of the GPUs it will run on."""
    from llm_magics.advice import launch_room, machine
    from llm_magics.advice.balance import Balance, Device
    from llm_magics.runtime import gpus
    from llm_magics.runtime.registry import Registry

    spec, memory = prepared.spec, prepared.engine.memory
    present = [gpu for gpu in gpus.gpus() if not prepared.gpus or gpu.index in prepared.gpus]
    shared = (spec.tensor_parallel_size or 1) * (spec.pipeline_parallel_size or 1)
    wanted = shared * (spec.data_parallel_size or 1)
    if memory is None or len(present) < wanted or any(gpu.mig for gpu in present):
        return None
    records = Registry().list()
    if any(record.name == spec.name and record.alive and record.container for record in records):
        return None  # it will be reused or replaced, and what it holds is not seen from here
    rooms = [launch_room.room(gpu, spec.name, records) for gpu in present]
    found = [each for each in rooms if each is not None]
    if len(found) < len(rooms):
        return None
    if memory.spills:
        free = machine.memory_free() + sum(each.free for each in found)
        device = Device("this machine's GPUs and memory together", free, "cpu", len(present))
        return _asked(Balance(known, replace(demand_of(spec), tensor=1, pipeline=1), device, doubt=0), prepared)
    if len({each.gpu.name for each in found}) > 1:  # which of several kinds are taken first is CUDA's choice
        found = sorted(found, key=lambda each: -each.free)
    tightest = min(found[:wanted], key=lambda each: each.free)
    share, given = spec.gpu_memory_utilization, any(word.startswith(_CACHE) for word in spec.args)
    free, part = launch_room.budget(memory, tightest, share), memory.part(share, tightest.gpu.memory_total)
    if memory.of == "total" and given:
        free = tightest.free
    elif memory.of == "total" and free > tightest.free:
        raise _not_free(prepared, known, tightest, part)
    device = Device(
        tightest.gpu.name, tightest.gpu.memory_total, count=len(present), free=free, held=tightest.taken,
        capability=tightest.gpu.capability,
    )  # fmt: skip
    demand = replace(demand_of(spec), share=part if memory.of == "total" and not given else 1.0)
    doubt = 0.0 if memory.bare else _SURE
    return _asked(Balance(known, demand, device, doubt=doubt), prepared, whole=memory.whole and not given)


def _asked(balance: Balance, prepared: Prepared, *, whole: bool = False) -> Balance:
    """The balance with the context that must have room: the asked one, or a short one where the engine shrinks it."""
    if whole and prepared.spec.max_model_len != "auto":
        return balance
    return replace(balance, demand=replace(balance.demand, context=min(balance.context, _SHORT)))


def _cache_on_the_line(prepared: Prepared) -> int | None:
    """Bytes of cache that the command gives the engine, as the adapter or the person wrote it."""
    words = prepared.command(prepared.spec.port or _ANY_PORT).argv
    places = [number for number, word in enumerate(words) if word.startswith(_CACHE)]
    if not places:
        return None
    text = (words[places[-1]] + " " + " ".join(words[places[-1] + 1 : places[-1] + 2])).replace("=", " ").split()[1]
    return int(text) if text.isdigit() else None


def _refusal(balance: Balance) -> SpecError:
    from llm_magics.advice.fit import judged

    found, own = judged(balance), balance
    ways = list(found.remedies[:3])
    if own.demand.cache is not None and replace(own, demand=replace(own.demand, cache=None)).fits:
        ways = [f"a KV cache of {_size(own.sequence(own.context))} or more", *ways[:1]]
    each = f" on each of {own.gpus} GPUs" if own.gpus > 1 else ""
    held = f"; {own.device.held}" if own.device.held else ""
    cache = f"; the KV cache is given {_size(own.demand.cache)}" if own.demand.cache is not None else ""
    return SpecError(
        found.verdict,
        why=f"{_size(own.budget)} may be used{each}; the weights are {_size(own.weights)}, "
        f"one sequence of {own.context:,} tokens {_size(own.sequence(own.context))}, the rest "
        f"about {_size(own.overhead)}{cache}{held}",
        then=f"{'; or '.join(ways)}; or --force to start it all the same",
    )


def _size(number_of_bytes: float) -> str:
    """In GiB like all of a balance, unless that would say nothing."""
    from llm_magics.views import format as fmt

    return f"{number_of_bytes / GIB:.1f} GiB" if abs(number_of_bytes) >= GIB / 10 else fmt.size(number_of_bytes)


def _not_free(prepared: Prepared, known: ModelFacts, room: Room, share: float) -> SpecError:
    """The engine takes a share of the whole GPU and refuses to start when that much is not free."""
    from llm_magics.advice.balance import Balance, Device

    total, spec = room.gpu.memory_total, prepared.spec
    ways = []
    smaller = math.floor((room.free - GIB // 2) / total * 100) / 100  # its own CUDA context comes before it looks
    if smaller > 0:
        device = Device(room.gpu.name, total)
        tried = Balance(known, replace(demand_of(spec), share=smaller), device, doubt=_SURE)
        if tried.fits:
            ways.append(f"gpu_memory_utilization: {smaller:g}")
        elif (longest := tried.longest() // 256 * 256) >= _SHORT:
            ways.append(f"gpu_memory_utilization: {smaller:g} and max_model_len: {longest}")
    ways += _other_gpus(spec, int(share * total), room.gpu.index)
    ways.append("stop what holds it (`%llm gpus`)")
    return SpecError(
        f"{prepared.engine.title} takes {share * 100:.0f} % of a GPU's memory, and GPU {room.gpu.index} has less free.",
        why=f"{share * total / GIB:.1f} GiB are wanted, {room.free / GIB:.1f} of {total / GIB:.1f} GiB are free; "
        f"{room.taken}",
        then=f"{'; or '.join(ways)}; or --force to start it all the same",
    )


def _other_gpus(spec: ServerSpec, wanted: int, but: int) -> Sequence[str]:
    """GPUs of this machine with so much free, where one is enough."""
    from llm_magics.advice import launch_room
    from llm_magics.runtime import gpus
    from llm_magics.runtime.registry import Registry

    if any((size or 1) > 1 for size in (spec.tensor_parallel_size, spec.pipeline_parallel_size)):
        return []
    records = Registry().list()
    found = [launch_room.room(gpu, spec.name, records) for gpu in gpus.gpus() if gpu.index != but and not gpu.mig]
    return [f"gpus: [{each.gpu.index}]" for each in found if each is not None and each.free >= wanted][:1]
