"""What Harbor's clients ask before they log in."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from entrepot.errors import NotAllowed
from entrepot.system.health import HealthChecker
from entrepot.system.http import SystemRoutes
from entrepot.web.exchange import Exchange


def ask(method: str) -> tuple[int, bytes]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    scope: dict[str, Any] = {
        "method": method, "path": "/api/version", "query_string": b"", "scheme": "http", "client": None, "headers": [],
        "http_version": "1.1",
    }  # fmt: skip
    # Nothing of these is asked: the version is for everybody.
    nobody: Any = None
    routes = SystemRoutes(HealthChecker({}), nobody, nobody, {}, login=True)
    asyncio.run(routes.api_version(Exchange(scope, receive, send, process="p", idle_timeout=1)))
    return sent[0]["status"], sent[1]["body"]


def test_the_version_of_the_api_is_told_to_everybody() -> None:
    assert ask("GET") == (200, b'{"version":"v2.0"}')
    assert ask("HEAD") == (200, b"")


def test_it_can_only_be_read() -> None:
    with pytest.raises(NotAllowed):
        ask("POST")
