"""A load made by workers on several nodes of a Ray cluster, told apart by nobody: to its parent it is one worker.

`python entry.py llm_magics.load.relay`: the plan on stdin, the server's samples after it, the end of stdin as the word
to stop; progress on stdout; rows into the spool; a worker's exit statuses. The workers on the nodes are the same
program as at home (`load.worker`), sharing steps as at home (`load.sharing`), started together as at home.

**One clock.** A node's worker is told the run's origin on its own clock (`cluster.clock`): its rows are in seconds of
our run already. The offset is taken again before every step and at the end; what it moved by is drift, and drift and
error bound stand in the node's row of the spool.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import time
from typing import Any

from llm_magics.cluster.place import NodeLost
from llm_magics.cluster.session import Session
from llm_magics.load import far_places
from llm_magics.load.far import SILENCE, Far, offset_of
from llm_magics.load.lost import lost_rows
from llm_magics.load.progress import together
from llm_magics.load.sharing import share

COMPLETE, CANCELLED, NOT_RECORDED, REFUSED, LOST = 0, 3, 4, 5, 6
_LEAD = 300_000_000  # ns between the word to start and the start: it has to reach every node before
_POLL = 0.2  # s
_END = 8.0  # s that workers have to write what they have, once told to stop


class Relay:
    """All workers of one run on a cluster."""

    def __init__(self, plan: dict[str, Any], heard: queue.Queue[dict[str, Any] | None], parent: int) -> None:
        self.plan, self.heard, self.parent = plan, heard, parent
        self.record = int(plan["spool"])
        self.far: list[Far] = []
        self.news: queue.Queue[tuple[Far, dict[str, Any] | None]] = queue.Queue()
        self.stopping: float | None = None
        self.refused = self.broken = ""
        self.begun: dict[int, int] = {}  # step -> when it began, ns of our clock
        self._ready: dict[int, set[int]] = {}

    def run(self) -> int:
        """Find nodes, start workers, follow them to their end; a worker's exit status."""
        asked = self.plan.pop("far")
        with Session(asked["on"]) as session:
            places = far_places.find(session, asked["workers"], int(asked["most"]), self._told_to_stop)
            if self.stopping is not None:
                return CANCELLED
            far_places.prepare(places, {key: self.plan[key] for key in ("host", "port")})
            for number, place in enumerate(places):
                with far_places.beginning(place):
                    self.far.append(Far(number, place, offset_of(place)))
            for far in self.far:
                with far_places.beginning(far.place):
                    self._start(far, len(places))
            for far in self.far:
                threading.Thread(target=self._follow, args=(far,), daemon=True).start()
            try:
                self._watch()
            finally:
                self._finish()
        return self._code()

    def _start(self, far: Far, count: int) -> None:
        steps = [share(step, far.number, count) for step in self.plan["steps"]]
        mine = {**self.plan, "steps": steps, "share": [far.number, count],
                "origin": far.offset.there(self.plan["origin"])}  # fmt: skip
        far.place.call("start", "llm_magics.load.worker", mine, {}, rows=True, seconds=60)

    # Meanwhile -----------------------------------------------------------------------------------------------------

    def _follow(self, far: Far) -> None:
        """In a thread: carry what a worker says into our queue."""
        while True:
            try:
                said = far.place.call("follow", _POLL, seconds=SILENCE)
            except NodeLost as lost:
                far.words.append(str(lost))
                self.news.put((far, None))
                return
            self.news.put((far, said))
            if said["ended"]:
                return

    def _watch(self) -> None:
        while not all(far.over for far in self.far):
            self._listen()
            fresh = False
            try:
                far, said = self.news.get(timeout=0.05)
            except queue.Empty:
                pass
            else:
                fresh = self._lose(far) if said is None else self._take(far, said)
            if fresh:
                known = [far.progress for far in self.far if far.progress is not None]
                if len(known) == len(self.far):
                    _tell(self.parent, together(known))
            if self.stopping is not None and time.monotonic() - self.stopping > _END:
                return

    def _take(self, far: Far, said: dict[str, Any]) -> bool:
        """One answer of a node; whether it brought progress."""
        fresh = False
        for line in far.lines("rows", said["rows"]):
            self._row(far, line)
        for line in far.lines("out", said["out"]):
            news = json.loads(line)
            if "ready" in news:
                self._is_ready(far, news["ready"])
            else:
                far.progress, fresh = news, True
        for line in far.lines("err", said["err"]):
            far.hear(line)
        if said["ended"]:
            far.code = 1 if far.code is None else far.code
            if far.code != COMPLETE:
                self.stop()  # half a load is another load
        return fresh

    def _row(self, far: Far, line: bytes) -> None:
        if line.startswith(b'{"kind":"audit"'):
            far.audits.append(json.loads(line))
        far.requests += line.startswith(b'{"kind":"request"')
        self._write(line)

    def _write(self, line: bytes) -> None:
        try:
            data = memoryview(line + b"\n")
            while data:
                data = data[os.write(self.record, data) :]
        except OSError as error:
            self.broken = self.broken or str(error)
            self.stop()

    def _is_ready(self, far: Far, step: int) -> None:
        """All stand at the start of a step: the moment is told to each on its own clock, as it is now."""
        ready = self._ready.setdefault(step, set())
        if far.number in ready:
            return
        ready.add(far.number)
        if len(ready) < len(self.far):
            return
        for each in self.far:
            each.ask_the_time()
        at = time.monotonic_ns() + _LEAD
        self.begun[step] = at
        for each in self.far:
            each.place.tell("say", json.dumps({"go": each.there(at)}).encode() + b"\n")

    def _listen(self) -> None:
        """What our parent says: samples of the server, or the end."""
        while True:
            try:
                news = self.heard.get_nowait()
            except queue.Empty:
                return
            if news is None:
                self.stop()
                return
            seconds = (news["at"] - self.plan["origin"]) / 1e9
            self._write(json.dumps({"kind": "server", "t": seconds, "values": news["values"]}).encode())

    def _told_to_stop(self) -> bool:
        self._listen()
        return self.stopping is not None

    def stop(self) -> None:
        """End the load everywhere; what is in flight is recorded as cancelled."""
        if self.stopping is None:
            self.stopping = time.monotonic()
            for far in self.far:
                if not far.over:
                    far.place.tell("hush")

    # The end -------------------------------------------------------------------------------------------------------

    def _lose(self, far: Far) -> bool:
        """A node is gone: what it had under way is recorded as lost, and the rest of the run ends."""
        at = time.monotonic_ns()
        far.lost = far.place.why_lost(far.words[-1] if far.words else "")
        words = f"lost with its node {far.place.ip}: {far.lost}"
        for row in lost_rows(self.record, self.plan, far.number, len(self.far), self.begun, at, far.progress, words):
            self._write(json.dumps(row).encode())
        self.refused = self.refused or f"the node {far.place.ip} was lost ({far.lost}); its requests under way are lost"
        self.stop()
        return False

    def _finish(self) -> None:
        for far in self.far:
            if not far.over:
                far.place.tell("hush")
            elif not far.lost:
                far.ask_the_time()
            self._write(json.dumps(far.row()).encode())
        if self.refused or any(far.lost or far.code is None for far in self.far):
            status = "failed" if self.refused else "cancelled"
            why = {"error": self.refused} if self.refused else {}
            duration = (time.monotonic_ns() - self.plan["origin"]) / 1e9
            self._write(json.dumps({"kind": "end", "status": status, "duration": duration, **why}).encode())

    def _code(self) -> int:
        if self.broken:
            sys.stderr.write(f"{self.broken}\n")
            return NOT_RECORDED
        if any(far.lost for far in self.far):
            return LOST
        codes = {far.code for far in self.far if far.code is not None}
        for far in self.far:
            if far.code not in (None, COMPLETE, CANCELLED, REFUSED):
                sys.stderr.write("\n".join([f"on the node {far.place.ip}:", *far.words[-8:]]) + "\n")
                return far.code if far.code != NOT_RECORDED else NOT_RECORDED
        if REFUSED in codes:
            return REFUSED
        return CANCELLED if CANCELLED in codes or len(codes) == 0 or self.stopping is not None else COMPLETE


def _tell(parent: int, line: dict[str, Any]) -> None:
    """Progress for the parent; it reads, or it is gone, and then stdin says so."""
    try:
        os.write(parent, json.dumps(line).encode() + b"\n")
    except OSError:
        return


def _hear(rest: bytes, heard: queue.Queue[dict[str, Any] | None]) -> None:
    """In a thread: the lines of our parent, None at their end."""
    while True:
        *lines, rest = rest.split(b"\n")
        for line in lines:
            heard.put(json.loads(line))
        data = os.read(0, 1 << 16)
        if not data:
            heard.put(None)
            return
        rest += data


def main() -> int:
    """Read the plan, run."""
    line = bytearray()
    while b"\n" not in line:
        piece = os.read(0, 1 << 20)
        if not piece:
            return CANCELLED
        line += piece
    plan, _, rest = bytes(line).partition(b"\n")
    heard: queue.Queue[dict[str, Any] | None] = queue.Queue()
    threading.Thread(target=_hear, args=(rest, heard), daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = os.dup(1)
    os.dup2(2, 1)  # Ray prints what its raylets say where nobody can forbid it: our parent reads lines of JSON only
    return Relay(json.loads(plan), heard, parent).run()


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    os._exit(status)  # Ray's threads must not delay it
