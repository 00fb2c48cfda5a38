"""Groups and who is in them: their rows."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, delete, func, select, update

from entrepot.auth.model import Group
from entrepot.auth.tables import group_users, groups, users
from entrepot.database import Database, Transaction, query, upsert
from entrepot.kit.listing import Listing, SortKey
from entrepot.kit.selection import Fields, integer, text
from entrepot.web.lists import Lister

_COLUMNS = (groups.c.id, groups.c.name, groups.c.kind, groups.c.ldap_dn, groups.c.provider, groups.c.key)
_FIELDS = Fields(
    {
        "id": integer(groups.c.id),
        "group_name": text(groups.c.name),
        "group_type": integer(groups.c.kind),
        "ldap_group_dn": text(groups.c.ldap_dn),
    }
)
_SEARCHED = Fields({"group_name": text(groups.c.name), "length": integer(func.length(groups.c.name))})
_USER_FIELDS = Fields({"user_id": integer(users.c.id), "username": text(users.c.name)})

_FIND = query(select(*_COLUMNS).where(groups.c.id == bindparam("id")))
_FIND_NAME = query(select(groups.c.id).where(groups.c.name == bindparam("name")))
_ADD = upsert(
    lambda insert: (
        insert(groups)
        .values({c.name: bindparam(c.name) for c in groups.columns if c.name != "id"})
        .on_conflict_do_nothing(index_elements=[groups.c.name])
        .returning(groups.c.id)
    )
)
_RENAME = query(update(groups).where(groups.c.id == bindparam("group_id")).values(name=bindparam("name")))
_DELETE = query(delete(groups).where(groups.c.id == bindparam("group_id")))
_ADD_USER = upsert(
    lambda insert: (
        insert(group_users)
        .values(group_id=bindparam("group_id"), user_id=bindparam("user_id"))
        .on_conflict_do_nothing()
    )
)
_REMOVE_USER = query(
    delete(group_users).where(
        group_users.c.group_id == bindparam("group_id"), group_users.c.user_id == bindparam("user_id")
    )
)

_LIST = Lister(_COLUMNS, _FIELDS, (SortKey("group_name"),), groups.c.id, groups)
_SEARCH = Lister(_COLUMNS, _SEARCHED, (SortKey("length"), SortKey("group_name")), groups.c.id, groups)
_USERS = Lister(
    (users.c.id, users.c.name),
    _USER_FIELDS,
    (SortKey("username"),),
    users.c.id,
    group_users.join(users, users.c.id == group_users.c.user_id),
)
_IN_GROUP = (group_users.c.group_id == bindparam("within_group"),)


def _group(row: tuple[Any, ...]) -> Group:
    return Group(*row)


async def find(reader: Database | Transaction, group_id: int) -> Group | None:
    """The group with this id."""
    row = await reader.one(_FIND, id=group_id)
    return _group(row) if row else None


async def has_name(tx: Transaction, name: str) -> bool:
    """Whether there is a group of this name."""
    return await tx.one(_FIND_NAME, name=name) is not None


async def list_page(database: Database, listing: Listing) -> tuple[list[Group], int]:
    """A page of the groups, and how many there are."""
    rows, total = await _LIST.page(database, listing)
    return [_group(row) for row in rows], total


async def search(database: Database, listing: Listing) -> tuple[list[Group], int]:
    """As ``list_page``, the shortest names first: what was typed in full comes on top."""
    rows, total = await _SEARCH.page(database, listing)
    return [_group(row) for row in rows], total


async def list_users(database: Database, group_id: int, listing: Listing) -> tuple[list[tuple[int, str]], int]:
    """A page of the ids and names of a group's users, and how many there are."""
    rows, total = await _USERS.page(
        database, listing, within=_IN_GROUP, name="users", values={"within_group": group_id}
    )
    return [(row[0], row[1]) for row in rows], total


async def add(
    tx: Transaction, name: str, kind: int, ldap_dn: str, now: int, *, provider: str = "", key: str = ""
) -> int | None:
    """Create a group; its id, or ``None`` if the name is taken."""
    row = await tx.one(_ADD, name=name, kind=kind, ldap_dn=ldap_dn, created_at=now, provider=provider, key=key)
    return int(row[0]) if row else None


async def rename(tx: Transaction, group_id: int, name: str) -> None:
    """Give a group another name, which must be free."""
    await tx.run(_RENAME, group_id=group_id, name=name)


async def delete_group(tx: Transaction, group_id: int) -> None:
    """Delete a group with its grants and memberships."""
    await tx.run(_DELETE, group_id=group_id)


async def add_user(tx: Transaction, group_id: int, user_id: int) -> bool:
    """Put a user into a group; ``False`` if it is there already."""
    return await tx.run(_ADD_USER, group_id=group_id, user_id=user_id) > 0


async def remove_user(tx: Transaction, group_id: int, user_id: int) -> bool:
    """Take a user out of a group; ``False`` if it was not there."""
    return await tx.run(_REMOVE_USER, group_id=group_id, user_id=user_id) > 0
