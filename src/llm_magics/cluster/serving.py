"""The client of an engine on a node: the supervisor's child, as a container's client is.

It takes a place, starts the engine there, and is its voice: what the engine says comes out of stdout, its end is this
process's end. TERM stops the engine with its grace; when this process is killed, Ray ends the actor, whose end the
engine's guard on the node sees (`runtime.node_guard`). Lines of its own begin with `ray: `.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from typing import Any

from llm_magics.cluster import parcel
from llm_magics.cluster.place import NodeLost, Place
from llm_magics.cluster.reach import reach
from llm_magics.cluster.session import PLACE, Session
from llm_magics.errors import LLMMagicsError

_REACH = 20.0  # s until a port that the engine listens on must be reachable from here
_POLL = 0.3  # s
_CLEAR_UP = 12.0  # s beyond the engine's grace that its end may take
_RELEASE = 120.0  # s until Ray has ended an engine's workers that it started, who share memory with it


class Voice:
    """What the engine says and what we say, on stdout: our lines stand between the engine's, never within one."""

    def __init__(self) -> None:
        self._begun = b""  # a line of the engine's that has not ended yet
        self._within = False  # whether such a line was written so far

    def engine(self, out: bytes) -> None:
        """More of the engine's output; nothing new, and a line that does not end (a prompt, a bar) goes as it is."""
        self._begun += out
        cut = self._begun.rfind(b"\n") + 1 if out else len(self._begun)
        self._write(self._begun[:cut])
        self._begun = self._begun[cut:]

    def say(self, line: str) -> None:
        """A line of ours in the engine's log."""
        self.whole(f"ray: {line}".encode())

    def whole(self, line: bytes) -> None:
        """A line that begins and ends here, whoever's it is."""
        self._write(b"\n" * self._within + line + b"\n")

    def complain(self, what: str, why: str, then: str) -> None:
        """A failure, in the form that `engines.cluster_messages` reads."""
        self.say(f"{what.rstrip('.')} [{' '.join(why.split())}] -> {then}")

    def _write(self, data: bytes) -> None:
        self._within = not data.endswith(b"\n") if data else self._within
        left = memoryview(data)
        while left:
            left = left[os.write(1, left) :]


class Client:
    """One engine on one node."""

    def __init__(self, asked: argparse.Namespace, argv: list[str]) -> None:
        self.asked, self.argv = asked, argv
        self.stopping: float | None = None
        self.exit: int | None = None
        self._rest = b""
        self.voice = Voice()

    def stop(self, *_: object) -> None:
        """The supervisor wants it to end."""
        self.stopping = self.stopping or time.monotonic()

    def run(self) -> int:
        """From the place to the engine's end; its exit status."""
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, self.stop)
        asked = self.asked
        self.voice.say(f"connecting to the cluster ({asked.on})")
        with Session(asked.on) as session:
            for signum in (signal.SIGTERM, signal.SIGINT):  # Ray has put its own there
                signal.signal(signum, self.stop)
            self.voice.say(f"waiting for {asked.cpus} CPU and {asked.gpus} GPU on the node {asked.host}")
            place = session.ask_for(asked.cpus, asked.gpus, asked.node)
            if not session.wait_for([place], PLACE, lambda: self.stopping is not None):
                if self.stopping is None:
                    self.voice.complain(
                        "the node has no room any more", f"waited {PLACE:g} s for {asked.host}", "start it again"
                    )
                return 1
            try:
                self._start(place)
                self._follow(place)
            except NodeLost as lost:
                self.voice.engine(b"")
                why = place.why_lost(str(lost))
                self.voice.complain(
                    f"node lost: {asked.host}", why, "start it again: it takes another node; ray status shows all"
                )
                return 1
        return 1 if self.exit is None else self.exit

    def _start(self, place: Place) -> None:
        asked = self.asked
        self.voice.say(f"sending what the engine needs to {place.ip}")
        folder = place.call("unpack", parcel.pack(asked.carry), seconds=120)
        env = {name: os.environ[name] for name in asked.env if name in os.environ}
        if asked.gpus and place.gpus is not None:
            env["CUDA_VISIBLE_DEVICES"] = place.gpus
        if asked.across:  # it is a driver of its own; without the address it would start a cluster of its own
            env["RAY_ADDRESS"] = place.cluster
        plan = {
            "argv": parcel.moved(self.argv, asked.carry, folder), "env": env, "host": asked.host, "port": asked.port,
            "grace": asked.grace, "forget": ["CUDA_VISIBLE_DEVICES"] if asked.across else [],
            "patience": _RELEASE if asked.across else 0.0,
        }  # fmt: skip
        place.call("start", "llm_magics.runtime.node_guard", plan, {}, seconds=60)
        self.voice.say(f"starting the engine on {place.ip}")

    def _follow(self, place: Place) -> None:
        hushed = False
        while True:
            if self.stopping is not None and not hushed:
                place.tell("hush")
                hushed = True
            said = place.call("follow", _POLL, seconds=60)
            self.voice.engine(said["out"])
            *lines, self._rest = (self._rest + said["err"]).split(b"\n")
            for line in lines:
                self._event(line, place)
            if said["ended"]:
                self.voice.engine(b"")
                return
            if self.stopping is not None and time.monotonic() - self.stopping > self.asked.grace + _CLEAR_UP:
                self.voice.say("the engine's guard on the node does not end; its actor is killed")
                return

    def _event(self, line: bytes, place: Place) -> None:
        try:
            event: dict[str, Any] = json.loads(line)
        except ValueError:
            if line.strip():
                self.voice.whole(line)
            return
        if "status" in event:
            self.exit = int(event["status"])
        elif "exit" in event:
            self.exit = int(event["exit"]) if self.exit is None else self.exit
        elif "taken" in event:
            self.voice.say(f"the port is taken on the node: {event['taken']}")
        elif "failed" in event:
            self.voice.complain(
                "the engine could not be executed", event["failed"], "see that it is installed on the node"
            )
        elif "listens" in event:
            host, port = self.asked.host, self.asked.port
            if why := reach(host, port, _REACH, lambda: self.stopping is not None):
                self.voice.complain(
                    f"the engine answers on its node, but {host}:{port} cannot be reached from this machine",
                    f"{why}, for {_REACH:g} s; a firewall?",
                    "open the port (port: NUMBER fixes it), or run the notebook on the cluster",
                )
                self.exit = 1
                self.stop()
            elif self.stopping is None:
                self.voice.say(f"the engine listens on {host}:{port}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name, kind in (("on", str), ("node", str), ("host", str), ("port", int), ("cpus", int), ("gpus", int),
                       ("grace", float)):  # fmt: skip
        parser.add_argument(f"--{name}", type=kind, required=True)
    parser.add_argument("--across", action="store_true")
    parser.add_argument("--carry", action="append", default=[])
    parser.add_argument("--env", action="append", default=[])
    return parser


def main() -> None:
    """`[options] -- COMMAND`: the engine's command as it is on the node."""
    words = sys.argv[1:]
    cut = words.index("--")
    client = Client(_parser().parse_args(words[:cut]), words[cut + 1 :])
    try:
        code = client.run()
    except LLMMagicsError as error:
        client.voice.complain(error.what, error.why, error.then)
        code = 1
    sys.stdout.flush()
    if code < 0:  # as the engine ended, so does this
        signal.signal(signal.Signals(-code), signal.SIG_DFL) if -code not in (signal.SIGKILL, signal.SIGSTOP) else None
        os.kill(os.getpid(), -code)
    os._exit(code)  # Ray's threads must not delay it


if __name__ == "__main__":
    main()
