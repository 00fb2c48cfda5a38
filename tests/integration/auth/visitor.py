"""A browser, as far as a login at an OpenID provider needs one, and a registry to log in to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Self, TypeVar
from urllib.parse import parse_qsl, urlsplit

import httpx

from entrepot.auth.browser_logins import BrowserLogins
from entrepot.auth.http.oidc import OidcRoutes
from entrepot.auth.http.sessions import SessionRoutes
from entrepot.auth.options import OidcOptions, Options
from entrepot.auth.provider import Provider
from entrepot.auth.providers.oidc import OidcProvider
from entrepot.web.edge import Edge, EdgeOptions, Mount
from entrepot.web.metrics import RequestMetrics
from tests.integration.auth.desk import Desk, Office
from tests.issuer import CLIENT, SECRET, Issuer

T = TypeVar("T")
SITE = "http://registry.test"


def options_of(issuer: Issuer, **more: Any) -> OidcOptions:
    values: dict[str, Any] = {
        "name": "corp",
        "title": "Corp",
        "endpoint": issuer.url,
        "client_id": CLIENT,
        "client_secret": SECRET,
        "groups_claim": "groups",
        "auto_onboard": True,
        "timeout": 2.0,
    }
    return OidcOptions(**values | more)


def build(options: Options) -> Provider:
    assert isinstance(options, OidcOptions)
    return OidcProvider(options)


class Hall:
    """A desk that people come to with their browsers."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.logins = BrowserLogins(desk.database, desk.directory, desk.accounts, desk.sessions, desk.box)
        mounts: list[Mount] = [
            ("/c/oidc/", OidcRoutes(self.logins, desk.guard.token)),
            ("/c/", SessionRoutes(desk.users, desk.sessions, desk.guard.token)),
        ]
        self.edge = Edge(mounts, EdgeOptions(), metrics=RequestMetrics(), access_log=None)

    def browser(self, *, scheme: str = "http", **more: Any) -> Visitor:
        transport = httpx.ASGITransport(app=self.edge, client=("192.0.2.1", 1234))
        return Visitor(httpx.AsyncClient(transport=transport, base_url=f"{scheme}://registry.test", **more))


class Visitor:
    """One browser with its cookies; it follows redirects when it is told to."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def __aenter__(self) -> Self:
        await self.client.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.__aexit__(None, None, None)

    async def leave(self, **asked: str) -> httpx.Response:
        """Ask to log in; the answer sends the browser to the provider."""
        return await self.client.get("/c/oidc/login", params=asked)

    async def at_provider(self, url: str) -> str:
        """Go to our own issuer, which sends the browser back at once; where to."""
        async with httpx.AsyncClient() as outside:
            answer = await outside.get(url)
        assert answer.status_code == 302, answer.text
        return answer.headers["location"]

    async def come_back(self, url: str) -> httpx.Response:
        parts = urlsplit(url)
        return await self.client.get(f"{parts.path}?{parts.query}")

    async def log_in(self, **asked: str) -> httpx.Response:
        """The whole way; the registry's last answer."""
        gone = await self.leave(**asked)
        assert gone.status_code == 302, gone.text
        return await self.come_back(await self.at_provider(gone.headers["location"]))

    async def name(self, hall: Hall) -> str:
        """Whose session the browser has; empty: nobody's."""
        user = await hall.desk.sessions.find(self.client.cookies.get("sid") or "")
        return user.name if user else ""


def query_of(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query))


def visiting(office: Office, options: list[OidcOptions], work: Callable[[Hall], Awaitable[T]]) -> T:
    """Run ``work`` with a hall whose providers are ``options``."""
    office.providers = options
    office.build = build

    async def run(desk: Desk) -> T:
        try:
            return await work(Hall(desk))
        finally:
            await desk.directory.close()

    return office(run)
