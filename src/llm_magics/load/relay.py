"""A load made by workers on several nodes of a Ray cluster, told apart by nobody: to its parent it is one worker.

`python entry.py llm_magics.load.relay`: the plan on stdin, the server's samples after it, the end of stdin as the word
to stop; progress on stdout; rows into the spool; a worker's exit statuses. The workers on the nodes are the same
program as at home (`load.worker`), sharing steps as at home (`load.sharing`), started together as at home.

**One clock.** A node's worker is told the run's origin on its own clock (`cluster.clock`): its rows are in seconds of
our run already. The offset is taken again before every step and at the end; what it moved by is drift, and drift and
error bound stand in the node's row of the spool.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from llm_magics.cluster import clock, parcel
from llm_magics.cluster.clock import Offset
from llm_magics.cluster.session import PLACE, NodeLost, Place, Session, room
from llm_magics.errors import SpecError
from llm_magics.load.lost import lost_rows
from llm_magics.load.progress import together
from llm_magics.load.sharing import share

COMPLETE, CANCELLED, NOT_RECORDED, REFUSED, LOST = 0, 3, 4, 5, 6
_LEAD = 300_000_000  # ns between the word to start and the start: it has to reach every node before
_POLL = 0.2  # s
_SILENCE = 15.0  # s without an answer after which a node counts as lost
_END = 8.0  # s that workers have to write what they have, once told to stop


@dataclass
class Far:
    """One worker on a node, and what is known of it."""

    number: int
    place: Place
    offset: Offset
    drift: int = 0
    progress: dict[str, Any] | None = None
    code: int | None = None
    lost: str = ""
    words: list[str] = field(default_factory=list)
    audits: list[dict[str, Any]] = field(default_factory=list)
    requests: int = 0
    rest: dict[str, bytes] = field(default_factory=lambda: {"out": b"", "err": b"", "rows": b""})

    @property
    def over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.code is not None or bool(self.lost)

    def row(self) -> dict[str, Any]:
        """The node in the spool: its clock (s), and what its worker said of itself, the worst of all steps."""
        worst = {key: max((audit[key] for audit in self.audits), default=0.0) for key in _AUDITED}
        return {
            "kind": "node", "worker": self.number, "node": self.place.ip, "id": self.place.id[:12],
            "offset": self.offset.offset / 1e9, "error": (self.offset.error + self.drift) / 1e9,
            "drift": self.drift / 1e9, "requests": self.requests, **worst, **({"lost": self.lost} if self.lost else {}),
        }  # fmt: skip


_AUDITED = ("core", "loop_lag_p99", "send_lag_p99")


class Relay:
    """All workers of one run on a cluster."""

    def __init__(self, plan: dict[str, Any], heard: queue.Queue[dict[str, Any] | None]) -> None:
        self.plan, self.heard = plan, heard
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
        self.most = int(asked["most"])
        with Session(asked["on"]) as session:
            places = self._places(session, asked["workers"])
            if self.stopping is not None:
                return CANCELLED
            sent = parcel.pack()
            self._on_all(places, lambda place: self._prepare(place, sent))
            count = len(places)
            for number, place in enumerate(places):
                with _beginning(place):
                    self.far.append(Far(number, place, _offset(place)))
            for far in self.far:
                with _beginning(far.place):
                    self._start(far, count)
            for far in self.far:
                threading.Thread(target=self._follow, args=(far,), daemon=True).start()
            try:
                self._watch()
            finally:
                self._finish()
        return self._code()

    # Before --------------------------------------------------------------------------------------------------------

    def _places(self, session: Session, workers: int | str) -> list[Place]:
        """One place on every node that has a core free, or as many as were asked for."""
        nodes = [node for node in session.nodes() if node["resources"].get("CPU", 0) >= 1]
        most = self.most
        enough = None
        if workers == "auto":
            # A node whose cores are taken never comes: as many are waited for as there are cores to be had.
            enough = max(1, min(len(nodes), most, int(session.free().get("CPU", 0))))
            wanted = [session.ask_for(1, 0, node["id"]) for node in nodes]
        else:
            wanted = [session.ask_for(1, 0) for _ in range(min(int(workers), most))]
        come = session.wait_for(wanted, PLACE, self._told_to_stop, enough)[:most]
        for place in wanted:
            if place not in come:
                session.give_back(place)
        if self.stopping is None and (not come or (workers != "auto" and len(come) < len(wanted))):
            raise SpecError(
                f"The cluster has {len(come) or 'no'} CPU{'' if len(come) == 1 else 's'} free for load workers"
                + (f", {len(wanted)} were asked for." if workers != "auto" else "."),
                why=f"each takes one; nodes: {room(nodes)}",
                then="stop what holds them (ray status), ask for fewer (workers: N), or leave --on out",
            )
        return come

    def _prepare(self, place: Place, sent: bytes) -> None:
        """Send the code; ask whether it runs there and whether the server can be reached from there."""
        place.call("unpack", sent, seconds=60)
        question = json.dumps({key: self.plan[key] for key in ("host", "port")})
        code, out, err = place.call("ask", "llm_magics.load.on_node", question, seconds=60)
        answer = json.loads(out.splitlines()[-1]) if code == 0 else {"missing": (err.strip().splitlines() or ["?"])[-1]}
        if missing := answer.get("missing"):
            raise SpecError(
                f"The load generator does not run on the node {place.ip}.", why=missing,
                then="pip install llm-magics in the Python of the cluster's nodes",
            )  # fmt: skip
        if why := answer.get("unreachable"):
            host, port = self.plan["host"], self.plan["port"]
            raise SpecError(
                f"The node {place.ip} cannot reach the server at {host}:{port}.", why=why,
                then="serve it where the nodes can reach it (%serve NAME --on ray), or bench from here: leave --on out",
            )  # fmt: skip

    def _on_all(self, places: list[Place], do: Any) -> None:
        """The same on every node at once; the first failure is the one that counts."""
        failed: list[BaseException] = []

        def one(place: Place) -> None:
            try:
                with _beginning(place):
                    do(place)
            except Exception as error:  # noqa: BLE001 - raised below, in the thread that ends the run
                failed.append(error)

        threads = [threading.Thread(target=one, args=(place,)) for place in places]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failed:
            for place in places:  # nothing was started that would take its parcel away
                with contextlib.suppress(NodeLost):
                    place.call("clear", seconds=5)
            raise failed[0]

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
                said = far.place.call("follow", _POLL, seconds=_SILENCE)
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
                    _tell(together(known))
            if self.stopping is not None and time.monotonic() - self.stopping > _END:
                return

    def _take(self, far: Far, said: dict[str, Any]) -> bool:
        """One answer of a node; whether it brought progress."""
        fresh = False
        for line in self._lines(far, "rows", said["rows"]):
            self._row(far, line)
        for line in self._lines(far, "out", said["out"]):
            news = json.loads(line)
            if "ready" in news:
                self._is_ready(far, news["ready"])
            else:
                far.progress, fresh = news, True
        for line in self._lines(far, "err", said["err"]):
            if line.startswith(b'{"exit"'):
                far.code = int(json.loads(line)["exit"])
            elif line.strip():
                far.words = [*far.words[-20:], line.decode("utf-8", "replace")]
        if said["ended"]:
            far.code = 1 if far.code is None else far.code
            if far.code != COMPLETE:
                self.stop()  # half a load is another load
        return fresh

    @staticmethod
    def _lines(far: Far, name: str, data: bytes) -> list[bytes]:
        *lines, far.rest[name] = (far.rest[name] + data).split(b"\n")
        return [line for line in lines if line]

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
            self._clock(each)
        at = time.monotonic_ns() + _LEAD
        self.begun[step] = at
        for each in self.far:
            now = each.offset.there(at) + self._moved(each)
            each.place.tell("say", json.dumps({"go": now}).encode() + b"\n")

    def _clock(self, far: Far) -> None:
        """Take the offset again; the rows keep the first one, so what it moved by is part of their error."""
        try:
            latest = _offset(far.place)
        except NodeLost:
            return  # whoever follows it says so
        far.drift = max(far.drift, far.offset.drift(latest) - far.offset.error - latest.error, 0)
        far.place.latest = latest  # type: ignore[attr-defined]

    @staticmethod
    def _moved(far: Far) -> int:
        latest = getattr(far.place, "latest", far.offset)
        moved = latest.offset - far.offset.offset
        return int(moved) if abs(moved) > far.offset.error + latest.error else 0  # else it is noise

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
                self._clock(far)
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


@contextlib.contextmanager
def _beginning(place: Place) -> Iterator[None]:
    try:
        yield
    except NodeLost as lost:
        why = str(lost)
        raise SpecError(f"The node {place.ip} was lost before the load began.", why=why, then="run it again") from None


def _offset(place: Place) -> Offset:
    return clock.measure(lambda: int(place.call("clock", seconds=_SILENCE)), time.monotonic_ns)


def _tell(line: dict[str, Any]) -> None:
    """Progress for the parent; it reads, or it is gone, and then stdin says so."""
    try:
        os.write(1, json.dumps(line).encode() + b"\n")
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
    return Relay(json.loads(plan), heard).run()


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    os._exit(status)  # Ray's threads must not delay it
