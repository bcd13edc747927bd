"""llama.cpp for real, with the model that ships: the default of the whole package."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import conformance
import pytest

import llm_magics
from llm_magics import models
from llm_magics.errors import LaunchError, SpecError

BINARY = shutil.which("llama-server")
# Where a llama-server is on PATH, all that the wheel's must do is asked of it as well.
both = pytest.mark.parametrize(
    "by", [pytest.param({}, id="wheel"), *([pytest.param({"bin": BINARY}, id="binary")] if BINARY else [])]
)


@pytest.mark.engine("llamacpp")
@both
def test_it_serves_counts_and_ends(by: dict[str, Any]) -> None:
    server = llm_magics.serve("probe", keep="cell", **by)
    assert Path(server.command.split()[0]).name == ("llama-server" if by else "python")
    assert server.model == "tiny"
    conformance.speaks(server)
    conformance.keeps_lengths(server)
    conformance.counts(server)
    conformance.counts_prompts(server)
    conformance.wants_its_key(server)
    conformance.is_measured(server)
    conformance.ends_while_streaming(server)


@pytest.mark.engine("llamacpp")
@both
def test_its_options_are_felt(by: dict[str, Any]) -> None:
    server = llm_magics.serve(
        "probe", keep="cell", max_model_len=256, max_num_seqs=2, enable_prefix_caching=False,
        kv_cache_dtype="q8_0", served_model_name="mine", **by,
    )  # fmt: skip
    try:
        with conformance.open_(server, "/slots") as response:
            slots = json.load(response)
        assert [slot["n_ctx"] for slot in slots] == [256, 256], "context is per request"
        assert server.client.models.list().data[0].id == server.model == "mine"
        conformance.stream(server, max_tokens=2)
        again = conformance.stream(server, max_tokens=2)
        assert not (again.usage.get("prompt_tokens_details") or {}).get("cached_tokens")
        with conformance.open_(server, "/v1/completions", {"prompt": "word " * 400, "max_tokens": 1}) as response:
            assert response.status == 400
    finally:
        server.stop()


@pytest.mark.engine("llamacpp")
@both
def test_prefixes_are_cached_unless_told_otherwise(by: dict[str, Any]) -> None:
    server = llm_magics.serve("probe", keep="cell", **by)
    try:
        conformance.stream(server, max_tokens=2)
        again = conformance.stream(server, max_tokens=2)
        assert again.usage["prompt_tokens_details"]["cached_tokens"] > 0
        assert server.metrics()["cached_tokens"] > 0
    finally:
        server.stop()


@pytest.mark.engine("llamacpp")
def test_a_wrong_flag_ends_in_the_engines_own_words() -> None:
    with pytest.raises(LaunchError, match="does not know an option") as told:
        llm_magics.serve("probe", keep="cell", args=["--bogus"])
    assert "unrecognized arguments: --bogus" in told.value.why


@pytest.mark.engine("llamacpp")
@both
def test_a_file_that_is_cut_off_behind_its_header_is_recognized(by: dict[str, Any], tmp_path: Path) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(models.path("tiny", "gguf").read_bytes()[:1_000_000])
    with pytest.raises(LaunchError, match="cut off or corrupt") as told:
        llm_magics.serve("probe", keep="cell", model=str(cut), **by)
    assert "not within the file bounds" in told.value.why


@pytest.mark.engine("llamacpp")
def test_too_long_a_context_never_starts() -> None:
    with pytest.raises(SpecError, match="longer than the context of tiny, 2048"):
        llm_magics.serve("probe", keep="cell", max_model_len=4096)


@pytest.mark.engine("llamacpp")
def test_its_own_side_is_seen_beside_the_clients() -> None:
    server = llm_magics.serve("probe", keep="cell", max_num_seqs=2)
    try:
        run = llm_magics.bench(server, concurrency=[2], duration="5s", input_tokens=32, output_tokens=32, price=1.0)
    finally:
        server.stop()
    point = run.points[0]
    assert point["mean_server_tpot_ms"] == pytest.approx(point["mean_tpot_ms"], rel=0.5)
    assert point["mean_server_ttft_ms"] is None
    assert 0 < point["server_cpu_cores"] < 64
    assert point["max_server_rss"] > 20e6
    assert 0 < point["server_running"] <= 2
    assert point["output_tokens_per_dollar"] == pytest.approx(3600 * point["output_throughput"])
    assert {"running", "tpot_sum"} <= set(run.header["exports"])
    assert "not exported: TTFT mean of the server" in str(run)
    assert {"running", "cpu_cores", "rss"} <= set(run.server.columns)


@pytest.mark.engine("llamacpp")
def test_a_search_finds_streams_within_its_budget() -> None:
    server = llm_magics.serve("probe", keep="cell", max_num_seqs=4)
    try:
        run = llm_magics.bench(
            server, search="slo", slo={"e2e": "5s"}, concurrency=1, budget="20s", input_tokens=16, output_tokens=16
        )
    finally:
        server.stop()
    assert run.search is not None
    assert run.search.answer is not None
    assert run.search.answer >= 1
    assert run.search.seconds < 40
    assert run.frame["max_concurrency"].is_monotonic_increasing


@pytest.mark.engine("llamacpp")
def test_a_sweep_starts_every_setting_and_leaves_nothing() -> None:
    found = llm_magics.bench(
        engine="llamacpp", sweep={"max_num_seqs": [1, 4], "max_model_len": [256, 999_999_999]},
        concurrency=[4], requests=16, input_tokens=16, output_tokens=16,
    )  # fmt: skip
    assert list(found.runs) == ["max_num_seqs=1, max_model_len=256", "max_num_seqs=4, max_model_len=256"]
    assert len(found.failed) == 2
    assert found.front()
    assert "gives the most" in str(found)
    assert llm_magics.servers() == []


def lora(path: Path, *, size: float, width: int = 0) -> Path:
    """An adapter for the model that ships, made here: a random change of every layer's value projection."""
    import gguf
    import numpy as np

    base = gguf.GGUFReader(models.path("tiny", "gguf"))
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, 4.0)
    random = np.random.default_rng(0)
    for tensor in base.tensors:
        if tensor.name.endswith("attn_v.weight"):
            columns, rows = (int(each) for each in tensor.shape)
            for part, shape in (("lora_a", (4, columns + width)), ("lora_b", (rows, 4))):
                writer.add_tensor(f"{tensor.name}.{part}", random.normal(0, size, shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.engine("llamacpp")
@both
def test_a_lora_adapter_is_felt_and_answers_under_its_name(by: dict[str, Any], tmp_path: Path) -> None:
    said = {}
    for name, size in (("plain", None), ("nothing", 0.0), ("strong", 0.5)):
        modules = {} if size is None else {"lora_modules": {name: str(lora(tmp_path / f"{name}.gguf", size=size))}}
        server = llm_magics.serve("probe", keep="cell", **modules, **by)
        try:
            assert server.model == server.client.models.list().data[0].id == ("tiny" if size is None else name)
            said[name] = conformance.stream(server, max_tokens=24).text
        finally:
            server.stop()
    assert said["plain"] == said["nothing"]
    assert said["plain"] != said["strong"]


@pytest.mark.engine("llamacpp")
@both
def test_an_adapter_for_another_model_says_so(by: dict[str, Any], tmp_path: Path) -> None:
    wide = str(lora(tmp_path / "wide.gguf", size=0.1, width=8))
    with pytest.raises(LaunchError, match="LoRA adapter could not be loaded"):
        llm_magics.serve("probe", keep="cell", lora_modules={"x": wide}, **by)


def test_what_llamacpp_cannot_do_with_adapters_is_told_before_it_starts(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").touch()
    with pytest.raises(SpecError, match="all adapters at once"):
        llm_magics.serve("probe", lora_modules={name: str(tmp_path / "a.gguf") for name in ("a", "b")})
    with pytest.raises(SpecError, match=r"is no \.gguf file"):
        llm_magics.serve("probe", lora_modules={"a": "org/adapter"})
    with pytest.raises(SpecError, match="There is no adapter a at "):
        llm_magics.serve("probe", lora_modules={"a": str(tmp_path / "gone.gguf")})


if BINARY:

    def test_a_binary_speculates_and_says_which_option_it_lacks() -> None:
        """What only the binary has: drafts, which change no answer; and a help that is asked."""
        draft = {"method": "draft_model", "model": str(models.path("tiny", "gguf")), "num_speculative_tokens": 4}
        said = {}
        for name, speculative in (("plain", None), ("ngram", {"method": "ngram"}), ("draft", draft)):
            chosen = {"speculative": speculative} if speculative else {}
            server = llm_magics.serve("probe", keep="cell", bin=BINARY, **chosen)
            try:
                said[name] = conformance.stream(server, max_tokens=40).text
            finally:
                server.stop()
        assert said["plain"] == said["ngram"] == said["draft"]
        with pytest.raises(SpecError, match="has no option --bogus"):
            llm_magics.serve("probe", keep="cell", bin=BINARY, args=["--bogus"])
