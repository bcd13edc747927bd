"""What `%llm list`, `gpus`, `engines`, `runs` and `doctor` say."""

from __future__ import annotations

from types import SimpleNamespace as Facts

from made import record

from llm_magics.results.store import RunRow
from llm_magics.views import tables


def test_servers_show_state_address_and_how_long_they_live() -> None:
    now = 1000.0
    rows = [
        record(),
        record(name="slow", state="loading", stage="compiling", ready_at=None),
        record(
            name="gone", state="failed", ended_at=now - 120, diagnosis={"cause": "no memory", "line": "", "remedy": ""}
        ),
        record(name="idle", keep="detached", idle=600.0),
        record(name="brief", idle=40.0),
        record(name="soon", stops_at=now + 65, stops_why="its kernel is gone"),
    ]
    text = str(tables.servers(rows, now))
    for word in ("http://127.0.0.1:4123/v1", "loading (compiling)", "failed (no memory)", "ended 2 min ago",
                 "until stopped, or idle for 10 min 00 s",
                 "until its notebook or shell ends, or idle for 40 s",
                 "stops in 1 min 05 s: its kernel is gone"):  # fmt: skip
        assert word in text
    assert str(tables.servers([])).startswith("No servers.")


def test_a_dead_server_shows_no_address() -> None:
    assert "4123" not in str(tables.servers([record(state="failed")]))


def test_gpus_name_their_holders() -> None:
    holder = Facts(pid=7, name="python", server="qwen", memory=30 << 30)
    gpu = Facts(index=0, name="H100", memory_total=80 << 30, memory_used=40 << 30, utilisation=None, power=612.4,
                temperature=64, mig=False, processes=[holder])  # fmt: skip
    text = str(tables.gpus([gpu]))
    assert "40 GiB of 80 GiB" in text
    assert "qwen (pid 7, 30 GiB)" in text
    assert "612 W" in text


def test_engines_say_how_the_missing_ones_are_installed() -> None:
    here = Facts(
        key="llamacpp", title="llama.cpp", installed=True, version="1.2", where="/py", origin="here", command=""
    )
    missing = Facts(key="vllm", title="vLLM", installed=False, version="", where="", origin="", command="install it so")
    text = str(tables.engines([here, missing]))
    assert "installed" in text.splitlines()[2]
    assert "install it so" in text.splitlines()[3]


def test_doctor_puts_the_remedy_beside_the_finding() -> None:
    text = str(tables.doctor([Facts(what="ipywidgets", state="missing", detail="for sliders", remedy="pip install x")]))
    assert "missing" in text
    assert "pip install x" in text


def test_stored_runs_show_their_headline_and_partial_ones_say_so() -> None:
    headline = {"output_throughput": 1234.5, "at": "8 streams", "median_ttft_ms": 12.34, "median_tpot_ms": 5.0,
                "round": "round 2 of A and B"}  # fmt: skip
    row = RunRow("r1", "qwen", "qwen", "vllm", "m", "2026-11-23T10:00:00+00:00", "cancelled", 3, 900, headline)
    text = str(tables.runs([row]))
    for word in ("r1 partial", "1,234", "8 streams", "12.3", "round 2 of A and B"):
        assert word in text
