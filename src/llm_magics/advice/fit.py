"""Does a model fit, at which context and concurrency, on how many GPUs; and what to change when it does not.

`Balance` does the arithmetic of one demand on one device, `remedies` tries what could help; this file puts both into
one answer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from llm_magics.advice import gpus_known
from llm_magics.advice.balance import GIB, Balance, Demand, Device, per_token
from llm_magics.advice.model_facts import facts
from llm_magics.advice.remedies import gpus_needed, remedies
from llm_magics.errors import SpecError

CONTEXTS = (1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072, 262144, 1048576)


@dataclass(frozen=True, repr=False)
class Fit:
    """The answer of `%llm fit`. Sizes in bytes of one GPU (or of the machine), unless said.

    Attributes
    ----------
    balance
        The demand, the device and the arithmetic between them.
    gpus_needed
        The fewest GPUs of this kind on which it fits; None where it does not fit on 64.
    remedies
        What makes it fit, best first; what makes all asked sequences fit, when one does. Each was tried.
    """

    balance: Balance
    gpus_needed: int | None
    remedies: tuple[str, ...]

    @property
    def fits(self) -> bool:
        """Whether an engine could start with it."""
        return self.balance.fits

    @property
    def holds(self) -> bool:
        """Whether all asked sequences fit at their full length at once."""
        return self.balance.concurrency(self.balance.context) >= self.balance.demand.sequences

    @property
    def table(self) -> list[dict[str, float]]:
        """For each usual context up to the asked or the model's: `context` tokens, `sequence` bytes, `concurrency`."""
        own = self.balance
        most = max(own.architecture.context or 0, own.context)
        lengths = sorted({*(length for length in CONTEXTS if length < most), own.context, most})
        return [
            {"context": length, "sequence": own.sequence(length), "concurrency": own.concurrency(length)}
            for length in lengths
        ]

    @property
    def verdict(self) -> str:
        """One sentence."""
        own, where = self.balance, _where(self.balance)
        at_once = own.concurrency(own.context)
        if not self.fits:
            needed = f"; it fits on {self.gpus_needed}" if self.gpus_needed and own.device.kind == "gpu" else ""
            if own.room <= 0:
                return (
                    f"{own.facts.name} does not fit on {where}: its weights and what runs them leave no memory{needed}."
                )
            return f"{own.facts.name} with {own.context:,} tokens of context does not fit on {where}{needed}."
        if not self.holds:
            return (
                f"{own.facts.name} fits on {where}, but only {at_once:.1f} of {own.demand.sequences} sequences of "
                f"{own.context:,} tokens at once; the others wait."
            )
        many = f"{_many(at_once)} sequence{'' if at_once < 2 else 's'}"
        alone = " by memory alone, which says nothing of a CPU's speed" if own.device.kind == "cpu" else ""
        return f"{own.facts.name} fits on {where}: {many} of {own.context:,} tokens at once{alone}."

    def __str__(self) -> str:
        from llm_magics.views.fit import FitCard

        return str(FitCard(self.data()))

    __repr__ = __str__

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        from llm_magics.views.fit import FitCard

        return FitCard(self.data())._repr_mimebundle_()

    @property
    def notes(self) -> tuple[str, ...]:
        """What was estimated or left out; what is not known stands in `balance.unknown`."""
        own = self.balance
        sliding = any(layer.kind == "sliding" for layer in own.architecture.layers) and self.fits
        printed = f"vLLM prints {own.vllm_says(own.context):.2f}x: it counts every sequence with a whole step in flight"
        return (
            *([own.device.held] if own.device.held else []),
            *own.architecture.notes,
            *([printed] if sliding else []),
            "activations, graphs and runtime are estimated; weights and cache are computed",
        )

    def data(self) -> dict[str, Any]:
        """The same as JSON."""
        own = self.balance
        _, said = own.facts.weights(own.demand.dtype, own.demand.quantization)
        return {
            "model": own.facts.name, "source": own.facts.source, "family": own.architecture.family,
            "parameters": own.architecture.parameters.total if own.architecture.parameters else None,
            "device": own.device.name, "kind": own.device.kind, "memory": own.device.memory, "gpus": own.gpus,
            "fits": self.fits, "holds": self.holds, "verdict": self.verdict, "gpus_needed": self.gpus_needed,
            "budget": own.budget, "weights": own.weights, "weights_source": said, "overhead": own.overhead,
            "kv_room": max(0, own.room), "kv_cache_dtype": own.kv_dtype,
            "kv_bytes_per_token": per_token(own.architecture, own.kv_dtype, tensor=own.demand.tensor,
                                            pipeline=own.demand.pipeline),
            "tokens_in_cache": own.tokens_in_cache, "context": own.context, "model_context": own.architecture.context,
            "sequences": own.demand.sequences, "concurrency": own.concurrency(own.context),
            "longest_context": own.longest(), "table": self.table, "remedies": list(self.remedies),
            "unknown": list(own.unknown), "notes": list(self.notes),
        }  # fmt: skip


def fit(
    model: str,
    *,
    device: Device | None = None,
    demand: Demand | None = None,
    revision: str | None = None,
    online: bool = True,
) -> Fit:
    """Check a model against a device.

    Parameters
    ----------
    model
        `tiny`, a folder, a GGUF file or a hub id.
    device
        This machine's freest GPUs, or its memory where there is none, when left out.
    demand
        Context, sequences, parallel sizes and types; the model's own context and one sequence when left out.
    online
        Whether the hub may be asked for a config.json that is not here.

    Raises
    ------
    SpecError
        When the model is not found, or what is found does not say enough.
    """
    known, asked = facts(model, revision=revision, online=online), demand or Demand()
    return judged(Balance(known, asked, device or this_machine(gpus=asked.tensor * asked.pipeline)))


def judged(balance: Balance) -> Fit:
    """A balance with the GPUs it would need and what would help."""
    needed = gpus_needed(balance)
    tried = Fit(balance, needed, ())
    if tried.fits and tried.holds:
        return tried
    return replace(tried, remedies=tuple(remedies(balance, needed, starting=not tried.fits)))


def this_machine(gpu: str | None = None, memory: str | None = None, *, gpus: int = 1) -> Device:
    """A device from what a person asks for, else this machine's own: of its GPUs the `gpus` freest, as they are now.

    Raises
    ------
    SpecError
        For a GPU whose memory is not known, or an amount that is none.
    """
    if gpu and memory:
        raise SpecError("--gpu and --memory both say how much memory there is.", then="keep one")
    if gpu:
        kind = gpus_known.known(gpu)
        return Device(kind.name, kind.memory, capability=kind.capability)
    if memory:
        size = gpus_known.memory(memory)
        return Device(f"a GPU of {size / GIB:g} GiB", size)
    from llm_magics.advice import launch_room, machine
    from llm_magics.runtime import gpus as driver
    from llm_magics.runtime.registry import Registry

    if present := [each for each in driver.gpus() if not each.mig]:
        records = Registry().list()
        rooms = [found for each in present if (found := launch_room.room(each, "", records))]
        freest = sorted(rooms, key=lambda room: -room.free)[: max(1, gpus)]
        tightest = min(freest, key=lambda room: room.free)
        held = tightest.taken
        return Device(
            tightest.gpu.name, tightest.gpu.memory_total, count=len(present), free=tightest.free if held else None,
            held=held, capability=tightest.gpu.capability,
        )  # fmt: skip
    return Device("this machine's memory", machine.memory_free(), "cpu", 1)


def _many(count: float) -> str:
    return f"{count:.1f}" if count < 10 and count != int(count) else f"{int(count):,}"


def _where(balance: Balance) -> str:
    device = balance.device
    if device.kind == "cpu":
        return f"{device.name} ({device.memory / GIB:.1f} GiB free)"
    plural = (
        f"{balance.gpus} x {device.name}"
        if balance.gpus > 1
        else f"one {device.name}"
        if not device.name.startswith("a GPU")
        else device.name
    )
    size = f"{device.memory / GIB:.0f} GiB{' each' if balance.gpus > 1 else ''}"
    return f"{plural} ({size}{'' if device.free is None else f', {device.free / GIB:.1f} GiB free'})"
