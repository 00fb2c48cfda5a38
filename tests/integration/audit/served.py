"""A REST API on a database of its own, behind a gate that believes the name in a header."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import httpx
from sqlalchemy import bindparam, insert

from entrepot.access.model import Places, Rights, decide_system, rights_in
from entrepot.access.permissions import PROJECT_ADMIN
from entrepot.auth.model import ANONYMOUS, Caller, Principal
from entrepot.database import Database, Transaction, query
from entrepot.database.migrate import upgrade
from entrepot.errors import Denied, NotAuthenticated, NotFound
from entrepot.journal import store as journal
from entrepot.journal.model import Event, Origin
from entrepot.projects.model import Project
from entrepot.projects.tables import project_aliases, projects
from entrepot.web.api import RestApi
from entrepot.web.exchange import Exchange
from entrepot.web.rest import Route
from entrepot.web.rule import Permission, Rule

T = TypeVar("T")

PEOPLE = {
    "": ANONYMOUS,
    "admin": Principal(1, "admin", is_admin=True),
    "auditor": Principal(2, "auditor", is_auditor=True),
    "alice": Principal(3, "alice"),
    "bob": Principal(4, "bob"),
}
_ADD_PROJECT = query(
    insert(projects).values({name: bindparam(name) for name in ("id", "name", "is_public", "created_at")})
)
_ADD_ALIAS = query(insert(project_aliases).values({c.name: bindparam(c.name) for c in project_aliases.columns}))


class Doors:
    """Who administers which project, whole or within patterns; gate and judge in one."""

    def __init__(self) -> None:
        self.projects: dict[str, Project] = {}
        self.members: dict[tuple[str, int], tuple[str, ...]] = {}
        self.bound: frozenset[str] | None = None

    async def admit(self, exchange: Exchange, rule: Rule, path: Mapping[str, str]) -> Any:
        caller = Caller(
            principal=PEOPLE[exchange.text(b"x-name")], client_address="192.0.2.9", request_id="r", bound=self.bound
        )
        if rule.scope == "login" and caller.principal.is_anonymous:
            raise NotAuthenticated("Log in first.")
        if rule.scope == "system" and rule.permission:
            await self.require_system(caller, rule.permission)
        elif rule.scope == "project" and rule.permission:
            project = self.projects.get(path["project_name"])
            if project is None:
                raise NotFound("There is no such project.")
            if not (await self.rights(caller.principal, project)).allows(rule.permission):
                raise Denied("You may not.")
        return caller

    async def require_system(self, caller: Any, permission: Permission) -> None:
        if caller.principal.is_anonymous:
            raise NotAuthenticated("Log in first.")
        if not decide_system(caller.principal, permission):
            raise Denied("You may not.")

    async def require_in_project(self, caller: Any, permission: Permission, project_id: int) -> None:
        raise NotImplementedError

    async def rights(self, principal: Principal, project: Project) -> Rights:
        patterns = self.members.get((principal.name, project.id))
        granted: list[Any] = [] if patterns is None else [(PROJECT_ADMIN.permissions, patterns, ())]
        return rights_in(principal, project, granted)

    async def places(self, caller: Caller, permission: Permission) -> Places:
        if caller.principal.is_admin:
            return Places(everywhere=True)
        held = {p.id: (await self.rights(caller.principal, p)).patterns(permission) for p in self.projects.values()}
        return Places(projects={id_: patterns for id_, patterns in held.items() if patterns})


class Served:
    """The API, its database, its doors."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.database = Database(path)
        self.doors = Doors()
        self.routes: Sequence[Route] = ()
        self.api = RestApi("/api", "Test", "1", lambda: self.routes, self.doors)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.api(Exchange(scope, receive, send, process="test", idle_timeout=5))

    async def ask(self, path: str, name: str = "admin", method: str = "GET", **more: Any) -> httpx.Response:
        transport = httpx.ASGITransport(app=self)
        async with httpx.AsyncClient(transport=transport, base_url="https://registry.example.com") as client:
            return await client.request(method, f"/api{path}", headers={"x-name": name}, **more)

    async def add_project(self, name: str, id_: int) -> Project:
        async def work(tx: Transaction) -> None:
            await tx.run(_ADD_PROJECT, id=id_, name=name, is_public=0, created_at=0)

        await self.database.write(work)
        self.doors.projects[name] = Project(id_, name, False)
        return self.doors.projects[name]

    async def add_alias(self, name: str, project: Project) -> None:
        async def work(tx: Transaction) -> None:
            await tx.run(_ADD_ALIAS, name=name, project_id=project.id, expires_at=2**60)

        await self.database.write(work)
        self.doors.projects[name] = project

    async def record(self, facts: Iterable[tuple[int, str, Event]]) -> None:
        """Rows of the journal: seconds since the epoch, whose, what."""
        rows = [
            journal.row_of(seconds * 1_000_000, Origin(name, "192.0.2.7", "docker/27", f"r-{seconds}"), event)
            for seconds, name, event in facts
        ]
        await self.database.write(lambda tx: journal.append_rows(tx, rows))


def serve(folder: Path, work: Callable[[Served], Awaitable[T]]) -> T:
    """Run ``work`` with a server on a new database in ``folder``."""
    upgrade(folder / "entrepot.db")

    async def inside() -> T:
        served = Served(folder / "entrepot.db")
        served.database.open()
        try:
            return await work(served)
        finally:
            await served.database.close()

    return asyncio.run(inside())
