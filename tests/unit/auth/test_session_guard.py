"""What protects a session from other sites."""

from __future__ import annotations

from typing import Any

import pytest

from entrepot.access.sessions import SESSION_COOKIE, SessionGuard
from entrepot.auth.model import Caller, Principal
from entrepot.errors import Denied
from entrepot.web.exchange import Exchange

GUARD = SessionGuard(b"k" * 32)
TOKEN = GUARD.token("a-cookie")


async def unused(*_: Any) -> Any:
    raise AssertionError


def exchange(method: str, token: str = "") -> Exchange:
    headers = [(b"cookie", f"x=1; {SESSION_COOKIE}=a-cookie".encode())]
    if token:
        headers.append((b"x-harbor-csrf-token", token.encode("latin-1")))
    scope = {
        "type": "http",
        "method": method,
        "path": "/",
        "query_string": b"",
        "scheme": "https",
        "client": None,
        "headers": headers,
        "http_version": "1.1",
    }
    return Exchange(scope, unused, unused, process="p", idle_timeout=1)


def caller(credential: str) -> Caller:
    return Caller(principal=Principal(1, "admin"), credential=credential)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_reading_needs_no_token_and_tells_it(method: str) -> None:
    asked = exchange(method)
    GUARD.protect(asked, caller("session"))
    assert asked.answer_headers == [(b"x-harbor-csrf-token", TOKEN.encode())]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE"])
@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], TOKEN.upper(), GUARD.token("another"), "é"])
def test_changing_needs_the_right_one_and_a_refusal_tells_it(method: str, token: str) -> None:
    asked = exchange(method, token)
    with pytest.raises(Denied, match="X-Harbor-CSRF-Token") as refused:
        GUARD.protect(asked, caller("session"))
    assert refused.value.error_code == "FORBIDDEN"
    assert dict(asked.answer_headers)[b"x-harbor-csrf-token"] == TOKEN.encode()
    # terraform's provider tries again only where Harbor's cookie comes with the token
    assert dict(asked.answer_headers)[b"set-cookie"].startswith(b"_gorilla_csrf=unused;")
    GUARD.protect(exchange(method, TOKEN), caller("session"))


@pytest.mark.parametrize("credential", ["", "basic", "bearer", "expired"])
def test_other_credentials_are_not_sent_by_themselves_so_they_need_none(credential: str) -> None:
    asked = exchange("DELETE")
    GUARD.protect(asked, caller(credential))
    assert asked.answer_headers == []


def test_another_key_makes_another_token() -> None:
    assert SessionGuard(b"x" * 32).token("a-cookie") != TOKEN
