"""Addresses and questions: whatever stands at the other end, the error says what to do."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from llm_magics.errors import TargetError
from llm_magics.load.endpoint import Endpoint, address, headers, models, probe, proxy_note


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


@pytest.mark.parametrize(
    ("url", "host", "port", "path", "authority"),
    [
        ("http://h:80", "h", 80, "", "h"),
        ("http://h:8000/v1", "h", 8000, "", "h:8000"),
        ("http://h:8000/v1/", "h", 8000, "", "h:8000"),
        ("https://h/api/v1", "h", 443, "/api", "h"),
        ("http://[::1]:8000", "::1", 8000, "", "[::1]:8000"),
        (" http://h/api/ ", "h", 80, "/api", "h"),
    ],
)
def test_addresses(url: str, host: str, port: int, path: str, authority: str) -> None:
    found = address(url)
    assert (found.host, found.port, found.path, found.authority) == (host, port, path, authority)


@pytest.mark.parametrize(
    "url",
    ["", "h:8000", "ftp://h", "http://", "http://h:99999", "http://u:p@h", "http://h/?a=b", "http://h/a b\r\nX: y"],
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(TargetError):
        address(url)


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


@pytest.mark.parametrize(
    ("url", "variables", "named"),
    [
        ("http://h:8000", {"HTTP_PROXY": "http://me:secret@p:1"}, "HTTP_PROXY"),
        ("http://h:8000", {"http_proxy": "http://me:secret@p:1"}, "http_proxy"),
        ("https://h", {"ALL_PROXY": "http://me:secret@p:1"}, "ALL_PROXY"),
        ("https://h", {"HTTP_PROXY": "http://p:1"}, ""),
        ("http://h:8000", {"HTTP_PROXY": "http://p:1", "NO_PROXY": "h"}, ""),
        ("http://127.0.0.1:8000", {"HTTP_PROXY": "http://p:1"}, ""),
        ("http://[::1]:8000", {"HTTP_PROXY": "http://p:1"}, ""),
        ("http://localhost:8000", {"HTTP_PROXY": "http://p:1"}, ""),
        ("http://h:8000", {}, ""),
    ],
)
def test_a_proxy_that_is_not_used_is_named(
    monkeypatch: pytest.MonkeyPatch, url: str, variables: dict[str, str], named: str
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    said = proxy_note(address(url))
    assert said.startswith(f"{named} is set, but proxies are not used") if named else not said
    assert "secret" not in said


def test_the_error_of_a_target_that_is_not_there_says_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://p:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(TargetError, match="proxies are not used"):
        models("http://nowhere.invalid:8000")
