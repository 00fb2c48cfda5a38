"""Custom roles: the table and its SQL."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import bindparam, delete, func, insert, select, update

from entrepot.access.permissions import BUILT_IN, FIRST_CUSTOM, Permission, Role
from entrepot.access.store.columns import read_permissions, write_permissions
from entrepot.access.tables import grants, roles
from entrepot.database import Database, Transaction, query

_ROLE = (roles.c.id, roles.c.name, roles.c.description, roles.c.permissions)
_ROLES = query(select(*_ROLE).order_by(roles.c.id))
_ROLE_BY_ID = query(select(*_ROLE).where(roles.c.id == bindparam("id")))
_ROLE_BY_NAME = query(select(*_ROLE).where(func.lower(roles.c.name) == bindparam("folded")))
_COUNT_ROLES = query(select(func.count()).select_from(roles))
_LAST_ROLE = query(select(func.max(roles.c.id)))
_ADD_ROLE = query(insert(roles).values({column.name: bindparam(column.name) for column in roles.columns}))
_SET_ROLE = query(
    update(roles)
    .where(roles.c.id == bindparam("role_id"))
    .values(name=bindparam("name"), description=bindparam("description"), permissions=bindparam("permissions"))
)
_REMOVE_ROLE = query(delete(roles).where(roles.c.id == bindparam("id")))
_COUNT_GRANTS = query(select(func.count()).select_from(grants).where(grants.c.role_id == bindparam("role_id")))


def _role(row: tuple[Any, ...]) -> Role:
    return Role(row[0], row[1], read_permissions(row[3]), row[2], is_built_in=False)


async def list_roles(database: Database) -> list[Role]:
    """Every custom role."""
    return [_role(row) for row in await database.all(_ROLES)]


async def find_role(reader: Database | Transaction, role_id: int) -> Role | None:
    """A role, built in or custom."""
    if role_id in BUILT_IN:
        return BUILT_IN[role_id]
    row = await reader.one(_ROLE_BY_ID, id=role_id)
    return _role(row) if row else None


async def find_role_called(tx: Transaction, name: str) -> Role | None:
    """A custom role by its name, whatever the case of its letters (which are ASCII)."""
    row = await tx.one(_ROLE_BY_NAME, folded=name.lower())
    return _role(row) if row else None


async def add_role(
    tx: Transaction, name: str, description: str, permissions: Iterable[Permission], created_at: int
) -> int:
    """Create a custom role; its id."""
    row = await tx.one(_LAST_ROLE)
    role_id = max(FIRST_CUSTOM, (row[0] if row and row[0] else 0) + 1)
    await tx.run(
        _ADD_ROLE,
        id=role_id,
        name=name,
        description=description,
        permissions=write_permissions(permissions),
        created_at=created_at,
    )
    return role_id


async def set_role(
    tx: Transaction, role_id: int, name: str, description: str, permissions: Iterable[Permission]
) -> None:
    """Change a custom role."""
    await tx.run(
        _SET_ROLE, role_id=role_id, name=name, description=description, permissions=write_permissions(permissions)
    )


async def remove_role(tx: Transaction, role_id: int) -> None:
    """Delete a custom role."""
    await tx.run(_REMOVE_ROLE, id=role_id)


async def count_grants(tx: Transaction, role_id: int) -> int:
    """How many grants use a role."""
    row = await tx.one(_COUNT_GRANTS, role_id=role_id)
    return int(row[0]) if row else 0


async def count_roles(tx: Transaction) -> int:
    """How many custom roles there are."""
    row = await tx.one(_COUNT_ROLES)
    return int(row[0]) if row else 0
