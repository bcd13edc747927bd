"""A workload: what is sent to a server, when, and what counts as good.

The words are the field's: `rate` is open loop (requests arrive whatever the server does), `concurrency` closed loop
(a fixed number of streams, each sends when its last request ended). A list of either is a sweep.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from llm_magics.spec.arrivals import (
    Arrival,
    Concurrency,
    Rate,
    Speed,
    Stages,
    TraceWindow,
)
from llm_magics.spec.contradictions import check_arrivals
from llm_magics.spec.points import Point, points_of
from llm_magics.spec.prompts import ImageSize, Kind, Models, Schema, Think, check_prompts
from llm_magics.spec.quantities import Cluster, Count, Flag, Limit, Price, Seconds, Text, Whole
from llm_magics.spec.searches import check_search

__all__ = ["Arrival", "Point", "Slo", "Workload"]


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, (list, tuple)) else [value]


Counts = Annotated[list[Count], BeforeValidator(_listed), Field(min_length=1)]


class Slo(BaseModel):
    """Limits that a good request meets, all of them; seconds."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    ttft: Limit | None = None
    """Time to first token."""
    tpot: Limit | None = None
    """Time per output token after the first."""
    e2e: Limit | None = None
    """Whole request."""

    @property
    def limits(self) -> dict[str, float]:
        """The limits that were set: metric -> seconds."""
        return {key: value for key, value in self.model_dump().items() if value is not None}


class Workload(BaseModel):
    """Everything that decides what a server is sent. `requests` and `duration` hold for each point of a sweep."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, arbitrary_types_allowed=True, use_attribute_docstrings=True
    )

    workload: Kind = "random"
    """`random` words, `sonnet` (verse), `prefix` (shared beginnings), a `file`, a `dataframe`, or a `trace`."""
    endpoint: Literal["chat", "completions"] = "chat"
    """`chat` or `completions`."""

    input_tokens: Count = 128
    """Length of each prompt (random, sonnet, prefix); of conversations, what each turn adds."""
    output_tokens: Count = 64
    """Length of each answer; held exactly where the engine can. A row of a file may have its own."""
    input_spread: float = Field(default=0.0, ge=0, lt=1)
    """Prompts vary by this share: 0.2 means 80 % to 120 % of input_tokens."""
    output_spread: float = Field(default=0.0, ge=0, lt=1)
    """Answers vary by this share."""
    prefix_tokens: Counts = [256]
    """Length of the shared beginning (prefix); a list for several levels: [256, 1024]."""
    prefixes: Counts = [4]
    """How many different beginnings there are (prefix); for levels [1, 8]: 1 system prompt, 8 documents under each."""
    text: Literal["words", "sonnet"] | None = None
    """What prefix and trace prompts are made of: random words or verse."""
    path: Text | None = None
    """JSONL, CSV or ShareGPT JSON with prompts; or a trace (Mooncake, BurstGPT, Azure)."""
    column: Text | None = None
    """Column or key that holds the prompt; `prompt` or `messages` when left out."""
    data: Any = Field(default=None, exclude=True, repr=False)
    turns: Count = 1
    """Turns of each conversation, the model's own answers in between (of a file: at most so many)."""
    think: Think = (0.0, 0.0)
    """Pause of a person before the next turn: 2s, or [1s, 5s] for anything between."""
    models: Models = None
    """Models or LoRA adapters and their shares of the requests: {base: 0.5, adapter: 0.5}."""
    images: int = Field(default=0, ge=0, le=64)
    """Pictures in each request, for vision models; made for it, no two alike."""
    image_size: ImageSize = (512, 512)
    """Size of each picture: 512x512 pixels."""
    json_schema: Schema = None
    """A JSON schema for answers, {type: object, ...} or a file (also `schema`); valid ones are counted."""
    ignore_eos: Flag = True
    """Ask for answers of the full length, where the engine can (not with json_schema)."""
    temperature: float | None = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Sampling temperature; 0 picks the likeliest token; null leaves the server its default."""
    extra_body: dict[str, Any] = Field(default_factory=dict)
    """Further fields of every request."""

    rate: Annotated[list[Rate], BeforeValidator(_listed), Field(min_length=1)] | None = None
    """Requests a second, open loop: a number, a list (a sweep), inf, or a ramp {from: 1, to: 16, duration: 60s}."""
    concurrency: Annotated[list[Concurrency], BeforeValidator(_listed), Field(min_length=1)] | None = None
    """Requests (or conversations) kept in flight, closed loop: a number, a list or a ramp."""
    stages: Stages = None
    """Loads without a pause between them, results for each: [{rate: 2, duration: 20s}, {rate: 8, duration: 20s}]."""
    speed: Speed = 1.0
    """Of a trace's own times: 2 sends twice as fast as it was recorded."""
    window: TraceWindow = None
    """Of a trace: which part to send, {from: 10m, to: 20m}."""
    arrival: Arrival | None = None
    """How requests arrive: constant, poisson (default for rates), gamma, throughput, synchronous, concurrent, trace."""
    burstiness: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Of a rate's arrivals, which it makes gamma: 1 is poisson, below 1 burstier, above 1 steadier."""
    requests: Count | None = None
    """Requests at each point (50 when neither this nor duration is given)."""
    conversations: Count | None = None
    """Conversations at each point, where there are turns (else requests / turns)."""
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
    workers_on: Literal["local"] | Cluster = "local"
    """Where those processes are: here, or one on each node of a Ray cluster that has a core free (`ray`,
    `ray://HOST:PORT`); on a line of bench `--on`."""
    workers: Count | Literal["auto"] = "auto"
    """Processes that make the load: one per 50,000 chunks/s, as far as cores can be spared, or a number."""
    seed: Whole = 0
    """Seed of lengths, arrivals and the row that comes first; generated prompts get new words each run, so that no
    cache knows them."""

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
        if "schema" in value and "json_schema" not in value:
            value = dict(value)
            implied["json_schema"] = value.pop("schema")
        if "workload" not in value:
            if value.get("data") is not None:
                implied["workload"] = "dataframe"
            elif value.get("path") is not None:
                implied["workload"] = "file"
        rated = value.get("rate") is not None or value.get("stages") is not None
        if value.get("burstiness") is not None and rated and value.get("arrival") is None:
            implied["arrival"] = "gamma"
        return {**value, **implied}

    @model_validator(mode="after")
    def _consistent(self) -> Workload:
        if self.requests is not None and self.duration is not None:
            raise ValueError("requests and duration exclude each other: give the one that ends a point")
        if self.conversations is not None and self.duration is not None:
            raise ValueError("conversations and duration exclude each other: give the one that ends a point")
        if self.duration is not None and self.duration <= 0:
            raise ValueError("duration must be longer than zero")
        if self.timeout <= 0:
            raise ValueError("timeout must be longer than zero: it is what a request may take")
        check_prompts(self)
        check_arrivals(self)
        check_search(self)
        return self

    def given(self, option: str) -> bool:
        """Whether an option was written, be it with its default."""
        return option in self.model_fields_set and getattr(self, option) is not None

    @property
    def verse(self) -> bool:
        """Whether generated text is verse, not random words."""
        return self.workload == "sonnet" or self.text == "sonnet"

    @property
    def full_length(self) -> bool:
        """Whether answers are asked for in their full length; JSON ends where it ends."""
        return self.ignore_eos and self.json_schema is None

    @property
    def levels(self) -> list[tuple[int, int]]:
        """The levels of shared beginnings: how many there are under each of the level above, and their length."""
        if self.workload != "prefix":
            return []
        depth = max(len(self.prefixes), len(self.prefix_tokens))
        counts = self.prefixes if self.given("prefixes") or depth == 1 else [1] * (depth - 1) + [4]
        lengths = self.prefix_tokens if len(self.prefix_tokens) == depth else self.prefix_tokens * depth
        return list(zip(counts, lengths, strict=True))

    @property
    def points(self) -> list[Point]:
        """The points of the run, in the order written; without any load: 1, 4 and 16 streams, or the trace's times."""
        return points_of(self)

    @property
    def starts_per_point(self) -> int | None:
        """Requests, or conversations where there are turns, begun at each point; None where time ends it.

        50 requests when nothing was said; a conversation counts as its turns.
        """
        if self.conversations is not None:
            return self.conversations
        return None if self.duration is not None else math.ceil((self.requests or 50) / self.turns)
