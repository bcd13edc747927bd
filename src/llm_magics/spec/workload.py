"""A workload: what is sent to a server, when, and what counts as good.

The words are the field's: `rate` is open loop (requests arrive whatever the server does), `concurrency` closed loop
(a fixed number of streams, each sends when its last request ended). A list of either is a sweep.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from llm_magics.spec.quantities import Count, Flag, Seconds, Text, Whole

Arrival = Literal["synchronous", "concurrent", "throughput", "constant", "poisson", "gamma"]

# Options of one kind of prompts: given for another, they would be dropped without a word.
_ONLY_FOR = {
    "path": ("file",),
    "data": ("dataframe",),
    "column": ("file", "dataframe"),
    "prefix_tokens": ("prefix",),
    "prefixes": ("prefix",),
    "input_tokens": ("random", "prefix"),
    "input_spread": ("random", "prefix"),
}


def _rate(value: Any) -> Any:
    if value in ("inf", "max", "throughput"):
        return math.inf
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _price(value: Any) -> Any:
    """A price in dollars an hour: a number, or who costs it."""
    if value is None:
        return None
    for name, each in value.items() if isinstance(value, dict) else (("", value),):
        if name not in ("", "gpu", "server") or isinstance(each, bool) or not isinstance(each, (int, float)):
            raise ValueError("takes dollars an hour: 2.5, {gpu: 2.5} or {server: 1.2}")
        if not 0 < each < math.inf:
            raise ValueError("is more than nothing, in dollars an hour")
    if isinstance(value, dict) and len(value) != 1:
        raise ValueError("is that of a gpu or that of the server, not both")
    return {name: float(each) for name, each in value.items()} if isinstance(value, dict) else float(value)


Price = Annotated[float | dict[str, float] | None, BeforeValidator(_price)]
Rate = Annotated[float, BeforeValidator(_rate), Field(gt=0)]


class Slo(BaseModel):
    """Limits that a good request meets, all of them; seconds."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    ttft: Seconds | None = None
    """Time to first token."""
    tpot: Seconds | None = None
    """Time per output token after the first."""
    e2e: Seconds | None = None
    """Whole request."""

    @property
    def limits(self) -> dict[str, float]:
        """The limits that were set: metric -> seconds."""
        return {key: value for key, value in self.model_dump().items() if value is not None}


@dataclass(frozen=True)
class Point:
    """One point of a sweep: a rate (requests/s, may be infinite) or a concurrency (streams)."""

    arrival: Arrival
    rate: float | None = None
    concurrency: int | None = None

    @property
    def label(self) -> str:
        """How a person names the point: `4 req/s`, `16 streams`, `all at once`."""
        if self.concurrency is not None:
            return f"{self.concurrency} stream{'s' if self.concurrency != 1 else ''}"
        return "all at once" if self.rate is None or math.isinf(self.rate) else f"{self.rate:g} req/s"


class Workload(BaseModel):
    """Everything that decides what a server is sent. `requests` and `duration` hold for each point of a sweep."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, arbitrary_types_allowed=True, use_attribute_docstrings=True
    )

    workload: Literal["random", "prefix", "file", "dataframe"] = "random"
    """`random` text, `prefix` (shared beginnings), a `file`, or a `dataframe`."""
    endpoint: Literal["chat", "completions"] = "chat"
    """`chat` or `completions`."""

    input_tokens: Count = 128
    """Length of each prompt (random, prefix)."""
    output_tokens: Count = 64
    """Length of each answer; held exactly where the engine can. A row of a file may have its own."""
    input_spread: float = Field(default=0.0, ge=0, lt=1)
    """Prompts vary by this share: 0.2 means 80 % to 120 % of input_tokens."""
    output_spread: float = Field(default=0.0, ge=0, lt=1)
    """Answers vary by this share."""
    prefix_tokens: Count = 256
    """Length of the shared beginning (prefix)."""
    prefixes: Count = 4
    """How many different beginnings there are (prefix)."""
    path: Text | None = None
    """JSONL, CSV or ShareGPT JSON with prompts."""
    column: Text | None = None
    """Column or key that holds the prompt; `prompt` or `messages` when left out."""
    data: Any = Field(default=None, exclude=True, repr=False)
    ignore_eos: Flag = True
    """Ask for answers of the full length, where the engine can."""
    temperature: float | None = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Sampling temperature; 0 picks the likeliest token; null leaves the server its default."""
    extra_body: dict[str, Any] = Field(default_factory=dict)
    """Further fields of every request."""

    rate: Annotated[list[Rate], BeforeValidator(_listed), Field(min_length=1)] | None = None
    """Requests a second, open loop: a number, a list (a sweep), or inf for all at once."""
    concurrency: Annotated[list[Count], BeforeValidator(_listed), Field(min_length=1)] | None = None
    """Requests kept in flight, closed loop: a number or a list."""
    arrival: Arrival | None = None
    """How requests arrive: constant, poisson (default for rates), gamma, throughput, synchronous, concurrent."""
    burstiness: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Of a rate's arrivals, which it makes gamma: 1 is poisson, below 1 burstier, above 1 steadier."""
    requests: Count | None = None
    """Requests at each point (50 when neither this nor duration is given)."""
    duration: Seconds | None = None
    """How long each point sends: 30s, 2m."""
    warmup: int = Field(default=2, ge=0)
    """Requests sent before each point and not counted."""
    repeats: Count = 1
    """How often the whole sweep is measured."""
    timeout: Seconds = 600.0
    """A request that takes longer is an error."""
    drain: Seconds | None = None
    """Of a rate: how long answers are waited for after its last arrival (twice the test, at least a minute)."""
    workers: Count | Literal["auto"] = "auto"
    """Processes that make the load: one per 50,000 chunks/s, as far as cores can be spared, or a number."""
    seed: Whole = 0
    """Seed of lengths and arrivals; generated prompts get new words each run, so that no cache knows them."""

    slo: Slo = Slo()
    """What a good request keeps: {ttft: 500ms, tpot: 50ms, e2e: 10s}."""
    search: Literal["slo", "saturation"] | None = None
    """Look for the highest load that keeps the `slo`, or where the server is in `saturation`; rate or concurrency say
    of what, and where to begin: one number, or the lowest and the highest."""
    goodput: float = Field(default=0.95, gt=0, lt=1)
    """Share of requests that must keep the SLO (search: slo)."""
    budget: Seconds = 120.0
    """How long a search may take: 60s, 2m."""
    price: Price = None
    """Dollars an hour, for cost: of each GPU, or of the server where it has none; or {gpu: 2.5}, {server: 1.2}."""

    @model_validator(mode="before")
    @classmethod
    def _implied(cls, value: Any) -> Any:
        """What one option says about another: data and path name the kind of prompts, burstiness that of arrivals."""
        if not isinstance(value, dict):
            return value
        implied: dict[str, Any] = {}
        if "workload" not in value:
            if value.get("data") is not None:
                implied["workload"] = "dataframe"
            elif value.get("path") is not None:
                implied["workload"] = "file"
        if value.get("burstiness") is not None and value.get("rate") is not None and value.get("arrival") is None:
            implied["arrival"] = "gamma"
        return {**value, **implied}

    @model_validator(mode="after")
    def _consistent(self) -> Workload:
        self._check_length()
        self._check_prompts()
        self._check_arrivals()
        self._check_search()
        return self

    def _check_length(self) -> None:
        if self.requests is not None and self.duration is not None:
            raise ValueError("requests and duration exclude each other: give the one that ends a point")
        if self.duration is not None and self.duration <= 0:
            raise ValueError("duration must be longer than zero")
        if self.timeout <= 0:
            raise ValueError("timeout must be longer than zero: it is what a request may take")

    def _check_prompts(self) -> None:
        if self.workload == "file" and self.path is None:
            raise ValueError("workload: file needs path: a JSONL, CSV or ShareGPT JSON file")
        if self.workload == "file" and not Path(str(self.path)).expanduser().is_file():
            raise ValueError(f"there is no file {self.path}")
        if self.workload == "dataframe" and self.data is None:
            raise ValueError("workload: dataframe needs data: a DataFrame, from Python or as `--data NAME`")
        for option, kinds in _ONLY_FOR.items():
            if self._given(option) and self.workload not in kinds:
                raise ValueError(
                    f"{option} does nothing for workload: {self.workload}; it belongs to {' and '.join(kinds)}"
                )

    def _check_arrivals(self) -> None:
        if self.rate is not None and self.concurrency is not None:
            raise ValueError("rate and concurrency exclude each other: open loop or closed loop, one sweep at a time")
        if self._given("burstiness") and (self.arrival != "gamma" or self._all_at_once):
            raise ValueError(
                "burstiness belongs to gamma arrivals: give it with a rate in requests/s, "
                "and arrival: gamma or no arrival at all"
            )
        if self.arrival in ("constant", "poisson", "gamma") and self.rate is None:
            raise ValueError(f"arrival: {self.arrival} needs a rate")
        if self.arrival == "concurrent" and self.concurrency is None:
            raise ValueError("arrival: concurrent needs concurrency")
        if self.arrival in ("synchronous", "throughput") and (self.rate or self.concurrency):
            raise ValueError(f"arrival: {self.arrival} takes neither rate nor concurrency")
        if (self.arrival == "concurrent" and self.rate) or (
            self.arrival in ("constant", "poisson", "gamma") and self.concurrency
        ):
            raise ValueError(f"arrival: {self.arrival} does not go with {'rate' if self.rate else 'concurrency'}")
        if self.arrival is not None and self.rate is not None and self._all_at_once:
            raise ValueError(f"rate: inf sends all at once; arrival: {self.arrival} says nothing about it")
        if self.duration is not None and any(point.arrival == "throughput" for point in self.points):
            raise ValueError("all at once needs requests, not duration: how many to send at the same moment")

    def _check_search(self) -> None:
        if self.search is None:
            for option in ("goodput", "budget"):
                if option in self.model_fields_set:
                    raise ValueError(f"{option} belongs to a search: add search: slo or search: saturation")
            return
        if self.search == "slo" and not self.slo.limits:
            raise ValueError("search: slo needs an slo, for example {ttft: 500ms, tpot: 50ms}")
        if self.search == "saturation" and self._given("goodput"):
            raise ValueError("goodput belongs to search: slo")
        if self.budget < 5:
            raise ValueError("budget is too short for a search: 5s is the least, 2m the usual")
        for option in ("requests", "duration", "repeats"):
            if option in self.model_fields_set:
                raise ValueError(f"{option} is chosen by the search: give budget, how long all of it may take")
        if self.arrival in ("synchronous", "throughput") or self._all_at_once:
            raise ValueError("search tries loads of its own: give a rate, concurrency, or none of them")
        for option, values in (("rate", self.rate), ("concurrency", self.concurrency)):
            if values and (len(values) > 2 or sorted(values) != list(values)):
                raise ValueError(f"{option} of a search is where to begin, or [lowest, highest]")

    def _given(self, option: str) -> bool:
        """Whether an option was written, be it with its default."""
        return option in self.model_fields_set and getattr(self, option) is not None

    @property
    def _all_at_once(self) -> bool:
        return self.rate is not None and all(map(math.isinf, self.rate))

    @property
    def points(self) -> list[Point]:
        """The sweep, in the order written; without rate and concurrency: 1, 4 and 16 streams."""
        if self.rate is not None:
            return [
                Point("throughput") if math.isinf(rate) else Point(self.arrival or "poisson", rate=rate)
                for rate in self.rate
            ]
        if self.arrival == "throughput":
            return [Point("throughput")]
        if self.arrival == "synchronous":
            return [Point("synchronous", concurrency=1)]
        return [Point("concurrent", concurrency=streams) for streams in self.concurrency or [1, 4, 16]]

    @property
    def requests_per_point(self) -> int | None:
        """Requests measured at each point, or None where `duration` ends it; 50 when neither was given."""
        return None if self.duration is not None else self.requests or 50
