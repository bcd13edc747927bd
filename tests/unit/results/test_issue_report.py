"""A report is pasted in public: it must be enough to run again, and hold nothing of the reporter's machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from synthetic import synthetic_run

from llm_magics.results.issue_report import public
from llm_magics.spec import Workload
from llm_magics.spec.reading import build, read_mapping


def test_a_report_holds_what_is_needed_and_nothing_private(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SERVICE_TOKEN", "very-private-value")
    run = synthetic_run()
    run.header |= {
        "engine": "vllm", "engine_version": "0.33.0", "model": "/home/ann/models/Qwen2.5-7B", "cores": 8,
        "command": "HF_TOKEN=very-private-value /home/ann/envs/vllm/bin/vllm serve /home/ann/models/Qwen2.5-7B "
        "--api-key abc123 --host 10.1.2.3 --max-num-seqs 8",
        "system": "Linux-6.1.0-acme-corp-build-x86_64", "gpu": "NVIDIA H100",
        "spec": {"engine": "vllm", "model": "/home/ann/models/Qwen2.5-7B", "max_num_seqs": 8, "python": "/home/ann/p",
                 "env": {"SECRET_FLAG": "hush-hush"}},
    }  # fmt: skip
    run.header["workload"] = {**run.workload, "extra_body": {"session_id": "ssh-quiet", "top_k": 3}}
    run.notes.append("not stored: The measurement is in /home/ann/.local/share/x.jsonl.")
    report = run.issue_report("Why is TTFT so high at 8 streams?")
    for kept in ("Why is TTFT so high", "vllm 0.33.0", "Qwen2.5-7B", "max_num_seqs: 8", "%%bench server", "NVIDIA H100",
                 "--max-num-seqs 8", "TTFT p50 ms", "SECRET_FLAG", "x.jsonl",
                 "session_id"):  # fmt: skip
        assert kept in report, kept
    for private in ("ann", "/home", "10.1.2.3", "abc123", "very-private", "hush-hush", "acme", "ssh-quiet"):
        assert private not in report, private
    assert len(run.points) == sum(line.startswith("| ") for line in report.splitlines()) - 2


RAMP = {"from": 1, "to": 8, "duration": "4s", "shape": "exponential"}


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"rate": [1, 2.5], "requests": 40, "temperature": None, "ignore_eos": False, "seed": 3},
        {"rate": "inf", "price": {"gpu": 2.5}, "workers": 2, "timeout": "10s"},
        {"rate": RAMP, "burstiness": 0.5, "drain": "5s"},
        {"concurrency": RAMP, "models": {"a": 1, "b: c": 3}},
        {"stages": [{"rate": 2, "duration": "3s"}, {"rate": RAMP}], "slo": {"ttft": "250ms", "e2e": "10s"}},
        {"workload": "prefix", "prefixes": [1, 2], "prefix_tokens": [100, 200], "text": "sonnet"},
        {"turns": 3, "think": ["1s", "5s"], "conversations": 4, "concurrency": 2},
        {"json_schema": {"type": "object", "properties": {"ok": {"type": "boolean"}}}, "images": 1},
        {"search": "slo", "slo": {"tpot": "50ms"}, "goodput": 0.9, "budget": "1m"},
        {"workload": "trace", "path": "{}/t.jsonl", "speed": 2, "window": {"from": "10m", "to": "1h"}},
        {"path": "{}/t.jsonl", "column": "1e3"},
    ],
)
def test_its_cell_is_the_workload_again(asked: dict[str, Any], tmp_path: Path) -> None:
    """Whoever pastes it measures what the reporter measured: no option is refused, none lost."""
    (tmp_path / "t.jsonl").write_text("{}")
    asked = {key: each.format(tmp_path) if key == "path" else each for key, each in asked.items()}
    work = build(Workload, asked)
    run = synthetic_run()
    run.header["workload"] = json.loads(json.dumps(work.model_dump(mode="json")))
    cell = run.issue_report().partition("%%bench server\n")[2].partition("```")[0]
    assert str(tmp_path) not in cell
    body = cell.replace("# path: the reporter's own", f"path: {tmp_path}/t.jsonl")
    assert build(Workload, read_mapping(body)[0]) == work


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("see https://me:pw@host.example/x?k=1 now", "see http://ADDRESS now"),
        ("--model=/a/b/c.gguf -x", "--model=c.gguf -x"),
        ("~/models/m", "m"),
        ("C:\\Users\\ann\\m.gguf", "m.gguf"),
        ("hf_abcdefghijkl sk-abcdefghijkl", "*** ***"),
        ("Qwen/Qwen2.5-7B", "Qwen/Qwen2.5-7B"),
        ("127.0.0.1:8000", "ADDRESS"),
        ("2/3 of 0.5 s", "2/3 of 0.5 s"),
    ],
)
def test_what_names_a_place_or_a_secret_goes(text: str, shown: str) -> None:
    assert public(text) == shown
