"""Who may: without a token nobody, with a denying authorizer nobody, from another page nobody; under any base URL."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from jupyter_server.auth.authorizer import Authorizer
from tornado.httpclient import HTTPClientError

from llm_magics.lab.extension import ROUTES
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry

CALLS = [
    ("GET", "engines"), ("GET", "engines/qwen"), ("DELETE", "engines/qwen"), ("PATCH", "engines/qwen"),
    ("DELETE", "engines/qwen/record"), ("GET", "engines/qwen/logs"), ("GET", "engines/qwen/report"), ("GET", "gpus"),
    ("GET", "adapters"), ("GET", "runs"), ("GET", "runs/r1"), ("GET", "tasks"), ("PUT", "tasks/first"),
    ("POST", "tasks/first/notebook"),
]  # fmt: skip
VERBS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}


class Deny(Authorizer):
    """Allows everything but this resource, and remembers what it was asked."""

    asked: list[tuple[str, str]] = []  # noqa: RUF012 - the class is given by name

    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        Deny.asked.append((action, resource))
        return resource != "llm-magics"


async def status_of(fetch: Any, verb: str, path: str, **options: Any) -> int:
    body = "{}" if verb in ("POST", "PUT", "PATCH") else None
    try:
        return int((await fetch("llm-magics", *path.split("/"), method=verb, body=body, **options)).code)
    except HTTPClientError as error:
        return error.code


def test_every_route_is_called_here() -> None:
    import re

    for pattern, _ in ROUTES:
        assert pattern == "watch" or any(re.fullmatch(pattern, path) for _, path in CALLS), pattern


async def test_without_a_token_nothing_is_told_or_done(
    jp_fetch: Any, running: Callable[..., Record], registry: Registry
) -> None:
    before = running().to_json()
    for verb, path in CALLS:
        assert await status_of(jp_fetch, verb, path, headers={"Authorization": "token wrong"}) == 403, (verb, path)
    assert registry.read("qwen").to_json() == before  # type: ignore[union-attr]


async def test_without_a_token_no_socket(jp_ws_fetch: Any) -> None:
    with pytest.raises(HTTPClientError) as refused:
        await jp_ws_fetch("llm-magics", "watch", headers={"Authorization": "token wrong"})
    assert refused.value.code == 403


async def test_other_verbs_are_refused(jp_fetch: Any) -> None:
    for path in {path for _, path in CALLS}:
        for verb in VERBS - {verb for verb, known in CALLS if known == path}:
            assert await status_of(jp_fetch, verb, path) == 405, (verb, path)


class TestDenied:
    """Another user, whom the authorizer lets do everything but this."""

    @pytest.fixture
    def jp_server_config(self, jp_server_config: dict[str, Any]) -> dict[str, Any]:
        Deny.asked.clear()
        jp_server_config["ServerApp"]["authorizer_class"] = Deny
        return jp_server_config

    async def test_a_user_who_may_not_is_refused(
        self, jp_fetch: Any, running: Callable[..., Record], registry: Registry
    ) -> None:
        before = running().to_json()
        for verb, path in CALLS:
            Deny.asked.clear()
            assert await status_of(jp_fetch, verb, path) == 403, (verb, path)
            assert Deny.asked == [("read" if verb == "GET" else "write", "llm-magics")]
        assert registry.read("qwen").to_json() == before  # type: ignore[union-attr]

    async def test_and_hears_nothing(self, jp_ws_fetch: Any) -> None:
        with pytest.raises(HTTPClientError) as refused:
            await jp_ws_fetch("llm-magics", "watch")
        assert refused.value.code == 403
        assert Deny.asked == [("read", "llm-magics")]


async def test_a_page_elsewhere_cannot_act_with_the_users_cookie(
    jp_base_url: str, http_server_client: Any, running: Callable[..., Record], registry: Registry
) -> None:
    """A browser sends the cookie of its own accord; what another page cannot send is the XSRF header."""
    running()
    cookies: dict[str, str] = {}
    for page in ("login", "login?token=the-token"):
        answer = await http_server_client.fetch(jp_base_url + page, raise_error=False, follow_redirects=False)
        cookies |= dict(cookie.split(";")[0].split("=", 1) for cookie in answer.headers.get_list("Set-Cookie"))
    header = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}

    async def call(verb: str, path: str, **headers: str) -> int:
        answer = await http_server_client.fetch(
            f"{jp_base_url}llm-magics/{path}", method=verb, body=None if verb == "GET" else "{}",
            allow_nonstandard_methods=True, raise_error=False, headers={**header, **headers},
        )  # fmt: skip
        return int(answer.code)

    assert await call("GET", "engines", Referer="http://127.0.0.1/") in (200, 403)
    for verb, path in CALLS:
        if verb != "GET":
            assert await call(verb, path) == 403, (verb, path)
    assert registry.read("qwen").state == "ready"  # type: ignore[union-attr]
    assert await call("PATCH", "engines/qwen", **{"X-XSRFToken": cookies["_xsrf"]}) == 400  # a body that means nothing


async def test_no_answer_is_cached_or_run_as_a_page(jp_fetch: Any, running: Callable[..., Record]) -> None:
    running(model="<script>alert(1)</script>")
    answer = await jp_fetch("llm-magics", "engines")
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert json.loads(answer.body)["engines"][0]["model"] == "<script>alert(1)</script>"


async def test_looking_is_no_activity_of_a_persons(jp_fetch: Any, jp_web_app: Any) -> None:
    await jp_fetch("llm-magics", "engines")
    assert "api_last_activity" not in jp_web_app.settings
    await jp_fetch("api", "contents")
    assert "api_last_activity" in jp_web_app.settings


class TestBaseUrl:
    """Behind a hub everything stands below the user's own prefix."""

    @pytest.fixture
    def jp_base_url(self) -> str:
        return "/user/me/x/"

    async def test_the_routes_are_below_it(self, ask: Any, running: Callable[..., Record]) -> None:
        running()
        assert (await ask("engines"))[0] == 200
        assert (await ask("engines/qwen/logs"))[0] == 200

    async def test_the_socket_is_below_it(self, jp_ws_fetch: Any, running: Callable[..., Record]) -> None:
        running()
        socket = await jp_ws_fetch("llm-magics", "watch")
        told: dict[str, Any] = {}
        while "engines" not in told:
            told = json.loads(await asyncio.wait_for(socket.read_message(), 60))
        assert [each["name"] for each in told["engines"]] == ["qwen"]
        socket.close()

    async def test_nothing_is_beside_it(self, http_server_client: Any) -> None:
        for path in ("llm-magics/engines", "user/me/llm-magics/engines"):
            answer = await http_server_client.fetch(f"/{path}?token=the-token", raise_error=False)
            assert answer.code == 404, path
