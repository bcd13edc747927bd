"""Static batches over a model's own `generate`: what libraries without a server need between them and HTTP.

Requests wait until the batch that runs has ended; then as many as fit start together and the longest of them decides
when the next ones may. That is what DeepSpeed and a plain Transformers backend are, and it is not hidden: a better
scheduler here would be a measurement of ours, not of theirs. Rows that end early (length, end token, stop text, client
gone) are answered at once; their place in the batch stays empty.

Any model that `generate` drives will do, wrapped or not: this hooks into its streamer, its logits processors and its
stopping criteria, and touches no cache and no forward pass.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

HOLE = "\ufffd"  # what a tokenizer writes for half a character


@dataclass
class Piece:
    """What came of one step for one request: new text, new tokens, and how it ended when it did."""

    text: str
    tokens: int
    finish: str | None = None
    error: str | None = None


@dataclass
class Ask:
    """One request; its pieces come through `out`, set `gone` when nobody listens any more."""

    ids: list[int]
    max_tokens: int
    min_tokens: int = 0
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0  # 0: all
    min_p: float = 0.0
    presence: float = 0.0
    frequency: float = 0.0
    repetition: float = 1.0
    bias: Mapping[int, float] = field(default_factory=dict)  # token -> what is added to its logit
    seed: int | None = None
    stop: Sequence[str] = ()
    stop_ids: frozenset[int] = frozenset()
    ignore_eos: bool = False
    out: queue.SimpleQueue[Piece] = field(default_factory=queue.SimpleQueue)
    gone: threading.Event = field(default_factory=threading.Event)


class Row:
    """One request within a batch: tokens to text, and when it is over."""

    def __init__(self, ask: Ask, tokenizer: Any, ends: frozenset[int]) -> None:
        self.ask, self.tokenizer, self.ends = ask, tokenizer, (frozenset() if ask.ignore_eos else ends) | ask.stop_ids
        self.ids: list[int] = []
        self.done = False
        self._shown = self._read = 0  # decoding looks back to _shown; text before _read has been given out
        self._told = 0
        self._held = ""

    def take(self, token: int) -> None:
        """The next token."""
        if self.done:
            return
        if self.ask.gone.is_set():
            self.done = True
            return
        self.ids.append(token)
        ended = token in self.ends and len(self.ids) > self.ask.min_tokens
        full = len(self.ids) >= self.ask.max_tokens
        self._held += self._decoded(whole=ended or full)
        finish = "stop" if ended else "length" if full else None
        cut = min((at for word in self.ask.stop if (at := self._held.find(word)) >= 0), default=-1)
        if cut >= 0 and len(self.ids) >= self.ask.min_tokens:
            self._held, finish = self._held[:cut], "stop"
        keep = 0 if finish else max((len(word) - 1 for word in self.ask.stop), default=0)
        text, self._held = (self._held[:-keep], self._held[-keep:]) if keep else (self._held, "")
        if text or finish:
            self.ask.out.put(Piece(text, len(self.ids) - self._told, finish))
            self._told = len(self.ids)
        self.done = finish is not None

    def _decoded(self, *, whole: bool) -> str:
        """Text of the tokens that came since; waits for the rest of a character unless this is the end."""
        before = self.tokenizer.decode(self.ids[self._shown : self._read], skip_special_tokens=True)
        now = self.tokenizer.decode(self.ids[self._shown :], skip_special_tokens=True)
        if now.endswith(HOLE) and not whole:
            return ""
        self._shown, self._read = self._read, len(self.ids)
        return str(now[len(before) :])


class Batches:
    """The queue, and the thread that generates.

    Parameters
    ----------
    generate
        `model.generate` or what wraps it.
    model
        The module itself: its device, its generation settings.
    size
        Most requests in one batch.
    """

    def __init__(self, generate: Callable[..., Any], model: Any, tokenizer: Any, *, size: int) -> None:
        from transformers import GenerationConfig

        self.generate, self.model, self.tokenizer, self.size = generate, model, tokenizer, size
        own = model.generation_config.eos_token_id
        ends = [*(own if isinstance(own, list) else [own]), tokenizer.eos_token_id]
        self.ends = frozenset(int(each) for each in ends if each is not None)
        self.vocabulary = int(model.get_input_embeddings().num_embeddings)
        pad = next((each for each in (tokenizer.pad_token_id, *self.ends) if each is not None), 0)
        self.pad = int(pad)
        # Ends, lengths and sampling are decided here, request by request; what is left unset is taken from this.
        model.generation_config = GenerationConfig(pad_token_id=self.pad, num_beams=1)
        self.waiting: queue.SimpleQueue[Ask] = queue.SimpleQueue()
        self.running = 0
        self.prompt_tokens = self.output_tokens = self.served = 0
        self.lock = threading.Lock()

    def start(self) -> None:
        """Begin to serve the queue."""
        threading.Thread(target=self._work, name="generation", daemon=True).start()

    def submit(self, ask: Ask) -> Ask:
        """Queue a request; its pieces come through `ask.out`, the last one with `finish` or `error`."""
        self.waiting.put(ask)
        return ask

    def metrics(self) -> dict[str, int]:
        """Counts since the start, and what runs and waits now."""
        with self.lock:
            return {
                "requests_running": self.running,
                "requests_waiting": self.waiting.qsize(),
                "prompt_tokens_total": self.prompt_tokens,
                "generation_tokens_total": self.output_tokens,
                "requests_total": self.served,
            }

    def _work(self) -> None:
        while True:
            batch = [self.waiting.get()]
            while len(batch) < self.size and not self.waiting.empty():
                batch.append(self.waiting.get())
            batch = [ask for ask in batch if not ask.gone.is_set()]
            if not batch:
                continue
            with self.lock:
                self.running = len(batch)
            try:
                self._run(batch)
            except Exception as error:  # noqa: BLE001 - it is that batch's answer, not the server's end
                words = " ".join(str(error).split())[:500] or type(error).__name__
                for ask in batch:
                    ask.out.put(Piece("", 0, error=words))
            finally:
                with self.lock:
                    self.running = 0

    def _run(self, batch: list[Ask]) -> None:
        import torch
        from choice import Choice
        from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList

        with self.lock:  # counted when the work begins, as a prefill is
            self.prompt_tokens += sum(len(ask.ids) for ask in batch)
            self.served += len(batch)
        rows = [Row(ask, self.tokenizer, self.ends) for ask in batch]
        longest = max(len(ask.ids) for ask in batch)
        ids = torch.tensor([[self.pad] * (longest - len(ask.ids)) + ask.ids for ask in batch])
        mask = torch.tensor([[0] * (longest - len(ask.ids)) + [1] * len(ask.ids) for ask in batch])
        with torch.inference_mode():
            self.generate(
                input_ids=ids.to(self.model.device),
                attention_mask=mask.to(self.model.device),
                generation_config=GenerationConfig(
                    max_new_tokens=max(ask.max_tokens for ask in batch), do_sample=False, pad_token_id=self.pad,
                    num_beams=1,
                ),
                logits_processor=LogitsProcessorList([Choice(rows)]),
                stopping_criteria=StoppingCriteriaList([_Ended(rows)]),
                streamer=_Steps(self, rows),
            )  # fmt: skip


class _Steps:
    """`generate`'s streamer: gets the prompt first, then one token for each row after every step."""

    def __init__(self, batches: Batches, rows: list[Row]) -> None:
        self.batches, self.rows = batches, rows
        self.prompt = True

    def put(self, value: Any) -> None:
        if self.prompt:
            self.prompt = False
            return
        fresh = 0
        for row, token in zip(self.rows, value.flatten().tolist(), strict=True):
            before = len(row.ids)
            row.take(token)
            fresh += len(row.ids) - before
        with self.batches.lock:
            self.batches.output_tokens += fresh
            self.batches.running = sum(not row.done for row in self.rows)

    def end(self) -> None:
        """`generate` is over."""


class _Ended:
    """`generate`'s stopping criterion: which rows are over."""

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows

    def __call__(self, input_ids: Any, _scores: Any, **_: Any) -> Any:
        import torch

        return torch.tensor([row.done for row in self.rows], dtype=torch.bool, device=input_ids.device)
