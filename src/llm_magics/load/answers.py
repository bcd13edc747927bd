"""The same prompt to several servers at once, their answers side by side as they stream: shown, never a measurement.

One thread a target, so that a server which hangs or fails does not stop the others; the answer is read by the same
`Reply` that the load generator uses, so both agree on what a token is.
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from llm_magics.errors import TargetError
from llm_magics.load.address import proxy_note
from llm_magics.load.asking import headers
from llm_magics.load.endpoint import Endpoint
from llm_magics.results.answers import Answer

CANCELLED = "cancelled"  # the error of an answer that was cut off
_PATIENCE = 600.0  # s for a whole answer
_CONNECT = 10.0  # s
_LOOK = 0.1  # s between two looks at `cancel`


def answers(
    endpoints: Mapping[str, Endpoint],
    prompt: str,
    *,
    max_tokens: int = 128,
    temperature: float = 0.0,
    on_update: Callable[[dict[str, Answer]], None] | None = None,
    cancel: threading.Event | None = None,
) -> dict[str, Answer]:
    """Ask every endpoint the same and return what each said.

    Parameters
    ----------
    endpoints
        Name -> endpoint; the answers come in this order.
    max_tokens
        Longest answer; an answer may end sooner.
    on_update
        Called in this thread, at most ten times a second, with all answers as they are at that moment.
    cancel
        Set it to stop; KeyboardInterrupt does the same. What has come is returned, and the `error` of every answer
        that was cut off is `CANCELLED`.

    Returns
    -------
    Name -> answer. A target that fails has its `error` set and does not stop the others; nothing is raised for it.

    Raises
    ------
    KeyboardInterrupt
        When an interrupt came and no answer tells of it, because all had ended: the caller must not go on.
    """
    stop = threading.Event()
    asked = {
        name: _Question(name, endpoint, prompt, max_tokens, temperature, stop) for name, endpoint in endpoints.items()
    }
    threads = [threading.Thread(target=question.run, daemon=True) for question in asked.values()]
    shown: dict[str, Answer] | None = None
    interrupted = False
    try:
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            if cancel is not None and cancel.is_set():
                break
            next((thread for thread in threads if thread.is_alive()), threads[0]).join(_LOOK)
            now = {name: question.answer() for name, question in asked.items()}
            if on_update is not None and now != shown:
                shown = now
                on_update(now)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        stop.set()
    for thread in threads:
        if thread.ident is not None:
            thread.join(2 * _LOOK + 1.0)
    final = {name: question.last() for name, question in asked.items()}
    if on_update is not None and final != shown:
        on_update(final)
    if interrupted and all(answer.error != CANCELLED for answer in final.values()):
        raise KeyboardInterrupt
    return final


class _Question:
    """One target being asked, in a thread of its own."""

    def __init__(
        self, name: str, endpoint: Endpoint, prompt: str, max_tokens: int, temperature: float, stop: threading.Event
    ) -> None:
        self.blank = Answer(name=name, model=endpoint.model)
        self.endpoint = endpoint
        self.stop = stop
        self.sent = 0
        self.pieces: list[str] = []
        self.reply = endpoint.protocol.reply(on_text=lambda text, _: self.pieces.append(text))
        self.failure: str | None = None
        self.body = {
            **endpoint.protocol.named(endpoint.model),
            "stream": True,
            **endpoint.protocol.said(prompt, chat=True),
            "max_tokens": max_tokens,
            "temperature": temperature,
            **endpoint.body,
        }

    def run(self) -> None:
        """Ask and read to the end; whatever goes wrong becomes the answer's error."""
        try:
            self._converse()
        except TargetError as error:
            self.failure = str(error)
        except OSError as error:
            unused = proxy_note(self.endpoint.address)
            self.failure = f"{self.endpoint.url}: {error.strerror or error}{f' ({unused})' if unused else ''}"
        if self.failure is None and not self.reply.over:
            self.failure = CANCELLED if self.stop.is_set() else f"no end of the answer within {_PATIENCE:g} s"

    def last(self) -> Answer:
        """What is known at the end, whether the thread has come back (it may still be connecting) or not."""
        answer = self.answer()
        return answer if answer.error or self.reply.over else replace(answer, error=CANCELLED)

    def answer(self) -> Answer:
        """What is known so far."""
        reply, sent = self.reply, self.sent
        stamps = reply.stamps.tolist()
        ttft = (stamps[0] - sent) / 1e9 if stamps else None
        e2e = (stamps[-1] - sent) / 1e9 if stamps else None
        tokens = reply.output_tokens
        # Over the whole answer: one answer's chunks may come in one burst, and a burst has no pace of its own.
        # Until usage has come, a chunk is a token.
        speed = (tokens or len(stamps)) / e2e if e2e else None
        return replace(
            self.blank,
            text="".join(self.pieces),
            ttft=ttft,
            tokens=tokens,
            tokens_per_s=speed,
            prompt_tokens=reply.prompt_tokens,
            e2e=e2e,
            finish=reply.finish,
            error=self.failure or reply.error,
        )

    def _converse(self) -> None:
        where = self.endpoint.address
        body = json.dumps(self.body).encode()
        fields = {**headers(where, self.endpoint.api_key), "Connection": "close", "Content-Length": str(len(body))}
        head = "".join(f"{key}: {value}\r\n" for key, value in fields.items())
        path = self.endpoint.protocol.path(self.endpoint.model, chat=True)
        request = f"POST {where.path}{path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body
        with socket.create_connection((where.host, where.port), timeout=_CONNECT) as plain:
            tls = ssl.create_default_context() if where.tls else None
            with tls.wrap_socket(plain, server_hostname=where.host) if tls else plain as sock:
                self.sent = time.monotonic_ns()
                sock.sendall(request)
                sock.settimeout(_LOOK)
                until = time.monotonic() + _PATIENCE
                while not self.reply.over and not self.stop.is_set() and time.monotonic() < until:
                    try:
                        data = sock.recv(65_536)
                    except TimeoutError:
                        continue
                    now = time.monotonic_ns()
                    if data:
                        self.reply.feed(data, now)
                    else:
                        self.reply.closed(now)
