"""Addresses: what is one, what is none, and the proxy that is not used for it."""

from __future__ import annotations

import pytest

from llm_magics.errors import TargetError
from llm_magics.load.address import address, proxy_note


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
