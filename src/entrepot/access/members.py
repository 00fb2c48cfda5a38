"""Members of projects: grants of roles to users and groups, maybe only in some repositories and on some tags."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from entrepot.access.events import MemberAdded, MemberChanged, MemberRemoved
from entrepot.access.model import Grant
from entrepot.access.permissions import Role
from entrepot.access.scopes import check_patterns, covers, refusal
from entrepot.access.service import Guardian
from entrepot.access.store import members as store
from entrepot.access.store.members import GROUP, USER, Member
from entrepot.access.store.roles import find_role
from entrepot.auth.dn import first_value
from entrepot.auth.groups import group_key
from entrepot.auth.model import Caller, Group, User
from entrepot.auth.store import groups, users
from entrepot.database import Database, Transaction
from entrepot.errors import Conflict, Denied, NotFound
from entrepot.journal import store as journal
from entrepot.kit import clock
from entrepot.projects import store as projects
from entrepot.projects.model import Project

MOST_GRANTS = 50
"""Grants of one user or group in one project."""

_LDAP = 1
_MADE_HERE = 2
_KINDS = frozenset({1, 2, 3})


class Entity(msgspec.Struct, frozen=True, kw_only=True):
    """Who is to become a member; the first of these that is given counts, in Harbor's order."""

    user_id: int = 0
    group_id: int = 0
    user_name: str = ""
    ldap_dn: str = ""
    group_name: str = ""
    group_kind: int = 0


class Members:
    """The grants of projects."""

    def __init__(self, database: Database, guardian: Guardian) -> None:
        self._database = database
        self._guardian = guardian

    async def project(self, reference: str, *, by_name: bool) -> Project:
        """The project that a path names by name or id.

        Raises:
            NotFound: there is none.
        """
        found = await projects.find_by_reference(self._database, reference, by_name=by_name)
        if found is None:
            raise NotFound(f"There is no project {reference[:255]}.")
        return found

    async def page(self, project: Project, *, name: str, limit: int, offset: int) -> tuple[list[Member], int]:
        """A page of a project's grants, by the member's name of which ``name`` is a part; and how many there are."""
        return await store.list_members(self._database, project.id, name=name, limit=limit, offset=offset)

    async def get(self, project: Project, grant_id: int) -> Member:
        """One grant.

        Raises:
            NotFound: there is no such grant in the project.
        """
        found = await store.find_member(self._database, project.id, grant_id)
        if found is None:
            raise _unknown(project, grant_id)
        return found

    async def add(
        self,
        caller: Caller,
        project: Project,
        entity: Entity,
        role_id: int,
        *,
        repositories: Sequence[str] = (),
        tags: Sequence[str] = (),
        is_first: bool = True,
    ) -> int:
        """Grant a role; the id of the grant.

        Args:
            caller: who grants it, and must hold as much.
            project: where.
            entity: to whom; a group that is not known yet becomes so.
            role_id: a built-in or a custom role.
            repositories: patterns of paths; none: everywhere in the project.
            tags: patterns of tags; none: on every tag.
            is_first: refuse somebody who has a role there already, as Harbor does.

        Raises:
            InvalidInput: there is no such role, or nobody is named.
            NotFound: there is no such user or group.
            Conflict: the user or group has this already.
            Denied: it is more than the caller has.
        """
        role = await self._role(role_id)
        paths, tag_patterns = check_patterns(repositories, project.name), check_patterns(tags)
        await self._require_reach(caller, project, "create", Grant(role.permissions, paths, tag_patterns))

        async def work(tx: Transaction) -> int:
            await self._require_there(tx, project, role)
            kind, entity_id, name = await _find_entity(tx, entity)
            held = await store.members_of(tx, project.id, kind, entity_id)
            if held and is_first:
                raise Conflict(f"{name} is a member of {project.name} already: change the role instead.")
            if any((m.role_id, m.repositories, m.tags) == (role.id, paths, tag_patterns) for m in held):
                raise Conflict(f"{name} has exactly this grant in {project.name} already.")
            if len(held) >= MOST_GRANTS:
                raise Conflict(f"{name} has {MOST_GRANTS} grants in {project.name}: use one with several patterns.")
            grant_id = await store.add_grant(
                tx, project.id, kind, entity_id, role.id, paths, tag_patterns, clock.now_us()
            )
            event = MemberAdded(
                project_id=project.id,
                grant_id=grant_id,
                entity=name,
                entity_type=kind,
                role=role.name,
                repositories=paths,
                tags=tag_patterns,
            )
            await journal.append(tx, caller.origin, event)
            return grant_id

        return await self._database.write(work)

    async def change(
        self,
        caller: Caller,
        project: Project,
        grant_id: int,
        role_id: int,
        *,
        repositories: Sequence[str] | None = None,
        tags: Sequence[str] | None = None,
    ) -> None:
        """Give a grant another role, and other limits where they are not ``None``; it counts with the next request.

        Raises:
            InvalidInput: there is no such role, or a pattern is not valid.
            NotFound: there is no such grant in the project.
            Denied: it is, or becomes, more than the caller has.
        """
        before = await self.get(project, grant_id)
        role = await self._role(role_id)
        paths = before.repositories if repositories is None else check_patterns(repositories, project.name)
        tag_patterns = before.tags if tags is None else check_patterns(tags)
        await self._require_reach(
            caller, project, "update", await self._grant(before), Grant(role.permissions, paths, tag_patterns)
        )

        async def work(tx: Transaction) -> None:
            await self._require_there(tx, project, role)
            if not await store.set_grant(tx, project.id, grant_id, role.id, paths, tag_patterns):
                raise _unknown(project, grant_id)
            event = MemberChanged(
                project_id=project.id,
                grant_id=grant_id,
                entity=before.entity_name,
                entity_type=before.entity_type,
                previous_role=before.role_name,
                role=role.name,
                repositories=paths,
                tags=tag_patterns,
            )
            await journal.append(tx, caller.origin, event)

        await self._database.write(work)

    async def remove(self, caller: Caller, project: Project, grant_id: int) -> None:
        """Take a grant away; also the last administrator's, since those of the system remain.

        Raises:
            NotFound: there is no such grant in the project.
            Denied: it is more than the caller has.
        """
        before = await self.get(project, grant_id)
        await self._require_reach(caller, project, "delete", await self._grant(before))

        async def work(tx: Transaction) -> None:
            if not await store.remove_grant(tx, project.id, grant_id):
                raise _unknown(project, grant_id)
            event = MemberRemoved(
                project_id=project.id,
                grant_id=grant_id,
                entity=before.entity_name,
                entity_type=before.entity_type,
                role=before.role_name,
            )
            await journal.append(tx, caller.origin, event)

        await self._database.write(work)

    async def _role(self, role_id: int) -> Role:
        role = await find_role(self._database, role_id)
        if role is None:
            raise refusal(f"There is no role {role_id}: GET /api/entrepot/v1/roles lists those that there are.")
        return role

    async def _grant(self, member: Member) -> Grant:
        role = await find_role(self._database, member.role_id)
        return Grant(role.permissions if role else frozenset(), member.repositories, member.tags)

    async def _require_there(self, tx: Transaction, project: Project, role: Role) -> None:
        """Look again inside of the transaction: neither may have gone since."""
        if await projects.find_by_id(tx, project.id) is None:
            raise NotFound(f"There is no project {project.name} any more.")
        if await find_role(tx, role.id) is None:
            raise refusal(f"The role {role.name} has been deleted: choose another.")

    async def _require_reach(self, caller: Caller, project: Project, action: str, *wanted: Grant) -> None:
        """Let nobody hand out, change or take away more than they hold themselves.

        A robot account that manages members does so for whoever gave it that permission, as in Harbor: only the
        patterns it is limited to count.
        """
        rights = await self._guardian.rights(caller.principal, project)
        if caller.principal.is_robot:
            managing = frozenset({("member", action)})
            wanted = tuple(msgspec.structs.replace(grant, permissions=managing) for grant in wanted)
        if not covers(rights, wanted):
            raise Denied(
                f"{caller.principal.name} cannot {action} a grant in {project.name} that goes beyond the rights that "
                f"{caller.principal.name} has there: ask an administrator of the project."
            )


async def _find_entity(tx: Transaction, entity: Entity) -> tuple[str, int, str]:
    """Kind, id and name of whom ``entity`` means; a group is made known where Harbor would take it on."""
    if entity.user_id > 0:
        return _user(await users.find_by_id(tx, entity.user_id), f"with the id {entity.user_id}")
    if entity.group_id > 0:
        group = await groups.find(tx, entity.group_id)
        if group is None:
            raise NotFound(f"There is no group with the id {entity.group_id}.")
        return GROUP, group.id, group.name
    if entity.user_name:
        return _user(await users.find_by_name(tx, entity.user_name), entity.user_name)
    if entity.ldap_dn:
        group = await store.find_group_at(tx, entity.ldap_dn)
        name = entity.group_name or _common_name(entity.ldap_dn)
        group = group or await _new_group(tx, name, _LDAP, entity.ldap_dn)
        return GROUP, group.id, group.name
    if entity.group_name:
        group = await store.find_group_called(tx, entity.group_name)
        if group is None or (entity.group_kind in _KINDS and group.kind != entity.group_kind):
            kind = entity.group_kind if entity.group_kind in _KINDS else _MADE_HERE
            group = await _new_group(tx, entity.group_name, kind, "")
        return GROUP, group.id, group.name
    raise refusal("Name who becomes a member: member_user or member_group, by id or by name.")


async def _new_group(tx: Transaction, name: str, kind: int, dn: str) -> Group:
    group_id = await groups.add(tx, name, kind, dn, clock.now_us(), key=group_key(kind, name, dn))
    if group_id is None:
        raise Conflict(f"There is another group {name} already: give this one another name.")
    return Group(group_id, name, kind, dn)


def _user(found: User | None, named: str) -> tuple[str, int, str]:
    if found is None:
        raise NotFound(f"There is no user {named}.")
    return USER, found.id, found.name


def _common_name(dn: str) -> str:
    """The name of a directory's group where none was given: the value of the first part."""
    return first_value(dn)[1] or dn


def _unknown(project: Project, grant_id: int) -> NotFound:
    return NotFound(f"There is no member {grant_id} in {project.name}.")
