"""The launcher of the xllamacpp wheel: why a server cannot start is in its log whatever happens next."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from llm_magics.engines import launchers

pytest.importorskip("xllamacpp")

SERVER = Path(launchers.__path__[0]) / "xllamacpp_server.py"
# It fails to load a model while nobody reads its stderr, says so, and is gone as soon as its last words are out.
CODE = f"""
import importlib.util, os, sys
spec = importlib.util.spec_from_file_location("server", {str(SERVER)!r})
server = importlib.util.module_from_spec(spec)
spec.loader.exec_module(server)
server._LAST_WORDS = 60
said = server.last_words
def last_words():
    os.write(1, b"failed")
    said()
    os._exit(3)
server.last_words = last_words
sys.argv = ["server", "--model", "/nonexistent.gguf", "--host", "127.0.0.1", "--port", "1"]
server.main()
"""


def test_the_librarys_reasons_are_written_before_its_process_may_end() -> None:
    """It writes them from a thread of its own: one that is late, as on a busy machine, would take them with it."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    full = 0
    while True:
        try:
            full += os.write(writing, b"-" * 4096)
        except BlockingIOError:
            break
    os.set_blocking(writing, True)
    child = subprocess.Popen([sys.executable, "-c", CODE], stdout=subprocess.PIPE, stderr=writing)
    os.close(writing)
    try:
        assert child.stdout is not None
        assert child.stdout.read(6) == b"failed"
        time.sleep(0.5)  # who does not wait is gone by then
        with os.fdopen(reading, "rb") as log:
            said = log.read()[full:].decode()
        assert child.wait(60) == 3
    finally:
        child.kill()
        child.wait()
        child.stdout.close()  # type: ignore[union-attr]
    assert "failed to open GGUF file '/nonexistent.gguf'" in said
    assert "exiting due to model loading error" in said
