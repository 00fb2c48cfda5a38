"""A browser without scripts: it keeps cookies, reads forms and posts them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from html import unescape
from typing import Any, TypeVar

import httpx

from entrepot.app import App
from tests.integration.rig import PASSWORD, Bench

T = TypeVar("T")
SITE = "http://registry.test"


class Browser:
    """One browser at one registry."""

    def __init__(self, app: App) -> None:
        self.app = app
        transport = httpx.ASGITransport(app=app.edge(app.web()), client=("192.0.2.1", 1234))
        self.client = httpx.AsyncClient(transport=transport, base_url=SITE)
        self.page = httpx.Response(200)

    async def open(self, path: str = "/account") -> httpx.Response:
        self.page = await self.client.get(path)
        return self.page

    async def post(self, action: str, **fields: str) -> httpx.Response:
        """Send the form of the page that goes to ``action``, with its token; follow where it leads."""
        assert f'action="{action}"' in self.page.text, self.page.text
        data = {"csrf": self.token, **fields}
        answer = await self.client.post(action, data=data)
        while answer.status_code == 303:
            answer = await self.client.get(answer.headers["location"])
        self.page = answer
        return answer

    async def log_in(self, name: str = "admin", password: str = PASSWORD) -> httpx.Response:
        await self.open()
        return await self.post("/account/login", username=name, password=password)

    @property
    def token(self) -> str:
        found = re.search(r'name="csrf" value="([^"]*)"', self.page.text)
        return found[1] if found else ""

    @property
    def secret(self) -> str:
        """The secret that the page shows this once."""
        found = re.search(r'id="made"[^>]* value="([^"]*)"', self.page.text)
        return unescape(found[1]) if found else ""

    @property
    def alert(self) -> str:
        """What went wrong."""
        found = re.search(r'role="alert">([^<]*)<', self.page.text)
        return unescape(found[1]) if found else ""

    @property
    def title(self) -> str:
        found = re.search(r"<h1>([^<]*)</h1>", self.page.text)
        return unescape(found[1]) if found else ""


def browsing(run: Bench, work: Callable[[Browser], Awaitable[T]], **more: Any) -> T:
    """Run ``work`` with a browser; ``more`` are settings as variables."""

    async def inner() -> T:
        app = App(run.config(**more), None)
        app.database.open()
        async with AsyncExitStack() as stack:
            stack.push_async_callback(app.close)
            browser = Browser(app)
            await stack.enter_async_context(browser.client)
            return await work(browser)

    return asyncio.run(inner())
