"""What somebody may do in a project, and which projects somebody can reach."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import bindparam, func, literal_column, or_, select, union_all

from entrepot.access.permissions import BUILT_IN, Permission
from entrepot.access.store.columns import read_patterns, read_permissions
from entrepot.access.tables import grants, roles
from entrepot.auth.model import Principal
from entrepot.auth.tables import group_users
from entrepot.database import Database, Query, query
from entrepot.projects.model import Project
from entrepot.projects.store import PROJECT, project_of
from entrepot.projects.tables import projects

Granted = tuple[frozenset[Permission], tuple[str, ...], tuple[str, ...]]
"""Permissions, patterns of repositories, patterns of tags."""

_CHUNK = 256
"""Ids or names in one statement."""

# the hot path: what somebody may do in a project

_PARTS = (grants.c.role_id, grants.c.repositories, grants.c.tags, roles.c.permissions)
_OF_USER = grants.c.user_id == bindparam("user_id")
_OF_GROUPS = grants.c.group_id.in_(select(group_users.c.group_id).where(group_users.c.user_id == bindparam("user_id")))
# Two seeks joined, each among one's own grants: an OR would read every grant of the project, which took 4 ms with
# 20,000 members instead of 0.02.
_GRANTED = query(
    union_all(
        *(
            select(*_PARTS)
            .select_from(grants.outerjoin(roles, roles.c.id == grants.c.role_id))
            .where(who, grants.c.project_id == bindparam("project_id"))
            for who in (_OF_USER, _OF_GROUPS)
        )
    )
)


_GRANTED_EVERYWHERE = query(
    union_all(
        *(
            select(*_PARTS, grants.c.project_id)
            .select_from(grants.outerjoin(roles, roles.c.id == grants.c.role_id))
            .where(who)
            for who in (_OF_USER, _OF_GROUPS)
        )
    )
)


def _granted(row: tuple[Any, ...]) -> Granted | None:
    role_id, repositories, tags, permissions = row[:4]
    if permissions is None and role_id not in BUILT_IN:
        return None
    held = BUILT_IN[role_id].permissions if permissions is None else read_permissions(permissions)
    return held, read_patterns(repositories), read_patterns(tags)


async def granted(database: Database, project_id: int, user_id: int) -> list[Granted]:
    """What the roles of a user, and of the groups that it is in, allow in a project."""
    rows = await database.all(_GRANTED, project_id=project_id, user_id=user_id)
    return [found for row in rows if (found := _granted(row))]


async def granted_everywhere(database: Database, user_id: int) -> dict[int, list[Granted]]:
    """What ``granted`` says of every project, by the project's id: for lists over many of them."""
    everywhere: dict[int, list[Granted]] = {}
    for row in await database.survey(_GRANTED_EVERYWHERE, user_id=user_id):
        if found := _granted(row):
            everywhere.setdefault(row[4], []).append(found)
    return everywhere


# the projects that somebody can reach

_GRANTED_PROJECTS = union_all(
    *(select(grants.c.project_id).where(who) for who in (_OF_USER, _OF_GROUPS)),
)
_PUBLIC = projects.c.is_public == literal_column("1")
_ALL_PROJECTS = query(select(*PROJECT).order_by(projects.c.name))
_PUBLIC_PROJECTS = query(select(*PROJECT).where(_PUBLIC).order_by(projects.c.name))
_PROJECTS_OF_USER = query(
    select(*PROJECT).where(or_(_PUBLIC, projects.c.id.in_(_GRANTED_PROJECTS))).order_by(projects.c.name)
)


async def reachable(database: Database, principal: Principal) -> list[Project]:
    """The projects in which a principal may hold anything: rights decide what.

    Those are the public ones, those in which a user or a group of it has a grant, and for robot accounts, and for
    administrators and auditors whose token is limited, those that the scope names.
    """
    by_scope = principal.is_robot or principal.is_admin or principal.is_auditor
    if not by_scope:
        if principal.id is None:
            return [project_of(row) for row in await database.survey(_PUBLIC_PROJECTS)]
        return [project_of(row) for row in await database.survey(_PROJECTS_OF_USER, user_id=principal.id)]
    scope = principal.scope
    if scope is None and principal.is_robot:
        scope = ()
    if scope is None or any(entry.kind == "project" and entry.project_id is None for entry in scope):
        return [project_of(row) for row in await database.survey(_ALL_PROJECTS)]
    named = {entry.project_id for entry in scope if entry.kind == "project" and entry.project_id is not None}
    found = {row[0]: project_of(row) for row in await database.survey(_PUBLIC_PROJECTS)}
    found |= {project.id: project for project in await projects_by_id(database, named)}
    return sorted(found.values(), key=lambda project: project.name)


@lru_cache(maxsize=32)
def _projects_among(column: str, size: int) -> Query:
    return query(select(*PROJECT).where(projects.c[column].in_([bindparam(f"p{i}") for i in range(size)])))


async def projects_by_id(database: Database, ids: Iterable[int]) -> list[Project]:
    """The projects with these ids, as far as there are such."""
    return await _among(database, "id", sorted(set(ids)))


async def projects_by_name(database: Database, names: Iterable[str]) -> list[Project]:
    """The projects with these names, as far as there are such."""
    return await _among(database, "name", sorted(set(names)))


async def _among(database: Database, column: str, values: Sequence[object]) -> list[Project]:
    found = []
    for chunk in _chunks(values):
        bound = {f"p{i}": value for i, value in enumerate(chunk)}
        found += [project_of(row) for row in await database.all(_projects_among(column, len(chunk)), **bound)]
    return found


def _chunks(values: Sequence[object]) -> Iterator[Sequence[object]]:
    """Parts whose lengths are powers of two, the last value repeated: few lengths make few statements."""
    for start in range(0, len(values), _CHUNK):
        part = list(values[start : start + _CHUNK])
        yield part + part[-1:] * ((1 << (len(part) - 1).bit_length()) - len(part))


_ADMINISTERS = query(
    select(grants.c.id)
    .where(grants.c.role_id == literal_column("1"), or_(_OF_USER, _OF_GROUPS))
    .limit(literal_column("1"))
)


async def administers_any(database: Database, user_id: int) -> bool:
    """Whether a user is the administrator of some project."""
    return await database.one(_ADMINISTERS, user_id=user_id) is not None


# roles by name, for what is shown

_ROLES_EVERYWHERE = query(
    union_all(*(select(grants.c.project_id, grants.c.role_id).where(who) for who in (_OF_USER, _OF_GROUPS)))
)
_MEMBER_COUNTS = query(
    select(grants.c.role_id, func.count())
    .where(grants.c.project_id == bindparam("project_id"))
    .group_by(grants.c.role_id)
)


async def roles_everywhere(database: Database, user_id: int) -> dict[int, list[int]]:
    """The ids of a user's roles, the smallest first, by the project's id."""
    found: dict[int, set[int]] = {}
    for project_id, role_id in await database.survey(_ROLES_EVERYWHERE, user_id=user_id):
        found.setdefault(project_id, set()).add(role_id)
    return {project_id: sorted(roles_) for project_id, roles_ in found.items()}


async def member_counts(database: Database, project_id: int) -> dict[int, int]:
    """How often each role was granted in a project, by the role's id."""
    return {row[0]: row[1] for row in await database.survey(_MEMBER_COUNTS, project_id=project_id)}
