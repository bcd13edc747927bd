"""Metrics of real pages under portable names: a wrong name shows a queue where none is, or none where one is."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from listening import Quiet, listening

from llm_magics import engines
from llm_magics.engines import metrics

PAGES = Path(__file__).parent / "metrics"


def page(key: str) -> dict[str, float]:
    adapter = engines.get(key)
    assert adapter.metrics
    return metrics.portable(metrics.parse((PAGES / f"{key}.txt").read_text()), adapter.metrics.names)


@pytest.mark.parametrize("key", ["vllm", "llamacpp", "sglang"])
def test_what_is_said_is_what_the_whole_page_says(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a page that is asked for again and again, only the lines that count are taken apart."""
    adapter, taken = engines.get(key), []
    assert adapter.metrics
    parse = metrics.parse
    monkeypatch.setattr(metrics, "parse", lambda text: taken.append(text) or parse(text))
    text = (PAGES / f"{key}.txt").read_text() + 'python_gc_objects_collected_total{generation="0"} 1\n' * 500
    assert metrics.said(text, adapter.metrics.names) == page(key)
    assert "python_gc" not in taken[0]


def test_vllms_real_page() -> None:
    assert page("vllm") == {
        "running": 0, "waiting": 0, "kv_usage": 0, "prompt_tokens": 22669, "output_tokens": 11008,
        "cached_tokens": 128, "prefix_queries": 22669, "preemptions": 0,
        "ttft_sum": pytest.approx(15.177, abs=0.001), "ttft_count": 172,
    }  # fmt: skip


def test_llamacpps_real_page_counts_cached_prompt_tokens_as_prompt_tokens() -> None:
    assert page("llamacpp") == {
        "running": 0, "waiting": 0, "prompt_tokens": 996 + 245, "output_tokens": 2304, "cached_tokens": 245,
        "tpot_sum": 8.36601, "tpot_count": 2304,
    }  # fmt: skip


def test_sglangs_real_page_sums_streamed_and_whole_answers() -> None:
    assert page("sglang") == {
        "running": 0, "waiting": 0, "kv_usage": 0, "prompt_tokens": 1945 + 5388, "output_tokens": 48 + 2694,
        "cached_tokens": 1282,
    }  # fmt: skip


def test_counts_of_several_engines_are_added_and_shares_averaged() -> None:
    text = (
        'vllm:num_requests_running{engine="0"} 3\nvllm:num_requests_running{engine="1"} 4.0\n'
        'vllm:kv_cache_usage_perc{engine="0"} 0.5\nvllm:kv_cache_usage_perc{engine="1"} 0.7\n'
    )
    adapter = engines.get("vllm")
    assert adapter.metrics
    found = metrics.portable(metrics.parse(text), adapter.metrics.names)
    assert found == {"running": 7, "kv_usage": pytest.approx(0.6)}


def test_an_older_name_counts_only_where_the_newer_is_absent() -> None:
    names = {"kv_usage": ("new", "old")}
    assert metrics.portable(metrics.parse("old 0.2\n"), names) == {"kv_usage": 0.2}
    assert metrics.portable(metrics.parse("old 0.2\nnew 0.3\n"), names) == {"kv_usage": 0.3}


def test_half_a_sum_is_no_sum() -> None:
    assert metrics.portable(metrics.parse("a 1\n"), {"x": ("a + b",)}) == {}


def test_what_the_format_allows_is_read_and_what_is_none_is_passed_over() -> None:
    text = (
        "# HELP a says {x} 1\n# TYPE a counter\n"
        'a{path="C:\\\\x",said="a \\"b\\" {c}, \\nd"} 1.5e3 1700000000000\n'
        "b NaN\nc +Inf\nnot a sample\nd notanumber\n{} 1\n\n  \n"
    )
    samples = metrics.parse(text)
    assert samples[0] == metrics.Sample("a", {"path": "C:\\x", "said": 'a "b" {c}, \nd'}, 1500.0)
    assert [sample.name for sample in samples] == ["a", "b", "c"]
    assert metrics.portable(samples, {"b": ("b",), "c": ("c",)}) == {}


class Page(Quiet, BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        known = self.path == "/metrics" and self.headers["Authorization"] == "Bearer key"
        if known:
            self.say((PAGES / "llamacpp.txt").read_bytes())
        else:
            self.say("llamacpp:requests_processing 9\n", 401)


@pytest.fixture
def url() -> Iterator[str]:
    with listening(Page) as server:
        yield f"http://127.0.0.1:{server.server_port}"


def test_read_asks_with_the_key_and_through_no_proxy(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert metrics.read(url, engines.get("llamacpp"), "key", timeout=60)["output_tokens"] == 2304


def test_no_answer_no_key_or_no_metrics_is_no_figure(url: str) -> None:
    assert metrics.read(url, engines.get("llamacpp"), "wrong") == {}
    assert metrics.read(url, engines.get("transformers"), "key") == {}
    assert metrics.read("http://127.0.0.1:1", engines.get("llamacpp"), timeout=0.5) == {}


@pytest.mark.parametrize(
    "said",
    [b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nllamacpp:requ"],
    ids=["no HTTP", "broken off"],
)
def test_an_answer_that_is_none_or_breaks_off_is_no_figure(said: bytes) -> None:
    """An engine that is killed while it answers says this much."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(said)

        thread = threading.Thread(target=answer)
        thread.start()
        assert metrics.read(f"http://127.0.0.1:{listening.getsockname()[1]}", engines.get("llamacpp")) == {}
        thread.join()
