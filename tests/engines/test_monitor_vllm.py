"""A real vLLM that is given more than it can take: the alert fires, reaches the inbox, and is over when the load is.

One start of vLLM for all of it: what its page exports, and traces, which are posted to a collector of this test's.
"""

from __future__ import annotations

import threading
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from llm_magics import engines
from llm_magics.api import bench, monitoring, serve
from llm_magics.engines.metrics import parse
from llm_magics.monitor import health, signals
from llm_magics.monitor.ask import Prometheus
from llm_magics.results.journal import Journal

OLDER = {"vllm:gpu_cache_usage_perc"}


@pytest.fixture
def collector() -> Iterator[tuple[str, list[bytes]]]:
    """Takes traces by OTLP over HTTP."""
    got: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1/traces", got
    server.shutdown()
    server.server_close()


@pytest.mark.engine("vllm")
def test_an_overloaded_vllm_fires_an_alert_that_is_over_when_the_load_is(collector: tuple[str, list[bytes]]) -> None:
    address, traces = collector
    server = serve(
        "v", engine="vllm", max_num_seqs=2, max_model_len=512, traces=address, keep="detached",
        env={"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"},
    )  # fmt: skip
    try:
        state = monitoring.up(every=1.0, hold=2.0, limits={"ttft": "150ms", "queue": 4}).state
        asked = Prometheus(state.prometheus)
        began = time.time()
        runs = []
        work = {"concurrency": 16, "requests": 80, "input_tokens": 32, "output_tokens": 32, "warmup": 0}
        load = threading.Thread(target=lambda: runs.append(bench("v", **work)))
        load.start()
        for alert in ("QueueGrowing", "TtftOverSlo"):
            fired = monitoring.wait_for(alert, "firing", server="v", since=began)
            assert fired is not None, health.status()
            assert fired["labels"]["engine"] == "vllm"
        load.join()
        (run,) = runs
        assert list(run.requests["status"]) == ["ok"] * 80, set(run.requests["error"])
        assert set(run.requests["output_tokens"]) == {32}
        for alert in ("QueueGrowing", "TtftOverSlo"):
            assert monitoring.wait_for(alert, "resolved", server="v", since=began) is not None
        recorded = {name for name in signals.MEANINGS if asked.over(signals.recorded(name), began, time.time(), 1.0)}
        assert recorded >= {"running", "waiting", "kv_usage", "output_rate", "steps_rate", "request_rate", "ttft_p95",
                            "tpot_p95", "queue_p95"}  # fmt: skip
        with urllib.request.urlopen(f"{server.url.removesuffix('/v1')}/metrics", timeout=10) as answer:
            page = {sample.name for sample in parse(answer.read().decode())}
        assert signals.metrics_in(engines.get("vllm")) - OLDER <= page
        deeds = [deed for deed in Journal().deeds() if deed.kind == "alerted"]
        assert {deed.facts["state"] for deed in deeds} == {"firing", "resolved"}
        assert any(b"llm_request" in each for each in traces)
    finally:
        server.stop()
        monitoring.down()
