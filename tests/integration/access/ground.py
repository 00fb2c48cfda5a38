"""The floor of rights on a real database, without what identifies callers: verbs are given their callers."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from typing import Any, cast

from sqlalchemy import bindparam, insert, select, update

from entrepot.access.members import Entity, Members
from entrepot.access.permits import Permits
from entrepot.access.robot_secrets import RobotSecrets
from entrepot.access.robots import RobotAccounts
from entrepot.access.roles import Roles
from entrepot.access.scopes import Scopes
from entrepot.access.service import AccessOptions, Guardian
from entrepot.auth.model import Caller, Principal
from entrepot.auth.store import robots as robot_store
from entrepot.auth.tables import group_users, users
from entrepot.database import Database, Transaction, query
from entrepot.database.migrate import upgrade
from entrepot.journal.store import journal
from entrepot.projects import store as projects
from entrepot.projects.model import Project
from entrepot.projects.tables import projects as projects_table
from entrepot.settings.service import Settings

_DEFAULTED = {"id", "is_auditor", "source", "source_admin", "is_gone", "is_email_vouched"}
_ADD_USER = query(
    insert(users)
    .values({c.name: bindparam(c.name) for c in users.columns if c.name not in _DEFAULTED})
    .returning(users.c.id)
)
_ADD_PROJECT = query(
    insert(projects_table).values(
        name=bindparam("name"), is_public=bindparam("is_public"), created_at=bindparam("created_at")
    )
)
_RENAME = query(
    update(projects_table).where(projects_table.c.id == bindparam("project_id")).values(name=bindparam("name"))
)
_JOIN = query(insert(group_users).values(group_id=bindparam("group_id"), user_id=bindparam("user_id")))
_JOURNAL = query(
    select(
        journal.c.kind,
        journal.c.principal,
        journal.c.operation,
        journal.c.resource_type,
        journal.c.resource,
        journal.c.project_id,
        journal.c.body,
    ).order_by(journal.c.id)
)


class Ground:
    """Verbs on one database."""

    def __init__(self, path: Path) -> None:
        self.database = Database(path)
        self.settings = Settings(self.database, {})
        # Nobody logs in here.
        self.guardian = Guardian(self.database, cast("Any", None), cast("Any", None), self.settings, AccessOptions())
        self.scopes = Scopes(self.database)
        self.members = Members(self.database, self.guardian)
        self.roles = Roles(self.database)
        self.permits = Permits(self.database, self.guardian)
        self.robots = RobotAccounts(self.database, self.guardian, self.scopes, self.settings)
        self.secrets = RobotSecrets(self.database, self.robots)
        self.admin = Caller(principal=Principal(1_000_000, "admin", is_admin=True))

    async def user(self, name: str) -> Caller:
        """A new account without rights."""

        async def work(tx: Transaction) -> int:
            row = await tx.one(
                _ADD_USER,
                name=name,
                password_hash="x",
                is_admin=0,
                is_disabled=0,
                credential_version=1,
                created_at=0,
                updated_at=0,
                email="",
                real_name="",
                comment="",
            )
            assert row is not None
            return int(row[0])

        return Caller(principal=Principal(await self.database.write(work), name))

    async def project(self, name: str, *, is_public: bool = False) -> Project:
        await self.database.write(lambda tx: tx.run(_ADD_PROJECT, name=name, is_public=int(is_public), created_at=0))
        found = await projects.find(self.database, name)
        assert found is not None
        return found

    async def rename(self, project: Project, name: str) -> None:
        await self.database.write(lambda tx: tx.run(_RENAME, project_id=project.id, name=name))

    async def join(self, group_id: int, user: Caller) -> None:
        await self.database.write(lambda tx: tx.run(_JOIN, group_id=group_id, user_id=user.principal.id))

    async def member(self, name: str, project: Project, role_id: int, **more: Any) -> Caller:
        """A new account with a role."""
        made = await self.user(name)
        await self.grant(made, project, role_id, **more)
        return made

    async def grant(self, user: Caller, project: Project, role_id: int, **more: Any) -> int:
        assert user.principal.id is not None
        entity = Entity(user_id=user.principal.id)
        return await self.members.add(self.admin, project, entity, role_id, is_first=False, **more)

    async def as_robot(self, robot_id: int) -> Caller:
        """The caller that a robot account is."""
        robot = await robot_store.find(self.database, robot_id)
        assert robot is not None
        return Caller(principal=Principal(robot.id, robot.name, kind="robot", scope=robot.scope))

    async def may(self, caller: Caller, resource: str, action: str, project: Project, *where: Any) -> bool:
        rights = await self.guardian.rights(caller.principal, project)
        return rights.allows((resource, action), *where)

    async def events(self) -> list[dict[str, Any]]:
        keys = ("kind", "principal", "operation", "resource_type", "resource", "project_id")
        rows = await self.database.all(_JOURNAL)
        return [dict(zip(keys, row[:6], strict=True)) | {"body": json.loads(row[6])} for row in rows]

    async def last_event(self) -> dict[str, Any]:
        return (await self.events())[-1]


@cache
def _template() -> Path:
    path = Path(tempfile.mkdtemp(prefix="ground-")) / "entrepot.db"
    upgrade(path)
    return path


def on_ground(folder: Path, work: Callable[[Ground], Awaitable[None]]) -> None:
    """Run ``work`` on a fresh database in ``folder``."""
    path = folder / "entrepot.db"
    shutil.copy(_template(), path)

    async def run() -> None:
        ground = Ground(path)
        ground.database.open()
        try:
            await work(ground)
        finally:
            await ground.database.close()

    asyncio.run(run())
