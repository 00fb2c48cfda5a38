"""Robot accounts: making, finding, changing and deleting them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from entrepot.access.events import RobotCreated, RobotDeleted, RobotUpdated
from entrepot.access.model import PROJECT_SCOPE, SYSTEM_SCOPE, Grant, decide_system, is_within
from entrepot.access.robot import (
    RobotRequest,
    RobotView,
    check_duration,
    check_name,
    check_networks,
    differences,
    end_of,
    project_of,
    short_named,
)
from entrepot.access.scopes import EVERY_PROJECT, Scopes, covers, describe, refusal
from entrepot.access.secret import random_secret
from entrepot.access.service import Guardian
from entrepot.access.store import reach
from entrepot.auth.model import ROBOT, Caller, Robot, Scope
from entrepot.auth.passwords import hash_password
from entrepot.auth.store import robots as store
from entrepot.database import Database, Transaction
from entrepot.errors import Conflict, Denied, NotFound
from entrepot.journal import store as journal
from entrepot.kit import clock
from entrepot.kit.listing import Listing, SortKey
from entrepot.projects import store as projects
from entrepot.settings.service import Settings


class RobotAccounts:
    """The robot accounts that a caller may manage."""

    def __init__(self, database: Database, guardian: Guardian, scopes: Scopes, settings: Settings) -> None:
        self._database = database
        self._guardian = guardian
        self._scopes = scopes
        self._settings = settings

    async def create(self, caller: Caller, request: RobotRequest) -> tuple[RobotView, str]:
        """Make a robot account; its secret is told this once.

        Raises:
            InvalidInput: the request contradicts itself, or names a permission that cannot be given.
            NotFound: a project that it names is not there.
            Denied: the caller may not, or has not these permissions.
            Conflict: there is a robot account of that name.
        """
        check_name(request.name)
        project_id = await self._place(caller, request)
        scope = await self._read(caller, request, project_id)
        days = await self._days(request.duration)
        secret = random_secret()
        secret_hash = await asyncio.to_thread(hash_password, secret)
        full_name = (await self._full_names([(project_id, request.name)]))[0]

        async def work(tx: Transaction) -> int:
            if project_id is not None and await projects.find_by_id(tx, project_id) is None:
                raise NotFound("The project has been deleted.")
            now = clock.now_us()
            robot_id = await store.add(
                tx,
                project_id=project_id,
                name=request.name,
                description=request.description,
                scope=scope,
                networks=(),
                now=now,
                expires_at=end_of(now, days),
                duration=days,
                is_disabled=request.is_disabled,
                creator_kind=ROBOT if caller.principal.is_robot else "local",
                creator_id=caller.principal.id or 0,
            )
            if robot_id is None:
                raise Conflict(f"There is a robot account {full_name} already: choose another name.")
            await store.add_secret(tx, robot_id, secret_hash, now)
            event = RobotCreated(
                project_id=project_id, robot_id=robot_id, robot=full_name, permissions=describe(scope), duration=days
            )
            await journal.append(tx, caller.origin, event)
            return robot_id

        robot_id = await self._database.write(work)
        return await self._view(await self._find(robot_id)), secret

    async def page(self, caller: Caller, listing: Listing) -> tuple[list[RobotView], int]:
        """A page of the system's robot accounts, or with ``Level=project,ProjectID=1`` of a project's.

        Raises:
            InvalidInput: a condition cannot be understood.
            Denied: the caller may not.
        """
        project_id = project_of(listing)
        if project_id is None:
            await self._guardian.require_system(caller, ("robot", "list"))
        else:
            await self._guardian.require_in_project(caller, ("robot", "list"), project_id)
        prefix = await self._settings.text("robot_name_prefix")
        listing = msgspec.structs.replace(
            listing,
            conditions=tuple(short_named(condition, prefix) for condition in listing.conditions),
            sort=listing.sort or (SortKey("name"),),
        )
        level: store.Level = "system" if project_id is None else "project"
        found, total = await store.list_page(self._database, listing, level=level, project_id=project_id)
        return await self._views(found), total

    async def get(self, caller: Caller, robot_id: int) -> RobotView:
        """A robot account.

        Raises:
            NotFound: there is none with this id.
            Denied: the caller may not see it.
        """
        return await self._view(await self.require(caller, robot_id, "read"))

    async def update(self, caller: Caller, robot_id: int, request: RobotRequest) -> None:
        """Replace description, state, duration and permissions; they count with the next request of the robot.

        Raises:
            InvalidInput: it names other permissions than can be given, or would rename or move the account.
            NotFound: there is no such account or project.
            Denied: the caller may not, or has not these permissions.
        """
        before = await self.require(caller, robot_id, "update", takes_over=True)
        full_name = await self.name_of(before)
        level = SYSTEM_SCOPE if before.project_id is None else PROJECT_SCOPE
        if request.level != level or request.name not in {before.name, full_name}:
            raise refusal("Name and level of a robot account stay as they are: make another one.")
        scope = await self._read(caller, request, before.project_id)
        days = before.duration if not request.duration else check_duration(request.duration)
        after = msgspec.structs.replace(
            before,
            description=request.description,
            is_disabled=request.is_disabled,
            duration=days,
            expires_at=before.expires_at if days == before.duration else end_of(before.created_at, days),
            scope=scope,
        )
        await self._save(caller, before, after, full_name)

    async def set_networks(self, caller: Caller, robot_id: int, networks: Sequence[str]) -> None:
        """Say from where a robot account may come, in CIDR notation; nothing: from everywhere.

        Raises:
            InvalidInput: one is no network.
            NotFound: there is no such account.
            Denied: the caller may not.
        """
        before = await self.require(caller, robot_id, "update", takes_over=True)
        after = msgspec.structs.replace(before, networks=check_networks(networks))
        full_name = await self.name_of(before)
        await self._save(caller, before, after, full_name)

    async def delete(self, caller: Caller, robot_id: int) -> None:
        """Delete a robot account; whatever it was given ends.

        Raises:
            NotFound: there is no such account.
            Denied: the caller may not.
        """
        robot = await self.require(caller, robot_id, "delete")
        await self._require_whole_reach(caller, robot)
        full_name = await self.name_of(robot)

        async def work(tx: Transaction) -> None:
            if not await store.delete_robot(tx, robot_id):
                raise _unknown(robot_id)
            event = RobotDeleted(project_id=robot.project_id, robot_id=robot_id, robot=full_name)
            await journal.append(tx, caller.origin, event)

        await self._database.write(work)

    async def require(self, caller: Caller, robot_id: int, action: str, *, takes_over: bool = False) -> Robot:
        """A robot account that the caller may do ``action`` to.

        Args:
            caller: who asks.
            robot_id: which one.
            action: of the resource ``robot``.
            takes_over: what is asked for would let the caller act as the robot, or as far as it can.

        Raises:
            NotFound: there is no such account.
            Denied: the caller may not, or the account may do more than the caller.
        """
        self._guardian.require_login(caller)
        robot = await self._find(robot_id)
        await self._require(caller, action, robot.project_id)
        if takes_over:
            await self._require_reach(caller, robot.scope)
        return robot

    async def name_of(self, robot: Robot) -> str:
        """What a robot account logs in with."""
        return (await self._full_names([(robot.project_id, robot.name)]))[0]

    async def _save(self, caller: Caller, before: Robot, after: Robot, full_name: str) -> None:
        changes = differences(before, after)
        if not changes:
            return

        async def work(tx: Transaction) -> None:
            ends = after.is_disabled and not before.is_disabled
            if not await store.update_robot(tx, after, now=clock.now_us(), ends_tokens=ends):
                raise _unknown(before.id)
            event = RobotUpdated(project_id=before.project_id, robot_id=before.id, robot=full_name, changes=changes)
            await journal.append(tx, caller.origin, event)

        await self._database.write(work)

    async def _find(self, robot_id: int) -> Robot:
        robot = await store.find(self._database, robot_id)
        if robot is None:
            raise _unknown(robot_id)
        return robot

    async def _require(self, caller: Caller, action: str, project_id: int | None) -> None:
        if project_id is None:
            await self._guardian.require_system(caller, ("robot", action))
        else:
            await self._guardian.require_in_project(caller, ("robot", action), project_id)

    async def _place(self, caller: Caller, request: RobotRequest) -> int | None:
        """The project that a new robot account will belong to; ``None``: the system. The caller may make one there."""
        if request.level not in {SYSTEM_SCOPE, PROJECT_SCOPE}:
            raise refusal(f"{request.level[:64]!r} is no level of robot accounts: write system or project.")
        self._guardian.require_login(caller)
        if request.level == SYSTEM_SCOPE:
            await self._require(caller, "create", None)
            return None
        if len(request.entries) != 1 or request.entries[0].get("kind") != PROJECT_SCOPE:
            raise refusal("A robot account of a project has one entry of permissions, of kind project.")
        name = str(request.entries[0].get("namespace") or "")
        found = await projects.find(self._database, name) if name != EVERY_PROJECT else None
        if found is not None:
            await self._require(caller, "create", found.id)
            return found.id
        if decide_system(caller.principal, ("project", "list")):
            raise NotFound(f"There is no project {name[:255]!r}.")
        # Whoever may not see all projects must not learn which names exist.
        raise Denied(f"{caller.principal.name} may not create robot in {name[:255]}: ask somebody who administers it.")

    async def _read(self, caller: Caller, request: RobotRequest, project_id: int | None) -> Scope:
        """The scope that a request asks for, which must not go beyond what the caller has."""
        if not request.entries:
            raise refusal("A robot account needs at least one entry of permissions.")
        scope = await self._scopes.read(request.entries)
        if project_id is not None and (len(scope) != 1 or scope[0].project_id != project_id):
            raise refusal("A robot account of a project has one entry of permissions, for its own project.")
        await self._require_reach(caller, scope)
        return scope

    async def _require_reach(self, caller: Caller, scope: Scope) -> None:
        """Let nobody make, or take over, a robot account that may do more than they may."""
        principal = caller.principal
        allowed = principal.scope is None or is_within(scope, principal.scope)
        if allowed and not principal.is_robot and not principal.is_admin:
            allowed = await self._covers(caller, scope)
        if not allowed:
            raise Denied(
                f"{principal.name} cannot give a robot account more permissions than {principal.name} has: "
                "leave some out, or ask an administrator."
            )

    async def _require_whole_reach(self, caller: Caller, robot: Robot) -> None:
        """Let whoever administers only some repositories delete no robot account that reaches others."""
        project = await projects.find_by_id(self._database, robot.project_id) if robot.project_id is not None else None
        if project is None:
            return
        rights = await self._guardian.rights(caller.principal, project)
        delete = frozenset({("robot", "delete")})
        if not covers(rights, [Grant(delete, entry.repositories, entry.tags) for entry in robot.scope]):
            raise Denied(
                f"{caller.principal.name} administers only some repositories of {project.name}, and the robot account "
                "reaches others: ask somebody who administers all of them."
            )

    async def _covers(self, caller: Caller, scope: Scope) -> bool:
        """Whether a user, who is no administrator of the system, has all of ``scope``."""
        ids = {entry.project_id for entry in scope if entry.project_id is not None}
        found = {project.id: project for project in await reach.projects_by_id(self._database, ids)}
        for entry in scope:
            project = found.get(entry.project_id or 0)
            if entry.kind != PROJECT_SCOPE or project is None:
                return False
            rights = await self._guardian.rights(caller.principal, project)
            if not covers(rights, [Grant(frozenset(entry.permissions), entry.repositories, entry.tags)]):
                return False
        return True

    async def _days(self, duration: int | None) -> int:
        if not duration:
            return await self._settings.number("robot_token_duration")
        return check_duration(duration)

    async def _view(self, robot: Robot) -> RobotView:
        return (await self._views([robot]))[0]

    async def _views(self, robots: Sequence[Robot]) -> list[RobotView]:
        names = await self._full_names([(robot.project_id, robot.name) for robot in robots])
        entries = await self._scopes.write_all([robot.scope for robot in robots])
        return [RobotView(*parts) for parts in zip(robots, names, entries, strict=True)]

    async def _full_names(self, robots: Sequence[tuple[int | None, str]]) -> list[str]:
        """What robot accounts log in with, from project ids and short names."""
        prefix = await self._settings.text("robot_name_prefix")
        ids = {project_id for project_id, _ in robots if project_id is not None}
        names = {project.id: project.name for project in await reach.projects_by_id(self._database, ids)}
        return [
            prefix + (name if project_id is None else f"{names.get(project_id, '')}+{name}")
            for project_id, name in robots
        ]


def _unknown(robot_id: int) -> NotFound:
    return NotFound(f"There is no robot account {robot_id}.")
