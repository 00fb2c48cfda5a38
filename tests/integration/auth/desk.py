"""The verbs of accounts put together as a worker process does it, on a real database in a folder."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

import httpx
from sqlalchemy import select

from entrepot.access.identity import Identifier, Strangers
from entrepot.access.scopes import Scopes
from entrepot.access.service import AccessOptions, Guardian
from entrepot.access.sessions import SessionGuard
from entrepot.access.tokens import TokenIssuer, TokenOptions, load_key
from entrepot.auth.accounts import Accounts
from entrepot.auth.directory import Directory
from entrepot.auth.elsewhere import Elsewhere
from entrepot.auth.foreign_bearers import ForeignBearers
from entrepot.auth.groups import Groups
from entrepot.auth.http.routes import UserRoutes
from entrepot.auth.http.sessions import SessionRoutes
from entrepot.auth.logins import Logins
from entrepot.auth.model import Caller, User
from entrepot.auth.options import Options
from entrepot.auth.passwords import hash_password
from entrepot.auth.personal_tokens import PersonalTokens
from entrepot.auth.provider import Provider
from entrepot.auth.rechecks import Rechecks
from entrepot.auth.robots import Robots
from entrepot.auth.service import Users
from entrepot.auth.sessions import Sessions
from entrepot.auth.store import robots as robot_store
from entrepot.auth.store import users as user_store
from entrepot.auth.trusts import Trusts
from entrepot.auth.usage import LastUses
from entrepot.auth.workload import Workloads
from entrepot.database import Database, query
from entrepot.database.migrate import upgrade
from entrepot.journal.model import Origin
from entrepot.journal.store import journal
from entrepot.kit.secretbox import SecretBox, new_key
from entrepot.settings.service import Settings
from entrepot.web.api import RestApi
from entrepot.web.edge import Edge, EdgeOptions
from entrepot.web.metrics import RequestMetrics

T = TypeVar("T")

PASSWORD = "correct-horse-battery-staple-9"
API = "/api/v2.0"
OWN = "/api/entrepot/v1"
_KEY = bytes(32)

_JOURNAL = query(
    select(
        journal.c.kind,
        journal.c.principal,
        journal.c.operation,
        journal.c.resource_type,
        journal.c.resource,
        journal.c.is_refused,
        journal.c.body,
    ).order_by(journal.c.id)
)


def origin(address: str = "192.0.2.1", principal: str = "admin") -> Origin:
    return Origin(principal, address, "test", "r-1")


def no_provider(options: Options) -> Provider:
    raise AssertionError(f"nobody makes {options.name}")


class Desk:
    """One process's share."""

    def __init__(
        self, folder: Path, key: str, *, providers: Sequence[Options], build: Callable[[Options], Provider]
    ) -> None:
        self.database = Database(folder / "entrepot.db")
        self.settings = Settings(self.database, {})
        self.logins = Logins(self.database)
        self.box = SecretBox(keys=key)
        self.directory = Directory(self.database, self.settings, self.box, providers, {"ldap": build, "oidc": build})
        self.accounts = Accounts(self.database, self.settings, self.box, self.directory.is_sole)
        self.rechecks = Rechecks(self.database, self.directory, self.accounts, self.box)
        self.users = Users(
            self.database, self.logins, self.settings, elsewhere=Elsewhere(self.directory, self.accounts)
        )
        self.robots = Robots(self.database, self.logins)
        self.workloads = Workloads(self.directory)
        self.trusts = Trusts(self.database, self.robots, self.workloads)
        self.tokens = PersonalTokens(self.database)
        self.sessions = Sessions(self.database, self.settings, self.box)
        self.groups = Groups(self.database)
        self.uses = LastUses(self.database)
        issuer = TokenIssuer(load_key(folder / "token.pem"), TokenOptions(access_seconds=300, refresh_seconds=3600))
        self.identifier = Identifier(
            self.database,
            self.users,
            robots=self.robots,
            tokens=self.tokens,
            sessions=self.sessions,
            uses=self.uses,
            issuer=issuer,
            settings=self.settings,
            strangers=Strangers(
                self.rechecks, self.trusts, ForeignBearers(self.database, self.directory, self.accounts)
            ),
        )
        self.guard = SessionGuard(_KEY)
        self.guardian = Guardian(self.database, self.identifier, self.guard, self.settings, AccessOptions())

    async def add(self, name: str, password: str = PASSWORD, *, is_admin: bool = False) -> User:
        """An account, with a password whatever the rules say."""
        hashed = hash_password(password)
        await self.database.write(lambda tx: user_store.add(tx, name, hashed, 1, is_admin=is_admin))
        return await self.user(name)

    async def user(self, name: str = "admin") -> User:
        found = await self.users.find_by_name(name)
        assert found is not None
        return found

    async def caller(self, name: str = "admin", **more: Any) -> Caller:
        return Caller(principal=(await self.user(name)).principal, client_address="192.0.2.1", **more)

    async def add_robot(self, name: str, *secrets: str, **more: Any) -> int:
        """A robot account of the system."""
        values: dict[str, Any] = {
            "project_id": None,
            "description": "",
            "scope": (),
            "networks": (),
            "now": 1,
            "expires_at": None,
            "duration": -1,
            "is_disabled": False,
            "creator_kind": "user",
            "creator_id": 1,
        }

        async def work(tx: Any) -> int:
            robot_id = await robot_store.add(tx, name=name, **(values | more))
            assert robot_id is not None
            for secret in secrets:
                await robot_store.add_secret(tx, robot_id, hash_password(secret), 1)
            return robot_id

        return await self.database.write(work)

    async def events(self, *kinds: str) -> list[dict[str, Any]]:
        """The journal, oldest first; only of ``kinds`` where some are named."""
        columns = ("kind", "principal", "operation", "resource_type", "resource", "is_refused")
        stored = await self.database.all(_JOURNAL)
        rows = [json.loads(row[-1]) | dict(zip(columns, row, strict=False)) for row in stored]
        return [row for row in rows if not kinds or row["kind"] in kinds]

    def client(self, address: str = "192.0.2.1", *, scheme: str = "http", **more: Any) -> httpx.AsyncClient:
        """A client of the REST APIs and of the sessions."""
        routes = UserRoutes(self.users, self.tokens, self.groups, self.guardian, Scopes(self.database))
        sessions = SessionRoutes(self.users, self.sessions, self.guard.token)
        edge = Edge(
            [
                (f"{API}/", RestApi(API, "API", "1", routes.routes, self.guardian)),
                (f"{OWN}/", RestApi(OWN, "API", "1", routes.own_routes, self.guardian)),
                ("/c/", sessions),
            ],
            EdgeOptions(),
            metrics=RequestMetrics(),
            access_log=None,
        )
        transport = httpx.ASGITransport(app=edge, client=(address, 1234))
        return httpx.AsyncClient(transport=transport, base_url=f"{scheme}://registry.test", **more)


class Office:
    """Where desks stand: one folder with a schema, a key and ``admin``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.providers: Sequence[Options] = ()
        self.build: Callable[[Options], Provider] = no_provider
        """Whoever vouches for people elsewhere, and how they are made."""
        self.key = new_key()

    def prepare(self) -> None:
        self.folder.mkdir()
        upgrade(self.folder / "entrepot.db")
        load_key(self.folder / "token.pem")

        async def work(desk: Desk) -> None:
            await desk.users.ensure_admin(PASSWORD)

        self(work)

    def copy_to(self, folder: Path) -> Office:
        shutil.copytree(self.folder, folder)
        return Office(folder)

    def __call__(self, work: Callable[[Desk], Awaitable[T]]) -> T:
        """Run ``work`` with a desk, on an event loop of its own."""
        return self.together(1, lambda desks: work(desks[0]))

    def both(self, work: Callable[[Desk, Desk], Awaitable[T]]) -> T:
        """Run ``work`` with two desks on one folder, as two worker processes are."""
        return self.together(2, lambda desks: work(*desks))

    def together(self, count: int, work: Callable[[list[Desk]], Awaitable[T]]) -> T:
        async def run() -> T:
            async with AsyncExitStack() as stack:
                desks = []
                for _ in range(count):
                    desk = Desk(self.folder, self.key, providers=self.providers, build=self.build)
                    desk.database.open()
                    stack.push_async_callback(desk.database.close)
                    desks.append(desk)
                return await work(desks)

        return asyncio.run(run())

    def holds(self, text: bytes) -> bool:
        """Whether any file of the folder holds ``text``."""
        return any(text in path.read_bytes() for path in self.folder.iterdir() if path.is_file())
