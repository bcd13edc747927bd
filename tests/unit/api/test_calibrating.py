"""A calibration: the client against known latencies. Timed results decide nothing here; counts and words do."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from llm_magics import verbs
from llm_magics.api.calibrating import ITL, TOKENS, TTFT, Calibration, calibrate
from llm_magics.errors import LoadError, SpecError

GOOD = Calibration(
    concurrency=64, requests=200, chunks=20_000, true_ttft=0.05, true_tpot=0.01, ttft_error=1e-4, ttft_error_p99=3e-4,
    tpot_error=1e-5, core=0.07, us_per_chunk=11.0, loop_lag_p99=2e-4, send_lag_p99=1e-4, held=63.9, workers=1,
    server_late_p99=1e-4,
)  # fmt: skip


def test_a_real_one_counts_everything_and_knows_the_truth() -> None:
    found = calibrate(3, seconds=2.5)
    assert found.requests >= 3
    assert found.chunks == found.requests * TOKENS
    assert found.true_ttft >= TTFT
    assert found.true_tpot > ITL * 0.9  # later than planned on a busy machine, never sooner by much
    assert found.ttft_error > -0.001  # a client cannot see a token before it was sent
    assert (found.concurrency, found.workers) == (3, 1)
    assert json.loads(json.dumps(found.data()))["verdict"] == found.verdict
    assert found.verdict in str(found)
    assert "<table" in found._repr_mimebundle_()["text/html"]


def test_good_is_said_in_words() -> None:
    assert GOOD.faults == []
    assert GOOD.verdict == "At 64 streams latencies measured on this machine are the server's own."
    assert GOOD.good_for == 640


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ttft_error": 6e-4}, "TTFT is off by +0.60 ms on average"),
        ({"ttft_error_p99": 3e-3}, "+3.00 ms at p99"),
        ({"tpot_error": -0.002}, "TPOT is off by -0.20 %"),
        ({"core": 0.9}, "the client used 90 % of a core"),
        ({"loop_lag_p99": 4e-3}, "the client woke 4.0 ms late (p99)"),
        ({"held": 60.0}, "60.0 streams were held of the 64 asked for"),
    ],
)
def test_each_fault_is_named(changes: dict[str, Any], words: str) -> None:
    found = replace(GOOD, **changes)
    assert words in found.verdict
    assert "blurs what it measures" in found.verdict


def test_a_late_server_is_said_to_be_one() -> None:
    assert any("late itself" in note for note in replace(GOOD, server_late_p99=0.01).notes)
    assert not any("late itself" in note for note in GOOD.notes)


def test_too_short_and_too_few_are_refused() -> None:
    with pytest.raises(SpecError, match="too short"):
        calibrate(4, seconds=1)
    with pytest.raises(SpecError, match="concurrency"):
        calibrate(0)


def test_more_streams_than_the_system_allows_are_refused() -> None:
    with pytest.raises(LoadError, match="open"):
        calibrate(1 << 30, seconds=3)


def test_the_verb_takes_its_options(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(
        "llm_magics.api.calibrating.calibrate", lambda *args, **rest: asked.append((args, rest)) or GOOD
    )
    options = verbs.parser("calibrate", "%llm").parse_args(["--concurrency", "512", "--seconds", "6"])
    answer = verbs.VERBS["calibrate"].run(options)
    assert asked == [((512,), {"seconds": 6.0})]
    assert (answer.shown, answer.data) == (GOOD, GOOD.data())


def test_the_paced_server_ends_with_its_caller() -> None:
    command = [sys.executable, "-m", "llm_magics.load.paced", "1", "1"]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    assert server.stdout.readline().strip().isdigit()
    server.communicate(timeout=30)  # closes its stdin
    assert server.returncode == 0
