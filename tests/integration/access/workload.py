"""A registry that trusts an issuer of ours, and how workloads come to it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
from sqlalchemy import select

from entrepot.database import query
from entrepot.journal.store import journal
from tests.integration.access.served import HARBOR, NOBODY, OWN, Credential, Served, basic, bearer, opened
from tests.integration.rig import Bench
from tests.issuer import Issuer

GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
JWT = "urn:ietf:params:oauth:token-type:jwt"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
AUDIENCE = "registry.example.com"
NAME = "ci-issuer"
RULE = 'repository == "acme/app" and ref like "refs/heads/*"'
PULL_PUSH = "repository:acme/app:pull,push"
ACCESS = [{"resource": "repository", "action": action} for action in ("pull", "push")]


def options(issuer: Issuer, **more: Any) -> dict[str, Any]:
    return {"name": NAME, "issuer": issuer.url, "audiences": [AUDIENCE, "second"], **more}


def settings(*described: dict[str, Any]) -> dict[str, str]:
    return {"ENTREPOT_IDENTITY_WORKLOAD": json.dumps(described)}


_JOURNAL = query(select(journal.c.kind, journal.c.body).order_by(journal.c.id))


async def events(made: Place, kind: str = "WorkloadLoggedIn") -> list[dict[str, Any]]:
    """The fields of all facts of a kind."""
    return [json.loads(body) for found, body in await made.served.app.database.all(_JOURNAL) if found == kind]


class Place:
    """Two processes of one registry, a project ``acme``, and a robot account in it that trusts the issuer."""

    def __init__(self, issuer: Issuer, one: Served, other: Served) -> None:
        self.issuer = issuer
        self.served = one
        self.other = other
        self.robot = 0
        self.secret: Credential = NOBODY
        self.trust = 0

    @property
    def name(self) -> str:
        return "robot$acme+ci"

    def token(self, **claims: Any) -> str:
        """What the issuer gives to a job."""
        job = {"sub": "repo:acme/app", "repository": "acme/app", "ref": "refs/heads/main", "aud": AUDIENCE}
        return self.issuer.token(**{**job, **claims})

    async def add_robot(self, name: str, project: str = "acme", level: str = "project") -> tuple[int, Credential]:
        permissions = {"kind": "project", "namespace": project, "access": ACCESS}
        return await self.served.robot(name, permissions, level=level)

    async def add_trust(self, robot: int, name: str = "main", rule: str = RULE, issuer: str = NAME) -> int:
        body = {"name": name, "issuer": issuer, "rule": rule}
        return await self.served.made(f"{OWN}/robots/{robot}/trusts", body)

    async def remove_trust(self) -> None:
        await self.served.done("DELETE", f"{OWN}/robots/{self.robot}/trusts/{self.trust}")

    async def exchange(self, token: str, *scopes: str, served: Served | None = None, **more: Any) -> httpx.Response:
        form = {"grant_type": GRANT, "subject_token": token, "subject_token_type": JWT, "scope": list(scopes), **more}
        return await (served or self.served).ask("POST", "/service/token", NOBODY, data=form)

    async def exchanged(self, token: str, *scopes: str, **more: Any) -> Credential:
        answer = await self.exchange(token, *scopes, **more)
        assert answer.status_code == 200, answer.text
        return bearer(answer.json()["access_token"])

    async def log_in(self, token: str, name: str = "", **query: str) -> httpx.Response:
        """As docker login asks: with Basic, for a token that stands for the password."""
        wanted = {"service": "entrepot", "offline_token": "true", "account": name or self.name, **query}
        return await self.served.ask("GET", "/service/token", basic(name or self.name, token), params=wanted)

    async def refresh(self, token: str, *scopes: str, served: Served | None = None, **more: str) -> httpx.Response:
        form = {"grant_type": "refresh_token", "refresh_token": token, "service": "entrepot", "scope": list(scopes)}
        return await (served or self.served).ask("POST", "/service/token", NOBODY, data={**form, **more})

    async def change_robot(self, **changes: Any) -> None:
        path = f"{HARBOR}/robots/{self.robot}"
        body = (await self.served.done("GET", path)).json()
        await self.served.done("PUT", path, json={**body, **changes})

    async def records(self, operation: str) -> list[tuple[str, bool]]:
        """Whom the audit log tells of, the latest last, and whether it went well."""
        query = {"q": f"operation={operation}", "page_size": "100", "sort": "op_time"}
        found = (await self.served.done("GET", f"{HARBOR}/auditlog-exts", params=query)).json()
        told = [(record["username"], record["operation_result"]) for record in found]
        return [record for record in told if record[0] != "admin"]


@asynccontextmanager
async def place(bench: Bench, *, issuer: Issuer | None = None, **more: Any) -> AsyncIterator[Place]:
    """``more`` are options of the issuer."""
    async with AsyncExitStack() as stack:
        issuer = issuer or stack.enter_context(Issuer())
        config = bench.config(**settings(options(issuer, **more)))
        one = await stack.enter_async_context(opened(config))
        other = await stack.enter_async_context(opened(config))
        for served in (one, other):
            stack.push_async_callback(served.app.workloads.close)
        made = Place(issuer, one, other)
        await one.project("acme", is_public=False)
        await one.push("acme/app", "v1", "app")
        made.robot, made.secret = await made.add_robot("ci")
        made.trust = await made.add_trust(made.robot)
        yield made
