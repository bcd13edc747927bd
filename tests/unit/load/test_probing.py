"""Questions before a run: whatever stands at the other end, the error says what to do."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from llm_magics.errors import SpecError, TargetError
from llm_magics.load.address import address
from llm_magics.load.asking import headers
from llm_magics.load.datasets import recipe
from llm_magics.load.endpoint import Endpoint
from llm_magics.load.probing import context, models, probe
from llm_magics.spec import Workload


@contextmanager
def saying(*answers: bytes) -> Iterator[str]:
    """A server that gives each connection the next of some answers (the last one again and again)."""
    listener = socket.create_server(("127.0.0.1", 0))
    left = list(answers)

    def serve() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with sock:
                sock.recv(65_536)
                sock.sendall(left.pop(0) if len(left) > 1 else left[0])

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def answer(body: object, status: str = "200 OK", more: str = "") -> bytes:
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(data)}\r\n{more}\r\n".encode() + data


LIST = answer({"data": [{"id": "m"}, {"id": "n"}]})


def test_key_with_a_line_break_is_refused() -> None:
    with pytest.raises(TargetError, match="key"):
        headers(address("http://h"), "a\r\nX: y")


def test_key_is_not_shown() -> None:
    assert "sesame" not in repr(Endpoint("http://h", "m", api_key="sesame"))


def test_models() -> None:
    with saying(LIST) as url:
        assert models(url) == ["m", "n"]
        probe(Endpoint(url, "n"))


def test_a_model_that_is_not_there() -> None:
    with saying(LIST) as url, pytest.raises(TargetError) as caught:
        probe(Endpoint(url, "x"))
    assert "it serves: m, n" in str(caught.value)


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
def test_wrong_key(status: str) -> None:
    with saying(answer({"error": {"message": "bad key"}}, status)) as url, pytest.raises(TargetError) as caught:
        probe(Endpoint(url, "m"))
    assert "bad key" in str(caught.value)
    assert "api_key" in str(caught.value)


def test_a_web_page() -> None:
    with saying(answer("<html>hi</html>")) as url, pytest.raises(TargetError, match="web page"):
        models(url)


def test_no_list_of_models_but_an_answer() -> None:
    with saying(answer("no", "500 Oops"), answer({"choices": [{}]})) as url:
        probe(Endpoint(url, "m"))


def test_neither_list_nor_answer() -> None:
    with saying(answer("no", "404 Not Found")) as url, pytest.raises(TargetError, match="does not speak"):
        probe(Endpoint(url, "m"))


def test_redirects_are_named() -> None:
    with (
        saying(answer("", "301 Moved Permanently", "Location: http://other/\r\n")) as url,
        pytest.raises(TargetError, match="http://other/"),
    ):
        models(url)


def test_something_else_than_http() -> None:
    with saying(b"SSH-2.0-x\r\n") as url, pytest.raises(TargetError, match="not an HTTP server"):
        models(url)


def test_nothing_there() -> None:
    with saying(LIST) as url:
        pass
    with pytest.raises(TargetError, match="Nothing answers"):
        probe(Endpoint(url, "m"))


def test_a_host_that_no_name_server_knows() -> None:
    with pytest.raises(TargetError) as caught:
        probe(Endpoint("http://nowhere.invalid:8000", "m"))
    assert "Nothing answers at http://nowhere.invalid:8000" in str(caught.value)
    assert "name" in caught.value.why.lower(), "the resolver's own words"
    assert "check host and port" in str(caught.value)


def test_the_error_of_a_target_that_is_not_there_says_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://p:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(TargetError, match="proxies are not used"):
        models("http://nowhere.invalid:8000")


@pytest.mark.parametrize(
    ("said", "room"), [({"max_model_len": 2048}, 2048), ({"meta": {"n_ctx": 2048}}, 2048), ({}, None)]
)
def test_a_prompt_that_no_request_has_room_for_is_refused_with_the_largest_that_fits(
    said: dict[str, object], room: int | None
) -> None:
    body = json.dumps({"data": [{"id": "other"}, {"id": "m", **said}]}).encode()
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(body), body)
    with saying(answer) as url:
        endpoint = Endpoint(url, "m")
        assert context(endpoint) == room
        if room is None:
            return
        with pytest.raises(SpecError) as caught:
            recipe(endpoint, Workload(input_tokens=999_999, output_tokens=64), 0)
        assert caught.value.then == "write input_tokens: 1984 or less"
        with pytest.raises(SpecError) as caught:
            recipe(endpoint, Workload(input_tokens=700, output_tokens=100, turns=3), 0)
        assert caught.value.then == "write input_tokens: 582 or less"
