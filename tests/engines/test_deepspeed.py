"""DeepSpeed for real: in memory, and by ZeRO-Inference with the weights in CPU memory and on a disk."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import conformance
import pytest

import llm_magics
from llm_magics.errors import LaunchError

pytestmark = [pytest.mark.engine("deepspeed"), pytest.mark.extra_engine]
COMPILES = 3600.0  # s; the first use of ZeRO compiles operators, a quarter of an hour on two cores that others use too


def test_it_serves_counts_and_ends() -> None:
    server = llm_magics.serve("probe", engine="deepspeed", keep="cell", timeout=300.0)
    assert server.model == "tiny"
    conformance.speaks(server)
    assert conformance.stream(server, max_tokens=2).done
    conformance.keeps_lengths(server)
    conformance.counts(server)
    conformance.counts_prompts(server)
    conformance.wants_its_key(server)
    conformance.is_measured(server)
    conformance.ends_while_streaming(server)


def test_a_batch_of_different_prompts_answers_as_each_alone() -> None:
    """Rows of a batch are padded; padding that leaked into attention or positions would change the text."""
    server = llm_magics.serve("probe", engine="deepspeed", keep="cell", dtype="float32", timeout=300.0)
    try:
        questions = [
            "What is PagedAttention?",
            "What is a KV cache?",
            "What does a server do with many requests at once?",
        ]

        def ask(question: str) -> str | None:
            answer = server.client.chat.completions.create(
                model=server.model, messages=[{"role": "user", "content": question}], max_tokens=40, temperature=0
            )
            return answer.choices[0].message.content

        alone = [ask(question) for question in questions]
        with ThreadPoolExecutor(9) as pool:
            together = list(pool.map(ask, questions * 3))
        assert together == alone * 3
    finally:
        server.stop()


def test_what_it_cannot_do_is_refused_in_openais_words() -> None:
    server = llm_magics.serve("probe", engine="deepspeed", keep="cell", timeout=300.0)
    try:
        for fields, status in (
            ({"max_tokens": 5000}, 400), ({"n": 2}, 400), ({"model": "other"}, 404), ({"max_tokens": "x"}, 400),
            ({"prompt": ""}, 400),
        ):  # fmt: skip
            body = {"model": server.model, "prompt": "x", "max_tokens": 1, **fields}
            with conformance.open_(server, "/v1/completions", body) as response:
                assert response.status == status, fields
                assert b'"message"' in response.read()
        cut = conformance.stream(server, max_tokens=60, stop=["cache"])
        assert cut.finish == "stop"
        assert "cache" not in cut.text
    finally:
        server.stop()


@pytest.mark.parametrize("where", ["cpu", "nvme"])
def test_zero_inference_says_the_same_as_a_model_in_memory(where: str, tmp_path: Path) -> None:
    words = ["--offload", where, *(["--nvme-path", str(tmp_path)] if where == "nvme" else [])]
    server = llm_magics.serve("probe", engine="deepspeed", keep="cell", args=words, timeout=COMPILES)
    try:
        conformance.speaks(server)
        conformance.counts(server)
        if where == "nvme":
            assert any(path.stat().st_size for path in tmp_path.rglob("*.swp")), "the weights are on the disk"
            assert "Time to load async_io op" in server.logs(1000), "no minutes without a word"
    finally:
        server.stop()
    assert not list(tmp_path.iterdir()), "what was offloaded to the disk is gone with the server"


def test_a_lock_that_nobody_holds_does_not_stop_a_start(tmp_path: Path) -> None:
    """A process killed while it compiled leaves one, on which PyTorch waits for ever."""
    lock = tmp_path / "py311_cpu" / "some_op" / "lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    server = llm_magics.serve(
        "probe", engine="deepspeed", keep="cell", env={"TORCH_EXTENSIONS_DIR": str(tmp_path)}, timeout=300.0
    )
    server.stop()
    assert not lock.exists()


def test_offloading_to_no_folder_is_told() -> None:
    with pytest.raises(LaunchError, match="needs a folder on it"):
        llm_magics.serve("probe", engine="deepspeed", keep="cell", args=["--offload", "nvme"], timeout=300.0)
