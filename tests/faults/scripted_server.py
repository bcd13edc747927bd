"""A server that misbehaves on request, each option as a real engine has been seen to. Standard library only."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context, resource_tracker
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path


class _Handler(BaseHTTPRequestHandler):
    loading = False
    slow = 0.0
    refuses = False
    running = 0

    def do_GET(self) -> None:
        key = os.environ.get("SCRIPTED_API_KEY")
        if self.path == "/metrics":
            self._answer(200, f"scripted:running {_Handler.running}\n".encode())
            return
        if self.headers.get("Authorization") != f"Bearer {key}":
            self._answer(401, b"no key")
        elif self.path == "/health":
            time.sleep(_Handler.slow)
            self._answer(503 if _Handler.loading else 200, b"ok")
        elif self.path == "/work":
            until = time.process_time() + 0.3
            while time.process_time() < until:
                pass
            self._answer(200, b"worked")
        else:
            self._answer(404, b"no such path")

    def do_POST(self) -> None:
        """Sleep and wake, as vLLM has them; `--refuse-sleep` answers 500 as an engine in trouble."""
        size = int(self.headers.get("Content-Length", 0))
        print(f"POST {self.path} {self.rfile.read(size).decode()}", flush=True)
        self._answer(500 if _Handler.refuses else 200, b"no room for the weights" if _Handler.refuses else b"{}")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


def _sleeper(*, daemon: bool) -> None:
    """A worker in a session of its own; as a daemon it has no parent any more either."""
    code = "import os,sys,time; os.setsid()\n"
    if daemon:
        code += "if os.fork(): os._exit(0)\n"
    code += "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    subprocess.Popen([sys.executable, "-c", code])


def _litter(folder: str) -> object:
    """What a killed engine leaves; the shared memory is in use until it ends, and never removed by it."""
    mark = os.environ["LLM_MAGICS_SERVER"][:12]
    (Path(folder) / f"llm-magics-{mark}-zero-x").mkdir()
    (Path(folder) / f"llm-magics-{mark}-zero-x" / "weights.swp").write_bytes(b"w" * 4096)
    Path(tempfile.mkdtemp(prefix="scripted-"), "repository").write_text("r")
    memory = SharedMemory(create=True, size=4096)
    resource_tracker.unregister(f"/{memory.name}", "shared_memory")
    lock = get_context("spawn").Lock()  # a semaphore: made under another name than it has in the end
    resource_tracker.unregister(lock._semlock.name, "semaphore")
    print(f"shared memory {memory.name}\nsemaphore sem.{lock._semlock.name[1:]}", flush=True)
    return memory, lock


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    parser.add_argument("--say", action="append", default=[], help="a line for the log")
    parser.add_argument("--begin", default="", help="a line for the log that is never ended")
    parser.add_argument("--env", action="append", default=[], help="log a variable of the environment")
    parser.add_argument("--load", type=float, default=0.0, help="s until it listens")
    parser.add_argument("--unready", type=float, default=0.0, help="s that it listens and answers 503")
    parser.add_argument("--die", type=int, help="exit status with which it ends instead of listening")
    parser.add_argument("--ignore-term", type=int, default=0, help="how many TERM signals it ignores")
    parser.add_argument("--escape", choices=["setsid", "daemon"], help="a worker that leaves the group")
    parser.add_argument("--daemonize", action="store_true", help="the engine itself goes into the background")
    parser.add_argument("--chatter", type=int, default=0, help="bytes of log per 10 ms, once ready")
    parser.add_argument("--slow-health", type=float, default=0.0, help="s that an answer about its health takes")
    parser.add_argument("--refuse-sleep", action="store_true", help="answer 500 when it shall sleep or wake")
    parser.add_argument("--running", type=int, default=0, help="requests that its metrics say are running")
    parser.add_argument("--litter", metavar="FOLDER", help="leave files: there, in TMPDIR, in shared memory")
    parser.add_argument("--api-key", help="a key of the user's own, which the log repeats as engines do")
    options = parser.parse_args()

    terms = 0

    def term(*_: object) -> None:
        nonlocal terms
        terms += 1
        print(f"TERM {terms}", flush=True)
        if terms > options.ignore_term:
            os._exit(0)

    signal.signal(signal.SIGTERM, term)
    kept = _litter(options.litter) if options.litter else None
    for line in options.say:
        print(line, flush=True)
    print(options.begin, end="", flush=True)
    if options.api_key:
        print(f"non-default args: {{'api_key': ['{options.api_key}']}}", flush=True)
    for name in options.env:
        print(f"{name}={os.environ.get(name)}", flush=True)
    if options.escape:
        _sleeper(daemon=options.escape == "daemon")
    if options.daemonize and os.fork():
        os._exit(0)
    time.sleep(options.load)
    if options.die is not None:
        sys.exit(options.die)
    _Handler.refuses, _Handler.running = options.refuse_sleep, options.running
    _Handler.loading, _Handler.slow = options.unready > 0, options.slow_health
    server = ThreadingHTTPServer(("127.0.0.1", options.port), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    time.sleep(options.unready)
    _Handler.loading = False
    while kept is not threading:  # it is held for as long as this runs
        time.sleep(0.01 if options.chatter else 1)
        if options.chatter:
            print("x" * options.chatter, flush=True)


if __name__ == "__main__":
    main()
