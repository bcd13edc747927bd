"""The same question to many, a few at a time, in threads that nobody waits for at the end.

A pool of `concurrent.futures` is joined when the interpreter ends, so one read that hangs (a key on a network disk that
is away) would hold up the end of Jupyter's server. These threads are daemons. Whom a question hangs at is left out,
and not asked again, until it comes back; the others are asked on.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


class Several(Generic[Answer]):
    """Asks by name; to be used by one thread.

    Parameters
    ----------
    name
        What the threads are called.
    at_once
        How many are asked at the same time; those that hang do not count.
    """

    def __init__(self, name: str, at_once: int) -> None:
        self._name = name
        self._at_once = at_once
        self._asked: set[str] = set()  # whose answer is still to come
        self._lock = threading.Lock()

    def __call__(self, questions: Iterable[tuple[str, Callable[[], Answer]]], patience: float) -> dict[str, Answer]:
        """One round: the answers that came in time.

        Parameters
        ----------
        questions
            Names, and what asks each.
        patience
            s without any answer after which the round ends, without those that are still asked.

        Raises
        ------
        Exception
            The first that a question raised; the others were asked all the same.
        """
        with self._lock:
            waiting = [(name, ask) for name, ask in questions if name not in self._asked]
        answers: queue.SimpleQueue[tuple[str, Answer | None, Exception | None]] = queue.SimpleQueue()
        found: dict[str, Answer] = {}
        failed: Exception | None = None
        under_way = 0
        while waiting or under_way:
            while waiting and under_way < self._at_once:
                self._start(*waiting.pop(0), answers)
                under_way += 1
            try:
                name, answer, error = answers.get(timeout=patience)
            except queue.Empty:
                break
            under_way -= 1
            if error is None:
                found[name] = answer  # type: ignore[assignment]
            else:
                failed = failed or error
        if failed is not None:
            raise failed
        return found

    def _start(
        self,
        name: str,
        ask: Callable[[], Answer],
        answers: queue.SimpleQueue[tuple[str, Answer | None, Exception | None]],
    ) -> None:
        def run() -> None:
            answer, error = None, None
            try:
                answer = ask()
            except Exception as raised:  # noqa: BLE001 - it is raised where the answer is awaited
                error = raised
            with self._lock:
                self._asked.discard(name)
            answers.put((name, answer, error))

        with self._lock:
            self._asked.add(name)
        threading.Thread(target=run, name=f"llm-magics {self._name} {name}", daemon=True).start()
