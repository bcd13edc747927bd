"""A report is pasted in public: it must be enough to run again, and hold nothing of the reporter's machine."""

from __future__ import annotations

import pytest
from synthetic import synthetic_run

from llm_magics.results.issue_report import public


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


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("see https://me:pw@host.example/x?k=1 now", "see http://ADDRESS now"),
        ("--model=/a/b/c.gguf -x", "--model=c.gguf -x"),
        ("~/work/m", "m"),
        ("C:\\Users\\ann\\m.gguf", "m.gguf"),
        ("hf_abcdefghijkl sk-abcdefghijkl", "*** ***"),
        ("Qwen/Qwen2.5-7B", "Qwen/Qwen2.5-7B"),
        ("127.0.0.1:8000", "ADDRESS"),
        ("2/3 of 0.5 s", "2/3 of 0.5 s"),
    ],
)
def test_what_names_a_place_or_a_secret_goes(text: str, shown: str) -> None:
    assert public(text) == shown
