"""Grants: who is a member of which project."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import bindparam, delete, func, insert, literal_column, select, update

from entrepot.access.permissions import BUILT_IN
from entrepot.access.store.columns import read_patterns, write_patterns
from entrepot.access.tables import grants, roles
from entrepot.auth.dn import dn_key
from entrepot.auth.model import Group
from entrepot.auth.tables import groups, users
from entrepot.database import Database, Transaction, query
from entrepot.kit.selection import ESCAPE, contains

USER = "u"
GROUP = "g"


class Member(msgspec.Struct, frozen=True):
    """A grant with the names that its ids stand for."""

    id: int
    project_id: int
    entity_type: str
    """``u`` or ``g``."""
    entity_id: int
    entity_name: str
    role_id: int
    role_name: str
    repositories: tuple[str, ...]
    tags: tuple[str, ...]
    created_at: int
    """Microseconds since the epoch."""


_MEMBER = (
    grants.c.id,
    grants.c.project_id,
    grants.c.user_id,
    grants.c.group_id,
    func.coalesce(users.c.name, groups.c.name).label("entity_name"),
    grants.c.role_id,
    roles.c.name,
    grants.c.repositories,
    grants.c.tags,
    grants.c.created_at,
)
_JOINED = (
    grants.outerjoin(users, users.c.id == grants.c.user_id)
    .outerjoin(groups, groups.c.id == grants.c.group_id)
    .outerjoin(roles, roles.c.id == grants.c.role_id)
)
_IN_PROJECT = grants.c.project_id == bindparam("project_id")
_NAMED_LIKE = func.coalesce(users.c.name, groups.c.name).ilike(bindparam("pattern"), escape=ESCAPE)
_ON_PAGE = (
    select(*_MEMBER)
    .select_from(_JOINED)
    .where(_IN_PROJECT)
    .order_by(literal_column("entity_name"), grants.c.id)
    .limit(bindparam("limit"))
    .offset(bindparam("offset"))
)
_LIST = query(_ON_PAGE)
_LIST_NAMED = query(_ON_PAGE.where(_NAMED_LIKE))
_COUNT = query(select(func.count()).select_from(grants).where(_IN_PROJECT))
_COUNT_NAMED = query(select(func.count()).select_from(_JOINED).where(_IN_PROJECT, _NAMED_LIKE))
_FIND = query(select(*_MEMBER).select_from(_JOINED).where(grants.c.id == bindparam("id"), _IN_PROJECT))
_OF_ENTITY = {
    USER: query(select(*_MEMBER).select_from(_JOINED).where(_IN_PROJECT, grants.c.user_id == bindparam("entity_id"))),
    GROUP: query(select(*_MEMBER).select_from(_JOINED).where(_IN_PROJECT, grants.c.group_id == bindparam("entity_id"))),
}
_ADD = query(
    insert(grants)
    .values({column.name: bindparam(column.name) for column in grants.columns if column.name != "id"})
    .returning(grants.c.id)
)
_SET = query(
    update(grants)
    .where(grants.c.id == bindparam("grant_id"), grants.c.project_id == bindparam("in_project"))
    .values(role_id=bindparam("role_id"), repositories=bindparam("repositories"), tags=bindparam("tags"))
)
_REMOVE = query(delete(grants).where(grants.c.id == bindparam("id"), _IN_PROJECT))


def _member(row: tuple[Any, ...]) -> Member:
    id_, project_id, user_id, group_id, name, role_id, role_name, repositories, tags, created_at = row
    built_in = BUILT_IN.get(role_id)
    return Member(
        id=id_,
        project_id=project_id,
        entity_type=USER if user_id is not None else GROUP,
        entity_id=user_id if user_id is not None else group_id,
        entity_name=name,
        role_id=role_id,
        role_name=built_in.name if built_in else role_name or "",
        repositories=read_patterns(repositories),
        tags=read_patterns(tags),
        created_at=created_at,
    )


async def list_members(
    database: Database, project_id: int, *, name: str, limit: int, offset: int
) -> tuple[list[Member], int]:
    """A page of a project's grants by name of the member, and how many there are; ``name`` is a part of names."""
    filters = {"project_id": project_id} | ({"pattern": contains(name)} if name else {})
    page = await database.survey(_LIST_NAMED if name else _LIST, **filters, limit=limit, offset=offset)
    counted = await database.survey(_COUNT_NAMED if name else _COUNT, **filters)
    return [_member(row) for row in page], counted[0][0]


async def find_member(reader: Database | Transaction, project_id: int, grant_id: int) -> Member | None:
    """One grant of a project."""
    row = await reader.one(_FIND, id=grant_id, project_id=project_id)
    return _member(row) if row else None


async def members_of(tx: Transaction, project_id: int, entity_type: str, entity_id: int) -> list[Member]:
    """All that a user, or a group, was granted in a project by itself."""
    rows = await tx.all(_OF_ENTITY[entity_type], project_id=project_id, entity_id=entity_id)
    return [_member(row) for row in rows]


async def add_grant(
    tx: Transaction,
    project_id: int,
    entity_type: str,
    entity_id: int,
    role_id: int,
    repositories: Sequence[str],
    tags: Sequence[str],
    created_at: int,
) -> int:
    """Grant a role; the grant's id."""
    row = await tx.one(
        _ADD,
        project_id=project_id,
        user_id=entity_id if entity_type == USER else None,
        group_id=entity_id if entity_type == GROUP else None,
        role_id=role_id,
        repositories=write_patterns(repositories),
        tags=write_patterns(tags),
        created_at=created_at,
    )
    assert row is not None  # noqa: S101 - an insert that returns
    return int(row[0])


async def set_grant(
    tx: Transaction, project_id: int, grant_id: int, role_id: int, repositories: Sequence[str], tags: Sequence[str]
) -> bool:
    """Change a grant; ``False`` if there is none."""
    changed = await tx.run(
        _SET,
        grant_id=grant_id,
        in_project=project_id,
        role_id=role_id,
        repositories=write_patterns(repositories),
        tags=write_patterns(tags),
    )
    return changed > 0


async def remove_grant(tx: Transaction, project_id: int, grant_id: int) -> bool:
    """Take a grant away; ``False`` if there is none."""
    return await tx.run(_REMOVE, id=grant_id, project_id=project_id) > 0


# groups, as directories know them

_GROUP = (groups.c.id, groups.c.name, groups.c.kind, groups.c.ldap_dn)
_GROUP_BY_NAME = query(select(*_GROUP).where(groups.c.name == bindparam("name")))
_GROUP_BY_DN = query(select(*_GROUP).where(groups.c.kind == literal_column("1"), groups.c.key == bindparam("key")))


async def find_group_called(tx: Transaction, name: str) -> Group | None:
    """A group by its name."""
    row = await tx.one(_GROUP_BY_NAME, name=name)
    return Group(*row) if row else None


async def find_group_at(tx: Transaction, dn: str) -> Group | None:
    """A group of a directory, by its distinguished name."""
    row = await tx.one(_GROUP_BY_DN, key=dn_key(dn))
    return Group(*row) if row else None
