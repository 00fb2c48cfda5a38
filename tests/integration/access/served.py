"""The whole application, asked over ASGI as a server would ask it: registry, token endpoint, both REST APIs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx

from entrepot.app import App
from entrepot.config import Config
from entrepot.oci import digest as digests
from tests.integration.rig import PASSWORD, image

HARBOR = "/api/v2.0"
OWN = "/api/entrepot/v1"

Credential = Mapping[str, str]
"""The headers that show who asks; none: nobody."""

REFUSED = frozenset({401, 403})


def basic(name: str, password: str = PASSWORD) -> Credential:
    return {"authorization": httpx.BasicAuth(name, password)._auth_header}


def bearer(token: str) -> Credential:
    return {"authorization": f"Bearer {token}"}


ADMIN = basic("admin")
NOBODY: Credential = {}


class Served:
    """One process of the registry, and a client of it."""

    def __init__(self, app: App) -> None:
        self.app = app
        transport = httpx.ASGITransport(app=app.edge(app.web()))
        self._client = httpx.AsyncClient(transport=transport, base_url="http://registry.example.com")

    async def ask(self, method: str, path: str, who: Credential = ADMIN, **more: Any) -> httpx.Response:
        self._client.cookies.clear()
        headers = {**who, **more.pop("headers", {})}
        return await self._client.request(method, path, headers=headers, **more)

    async def done(self, method: str, path: str, who: Credential = ADMIN, **more: Any) -> httpx.Response:
        """The answer to what must work."""
        answer = await self.ask(method, path, who, **more)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer

    async def made(self, path: str, body: Any, who: Credential = ADMIN) -> int:
        """The id of what is created, read from its Location."""
        answer = await self.done("POST", path, who, json=body)
        return int(answer.headers["location"].rpartition("/")[2])

    # what tests fill a registry with

    async def user(self, name: str) -> int:
        return await self.made(f"{HARBOR}/users", {"username": name, "password": PASSWORD})

    async def project(self, name: str, *, is_public: bool) -> int:
        values = {"public": str(is_public).lower(), "auto_scan": "false"}
        return await self.made(f"{HARBOR}/projects", {"project_name": name, "metadata": values})

    async def grant(self, project: str, user: int, role: int, **limits: Any) -> int:
        body = {"role_id": role, "member_user": {"user_id": user}, **limits}
        return await self.made(f"{OWN}/projects/{project}/grants", body)

    async def robot(self, name: str, *permissions: Mapping[str, Any], level: str = "project") -> tuple[int, Credential]:
        body = {"name": name, "level": level, "duration": -1, "permissions": permissions}
        made = (await self.done("POST", f"{HARBOR}/robots", json=body)).json()
        return int(made["id"]), basic(made["name"], made["secret"])

    async def token(self, who: Credential, name: str, scope: Any = None) -> tuple[int, str]:
        body = {"name": name, **({"scope": scope} if scope else {})}
        made = (await self.done("POST", f"{OWN}/users/current/tokens", who, json=body)).json()
        return int(made["id"]), made["secret"]

    async def session(self, name: str, password: str = PASSWORD) -> Credential:
        """A browser that has logged in; it brings the token that changes need."""
        answer = await self.done("POST", "/c/login", NOBODY, data={"principal": name, "password": password})
        cookie = answer.headers["set-cookie"].partition(";")[0]
        return {"cookie": cookie, "x-harbor-csrf-token": answer.headers["x-harbor-csrf-token"]}

    async def bearer(self, who: Credential, *scopes: str) -> Credential:
        """A token of the token endpoint."""
        answer = await self.done("GET", "/service/token", who, params={"scope": list(scopes)})
        return bearer(answer.json()["token"])

    async def push(self, name: str, tag: str, text: str, who: Credential = ADMIN) -> tuple[str, str]:
        """The digests of an image and of its configuration."""
        config = json.dumps({"history": [], "comment": text}).encode()
        config_digest = digests.of(config)
        await self.done("POST", f"/v2/{name}/blobs/uploads/", who, params={"digest": config_digest}, content=config)
        payload = image(config, [])
        headers = {"content-type": "application/vnd.oci.image.manifest.v1+json"}
        await self.done("PUT", f"/v2/{name}/manifests/{tag}", who, content=payload, headers=headers)
        return digests.of(payload), config_digest


@asynccontextmanager
async def opened(config: Config) -> AsyncIterator[Served]:
    app = App(config, None)
    app.database.open()
    try:
        yield Served(app)
    finally:
        await app.database.close()
