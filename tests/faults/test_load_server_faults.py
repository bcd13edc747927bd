"""Servers that misbehave under load: every request is accounted for, in the server's words, and the run goes on."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from scripted_api import TEMPLATE, ScriptedApi, Talk, pause, well

from llm_magics.errors import LoadError, TargetError
from llm_magics.load import workers
from llm_magics.load.endpoint import Endpoint
from llm_magics.load.measure import measure
from llm_magics.spec.workload import Workload

ROWS = dict[str, Any]


def run(api: ScriptedApi, path: Path, endpoint: dict[str, Any] | None = None, **workload: Any) -> list[ROWS]:
    """Measure and return the spool's rows."""
    options = {"concurrency": 2, "requests": 6, "input_tokens": 20, "output_tokens": 4, "warmup": 0, **workload}
    measure(Endpoint(api.url, "m", **(endpoint or {})), Workload(**options), path, header={})
    return rows(path)


def rows(path: Path) -> list[ROWS]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def requests(found: list[ROWS]) -> list[ROWS]:
    return sorted((row for row in found if row["kind"] == "request"), key=lambda row: row["index"])


def errors(found: list[ROWS]) -> list[str]:
    return [row.get("error", "") for row in requests(found) if row["status"] == "error"]


def test_a_good_server_gives_the_whole_record(tmp_path: Path) -> None:
    with ScriptedApi().running() as api:
        found = run(api, tmp_path / "spool", warmup=2, concurrency=[1, 3])
    assert found[0]["kind"] == "header"
    assert [point["label"] for point in found[0]["points"]] == ["1 stream", "3 streams"]
    assert found[-1]["kind"] == "end"
    assert found[-1]["status"] == "complete"
    measured = [row for row in found if row["kind"] == "request" and not row["warmup"]]
    assert [row["point"] for row in measured] == [0] * 6 + [1] * 6
    assert sum(row["kind"] == "request" and row["warmup"] for row in found) == 4
    for row in measured:
        assert (
            row["intended"]
            <= row["sent"]
            <= row["first_byte"]
            <= row["first_token"]
            <= row["last_token"]
            <= row["done"]
        )
        assert (row["status"], row["http_status"], row["finish"], row["chunks"]) == ("ok", 200, "length", 4)
        assert (row["prompt_tokens"], row["output_tokens"], row["asked_tokens"]) == (20, 4, 4)
        assert len(row["gaps"]) == 3
    assert {row["kind"] for row in found} >= {"window", "audit"}
    assert len(set(api.prompts)) == len(api.prompts)
    assert len({" ".join(prompt.split()[:2]) for prompt in api.prompts}) == len(api.prompts)


def test_role_chunk_at_once_is_not_the_first_token(tmp_path: Path) -> None:
    def slow(talk: Talk) -> None:
        talk.start()
        talk.role()
        pause(2.0)
        talk.words(talk.tokens)
        talk.finish()

    with ScriptedApi(slow).running() as api:
        found = requests(run(api, tmp_path / "spool", requests=2))
    for row in found:
        assert row["first_token"] - row["sent"] >= 2.0
        assert row["first_byte"] < row["first_token"] - 0.2


def test_pauses_between_tokens_are_in_the_gaps(tmp_path: Path) -> None:
    def slow(talk: Talk) -> None:
        talk.start()
        for _ in range(talk.tokens):
            talk.words(1)
            pause(0.5)
        talk.finish()

    with ScriptedApi(slow).running() as api:
        (row,) = requests(run(api, tmp_path / "spool", requests=1, concurrency=1))
    assert row["last_token"] - row["first_token"] > 0.5  # three pauses; a busy machine may shift either end
    assert abs(sum(row["gaps"]) / 1e6 - (row["last_token"] - row["first_token"])) < 1e-5
    assert row["done"] > row["last_token"]


def test_open_loop_is_not_slowed_by_a_slow_server(tmp_path: Path) -> None:
    def slow(talk: Talk) -> None:
        pause(3.0)
        well(talk)

    with ScriptedApi(slow).running() as api:
        found = requests(run(api, tmp_path / "spool", concurrency=None, rate=20, requests=10, arrival="constant"))
    sent = [row["sent"] for row in found]
    assert sent == sorted(sent)
    assert max(sent) < min(row["first_token"] for row in found)  # all were under way before the first answer
    assert [round(row["intended"] - found[0]["intended"], 3) for row in found] == [n / 20 for n in range(10)]


def test_one_that_stalls_does_not_stall_the_run(tmp_path: Path) -> None:
    def third_hangs(talk: Talk) -> None:
        if talk.number == 2:
            talk.start()
            talk.words(1)
            talk.stall()
        else:
            well(talk)

    with ScriptedApi(third_hangs).running() as api:
        found = run(api, tmp_path / "spool", timeout="5s")
    assert errors(found) == ["Time-out: the answer did not end within 5 s."]
    assert len(requests(found)) == 6
    assert found[-1]["status"] == "complete"


def test_one_that_never_answers_times_out(tmp_path: Path) -> None:
    with ScriptedApi(Talk.stall).running() as api:
        found = run(api, tmp_path / "spool", timeout="500ms", requests=2)
    assert errors(found) == ["Time-out: no answer within 0.5 s."] * 2


def test_one_that_never_ends_times_out(tmp_path: Path) -> None:
    def endless(talk: Talk) -> None:
        talk.start()
        while not talk.api.over.is_set():
            talk.words(1)
            pause(0.01)

    with ScriptedApi(endless).running() as api:
        found = run(api, tmp_path / "spool", timeout="3s", requests=2)
    assert len(errors(found)) == 2
    assert all(row["chunks"] > 1 for row in requests(found))


def test_one_that_never_ends_and_floods_is_given_up_for_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flooding(talk: Talk) -> None:
        if talk.number:
            well(talk)
            return
        talk.start()
        while not talk.api.over.is_set():
            talk.words(10)
            pause(0.001)

    code = """
import sys
from llm_magics.load import in_flight, worker
assert in_flight.MOST_CHUNKS >= 1_000_000, "more than any context"
in_flight.MOST_CHUNKS = 500
sys.exit(worker.main())
"""
    monkeypatch.setattr(workers, "_COMMAND", [sys.executable, "-c", code])
    with ScriptedApi(flooding).running() as api:
        found = run(api, tmp_path / "spool", timeout="60s", requests=3, concurrency=1)
    assert errors(found) == ["The answer did not end within 500 chunks."]
    assert [row["status"] for row in requests(found)] == ["error", "ok", "ok"]
    assert requests(found)[0]["chunks"] > 500
    assert found[-1]["duration"] < 30


def test_a_time_out_shorter_than_the_answers_is_judged_by_their_own_times(tmp_path: Path) -> None:
    """The generator looks for hung requests a few times a second; what ended in between was too late all the same."""

    def slow(talk: Talk) -> None:
        pause(0.05)
        well(talk)

    with ScriptedApi(slow).running() as api:
        found = run(api, tmp_path / "spool", timeout="20ms")
    assert len(errors(found)) == 6
    assert {error.split(":")[0] for error in errors(found)} == {"Time-out"}


def too_long(talk: Talk) -> None:
    talk.whole("400 Bad Request", json.dumps({"error": {"message": "maximum context length is 512"}}))


@pytest.mark.parametrize("load", [{"concurrency": 2}, {"concurrency": None, "rate": 200}])
@pytest.mark.parametrize("warmup", [0, 2, 20])
def test_a_run_that_is_refused_from_the_start_is_given_up(tmp_path: Path, load: dict[str, Any], warmup: int) -> None:
    with ScriptedApi(too_long).running() as api:
        found = run(api, tmp_path / "spool", requests=2000, warmup=warmup, **load)
    assert len(api.prompts) < 1000  # a worker that was held up sends at once what is due
    assert len(errors(found)) >= 8
    assert found[-1]["status"] == "failed"
    assert "HTTP 400: maximum context length is 512" in found[-1]["error"]


@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
def test_refusals_that_may_pass_do_not_end_a_run(tmp_path: Path, status: str) -> None:
    def busy(talk: Talk) -> None:
        talk.whole(status, json.dumps({"error": {"message": "later"}}))

    with ScriptedApi(busy).running() as api:
        found = run(api, tmp_path / "spool", requests=40)
    assert len(errors(found)) == 40
    assert found[-1]["status"] == "complete"


def test_one_answer_among_refusals_keeps_the_run_going(tmp_path: Path) -> None:
    def mostly(talk: Talk) -> None:
        (well if talk.number == 4 else too_long)(talk)

    with ScriptedApi(mostly).running() as api:
        found = run(api, tmp_path / "spool", requests=40, concurrency=1)
    assert len(errors(found)) == 39
    assert found[-1]["status"] == "complete"


@pytest.mark.parametrize("where", ["before", "head", "middle", "end"])
def test_resets(tmp_path: Path, where: str) -> None:
    def some(talk: Talk) -> None:
        if talk.number % 3 != 1:
            return well(talk)
        if where == "head":
            talk.write(b"HTTP/1.1 200 OK\r\nContent-Ty")
        elif where == "middle":
            talk.start()
            talk.words(2)
        elif where == "end":
            talk.start()
            talk.words(4)
            talk.raw(b"data: [DONE]\n\n")
        return talk.reset()

    with ScriptedApi(some).running() as api:
        found = run(api, tmp_path / "spool", requests=9, concurrency=1)
    assert len(requests(found)) == 9
    assert len(errors(found)) in ((0, 1, 2, 3) if where == "before" else (3,))  # a kept connection is tried once more
    assert all("closed" in error for error in errors(found))


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("429 Too Many Requests", "slow down"),
        ("503 Service Unavailable", "loading"),
        ("500 Internal Server Error", "oops"),
        ("404 Not Found", "no such model"),
        ("422 Unprocessable", "extra field"),
    ],
)
def test_refusals_in_the_servers_words(tmp_path: Path, status: str, words: str) -> None:
    def every_second(talk: Talk) -> None:
        if talk.number % 2:
            talk.whole(status, json.dumps({"error": {"message": words}}))
        else:
            well(talk)

    with ScriptedApi(every_second).running() as api:
        found = run(api, tmp_path / "spool")
    assert errors(found) == [f"HTTP {status[:3]}: {words}"] * 3
    assert {row["http_status"] for row in requests(found)} == {200, int(status[:3])}


def broken_json(talk: Talk) -> None:
    talk.start()
    talk.raw(b'data: {"choices": [{"delta"\n\n')
    talk.finish()


def web_page(talk: Talk) -> None:
    talk.whole("200 OK", "<html>welcome</html>", "text/html")


def redirect(talk: Talk) -> None:
    talk.whole("307 Temporary Redirect", "", more="Location: http://elsewhere/\r\n")


def empty(talk: Talk) -> None:
    talk.start()
    talk.write(b"0\r\n\r\n")


def error_in_the_middle(talk: Talk) -> None:
    talk.start()
    talk.words(2)
    talk.event({"error": {"message": "EngineDeadError"}})
    talk.write(b"0\r\n\r\n")


def wrong_sizes(talk: Talk) -> None:
    talk.start()
    talk.write(b"5\r\nmuch more than five\r\n")


def hangs_up(talk: Talk) -> None:
    talk.start()
    talk.words(1)
    talk.close()


def noise(talk: Talk) -> None:
    talk.write(b"\x00\x01\x02 not http at all\r\n\r\n")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (broken_json, "not JSON"),
        (web_page, "neither a stream nor JSON"),
        (redirect, "http://elsewhere/"),
        (empty, "without any content"),
        (error_in_the_middle, "EngineDeadError"),
        (wrong_sizes, "chunked coding"),
        (hangs_up, "in the middle of the answer"),
        (noise, "not an HTTP server"),
    ],
)
def test_broken_answers_are_errors_and_the_run_is_kept(tmp_path: Path, script: Any, words: str) -> None:
    with ScriptedApi(script).running() as api:
        found = run(api, tmp_path / "spool")
    assert len(errors(found)) == 6
    assert all(words in error for error in errors(found))
    assert found[-1]["status"] == "complete"


def no_usage(talk: Talk) -> None:
    talk.start()
    talk.words(talk.tokens)
    talk.finish(usage=False)


def no_done(talk: Talk) -> None:
    talk.start()
    talk.words(talk.tokens)
    talk.finish(done=False)


def usage_on_every_chunk(talk: Talk) -> None:
    talk.start()
    for count in range(talk.tokens):
        talk.event({"choices": [{"index": 0, "delta": {"content": "w"}}], "usage": {**talk.usage(), "completion_tokens": count + 1}})  # fmt: skip  # noqa: E501
    talk.finish(usage=False)


def two_tokens_a_chunk(talk: Talk) -> None:
    talk.start()
    for _ in range(talk.tokens // 2):
        talk.delta(content=" two words")
    talk.finish()


def in_crumbs(talk: Talk) -> None:
    whole: list[bytes] = []
    talk.write, write = whole.append, talk.write  # type: ignore[method-assign]
    well(talk)
    for at in range(0, len(b"".join(whole)), 7):
        write(b"".join(whole)[at : at + 7])


def carriage_returns_and_comments(talk: Talk) -> None:
    talk.start()
    for _ in range(talk.tokens):
        talk.raw(b': ping\r\ndata: {"choices":[{"delta":{"content":"w"}}]}\r\n\r\n')
    talk.raw(b'data: {"choices":[{"delta":{},"finish_reason":"length"}]}\r\n\r\n')
    talk.write(b"0\r\n\r\n")


def until_close(talk: Talk) -> None:
    talk.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
    for _ in range(talk.tokens):
        talk.write(b'data: {"choices":[{"delta":{"content":"w"}}]}\n\n')
    talk.write(b'data: {"choices":[{"delta":{},"finish_reason":"length"}]}\n\n')
    talk.close()


def not_streaming(talk: Talk) -> None:
    answer = {"choices": [{"message": {"content": "w w"}, "finish_reason": "length"}], "usage": talk.usage()}
    talk.whole("200 OK", json.dumps(answer))


def closes_after_each(talk: Talk) -> None:
    well(talk)
    talk.close()


def large(talk: Talk) -> None:
    talk.start()
    talk.delta(content="x" * 3_000_000)
    talk.words(talk.tokens - 1)
    talk.finish()


@pytest.mark.parametrize(
    ("script", "chunks", "tokens"),
    [
        (no_usage, 4, None),
        (no_done, 4, 4),
        (usage_on_every_chunk, 4, 4),
        (two_tokens_a_chunk, 2, 4),
        (in_crumbs, 4, 4),
        (carriage_returns_and_comments, 4, None),
        (until_close, 4, None),
        (not_streaming, 1, 4),
        (closes_after_each, 4, 4),
        (large, 4, 4),
    ],
)
def test_unusual_answers_are_read_right(tmp_path: Path, script: Any, chunks: int, tokens: int | None) -> None:
    with ScriptedApi(script).running() as api:
        found = run(api, tmp_path / "spool")
    assert errors(found) == []
    assert [(row["chunks"], row.get("output_tokens"), row["finish"]) for row in requests(found)] == [
        (chunks, tokens, "length")
    ] * 6


def test_server_that_dies_in_the_middle_of_a_run(tmp_path: Path) -> None:
    def mortal(talk: Talk) -> None:
        if talk.number >= 4:
            talk.api.die()
        else:
            well(talk)

    with ScriptedApi(mortal).running() as api:
        found = run(api, tmp_path / "spool", requests=12, concurrency=1)
    assert [row["status"] for row in requests(found)] == ["ok"] * 4 + ["error"] * 8
    assert any("refused" in error for error in errors(found))
    assert found[-1]["status"] == "complete"


def test_dead_server_does_not_flood_a_timed_run(tmp_path: Path) -> None:
    def mortal(talk: Talk) -> None:
        talk.api.die()

    with ScriptedApi(mortal).running() as api:
        found = run(api, tmp_path / "spool", requests=None, duration="1s", concurrency=2)
    assert 2 <= len(errors(found)) < 60


def test_server_that_is_not_there_is_a_target_error(tmp_path: Path) -> None:
    with ScriptedApi().running() as api:
        pass
    with pytest.raises(TargetError, match="Nothing answers"):
        run(api, tmp_path / "spool")


def test_wrong_key_is_a_target_error_before_any_load(tmp_path: Path) -> None:
    with ScriptedApi(api_key="right").running() as api, pytest.raises(TargetError, match="401"):
        run(api, tmp_path / "spool", {"api_key": "wrong"})
    assert api.prompts == []


def test_key_reaches_the_server_and_nothing_else(tmp_path: Path) -> None:
    with ScriptedApi(api_key="sesame-321").running() as api:
        found = run(api, tmp_path / "spool", {"api_key": "sesame-321"})
    assert errors(found) == []
    assert "sesame-321" not in (tmp_path / "spool").read_text()
    assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o600


def test_connections_are_kept(tmp_path: Path) -> None:
    with ScriptedApi().running() as api:
        run(api, tmp_path / "spool", requests=20, concurrency=2)
    probes = len(api.heads) - len(api.prompts)
    assert api.connections <= probes + 3  # two streams, and one to find the address


def test_ipv6(tmp_path: Path) -> None:
    with ScriptedApi(family=socket.AF_INET6).running() as api:
        assert errors(run(api, tmp_path / "spool")) == []
    assert f"Host: [::1]:{api.port}" in api.heads[-1]


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    made = tmp_path / "both.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-keyout", str(made), "-out", str(tmp_path / "cert.pem"), "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    made.write_text(made.read_text() + (tmp_path / "cert.pem").read_text())
    return made


def test_tls(tmp_path: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    with ScriptedApi(tls=context).running() as api:
        found = run(api, tmp_path / "spool")
    assert errors(found) == []
    assert len(requests(found)) == 6


def test_untrusted_certificate_is_a_target_error(tmp_path: Path, certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with ScriptedApi(tls=context).running() as api, pytest.raises(TargetError, match="secure connection"):
        run(api, tmp_path / "spool")


def test_exact_lengths_where_words_are_several_tokens(tmp_path: Path) -> None:
    """A tokenizer that cuts long words: the words sent are those it keeps whole, found through its endpoint."""

    def cut(text: str) -> list[int]:
        return [n for word in text.split() for n in range((len(word) + 2) // 3)]

    def counted(talk: Talk) -> None:
        talk.start()
        talk.words(1)
        talk.event({"choices": [{"delta": {}, "finish_reason": "length"}], "usage": {"prompt_tokens": len(cut(talk.prompt)) + TEMPLATE, "completion_tokens": 1}})  # fmt: skip  # noqa: E501
        talk.write(b"0\r\n\r\n")

    for path in ("/tokenize", None):
        with ScriptedApi(counted, tokenizer=cut).running() as api:
            found = run(api, tmp_path / "spool", {"tokenize_path": path}, input_tokens=50)
        assert [row["prompt_tokens"] for row in requests(found)] == [50] * 6
        assert found[0]["prompts"]["exact"] is True
        assert found[0]["prompts"]["counted_by"] == ("tokenizer" if path else "usage")


def test_server_without_usage_or_tokenizer_is_measured_and_says_so(tmp_path: Path) -> None:
    with ScriptedApi(no_usage, usage=False).running() as api:
        found = run(api, tmp_path / "spool")
    assert errors(found) == []
    assert found[0]["prompts"]["exact"] is False
    assert {len(prompt.split()) for prompt in api.prompts} == {20}


def test_prefixes_are_shared_and_the_rest_is_not(tmp_path: Path) -> None:
    with ScriptedApi().running() as api:
        found = run(api, tmp_path / "spool", workload="prefix", prefix_tokens=30, prefixes=2, input_tokens=10)
    assert [row["prompt_tokens"] for row in requests(found)] == [40] * 6
    shared = 30 - TEMPLATE
    assert len({tuple(prompt.split()[:shared]) for prompt in api.prompts}) == 2
    assert len({tuple(prompt.split()[shared:]) for prompt in api.prompts}) == 6


def test_same_salt_sends_the_same_bytes(tmp_path: Path) -> None:
    sent = []
    for _ in range(2):
        with ScriptedApi().running() as api:
            work = Workload(concurrency=1, requests=4, input_tokens=30, input_spread=0.5, output_tokens=2)
            measure(Endpoint(api.url, "m"), work, tmp_path / "spool", header={}, salt=7)
        sent.append(api.bodies)
    assert sent[0] == sent[1]


def test_metrics_that_fail_do_not_hurt_the_run(tmp_path: Path) -> None:
    calls = []

    def sample() -> dict[str, float]:
        calls.append(1)
        if len(calls) % 2:
            raise RuntimeError("no metrics today")
        return {"running": 2, "kv_usage": float("nan")} if len(calls) == 4 else {"running": 2}

    def slow(talk: Talk) -> None:
        pause(0.8)
        well(talk)

    with ScriptedApi(slow).running() as api:
        found = run(api, tmp_path / "spool", {"sample": sample}, concurrency=1, requests=4)
    assert errors(found) == []
    seen = [row for row in found if row["kind"] == "server"]
    assert seen
    assert all(row["values"] == {"running": 2.0} for row in seen)
    assert found[-1]["kind"] == "end"


def test_more_connections_than_the_system_allows(tmp_path: Path) -> None:
    code = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))
from pathlib import Path
from llm_magics.errors import LoadError
from llm_magics.load.endpoint import Endpoint
from llm_magics.load.measure import measure
from llm_magics.spec.workload import Workload
work = Workload(concurrency=100_000, requests=200_000)
try:
    measure(Endpoint("http://127.0.0.1:9", "m"), work, Path(sys.argv[1]), header={})
except LoadError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "s")], capture_output=True, text=True, check=True)
    assert "100000 connections" in done.stdout
    assert "200 files" in done.stdout


def test_the_soft_limit_of_open_files_is_raised_where_it_may_be(tmp_path: Path) -> None:
    code = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
from pathlib import Path
from llm_magics.load.endpoint import Endpoint
from llm_magics.load.measure import measure
from llm_magics.spec.workload import Workload
work = Workload(concurrency=100, requests=100, input_tokens=20, output_tokens=2, warmup=0)
print(measure(Endpoint(sys.argv[2], "m"), work, Path(sys.argv[1]), header={}))
"""
    everybody = threading.Barrier(100, timeout=120)

    def together(talk: Talk) -> None:
        everybody.wait()
        well(talk)

    with ScriptedApi(together).running() as api:
        command = [sys.executable, "-c", code, str(tmp_path / "s"), api.url]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "complete"
    found = rows(tmp_path / "s")
    assert errors(found) == []
    assert len(requests(found)) == 100


def test_spool_that_cannot_be_written(tmp_path: Path) -> None:
    with ScriptedApi().running() as api, pytest.raises(LoadError, match="cannot be recorded"):
        run(api, tmp_path / "no" / "such" / "directory")
    assert api.prompts == []


def test_full_disk_ends_the_run_in_words(tmp_path: Path) -> None:
    with ScriptedApi().running() as api, pytest.raises(LoadError) as caught:
        run(api, Path("/dev/full"))
    assert "No space left" in str(caught.value)


def test_without_uvloop_the_record_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "uvloop.py").write_text("raise ImportError('not here')")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    with ScriptedApi().running() as api:
        found = run(api, tmp_path / "spool", concurrency=[1, 4], warmup=1)
    assert errors(found) == []
    assert [(row["chunks"], row["prompt_tokens"]) for row in requests(found)] == [(4, 20)] * 14


def test_open_loop_holds_few_idle_connections(tmp_path: Path) -> None:
    """Servers with a thread a connection (llama.cpp) starve on idle ones."""
    with ScriptedApi().running() as api:
        found = run(api, tmp_path / "spool", concurrency=None, rate=10, requests=30, warmup=2)
    assert errors(found) == []
    probes = len(api.heads) - len(api.prompts)
    assert api.connections - probes < 25
