"""Where accounts come from, and the groups that they are in: rows to be shown."""

from __future__ import annotations

from sqlalchemy import bindparam, select

from entrepot.auth.tables import group_users, groups, user_identities
from entrepot.database import Database, query

Row = tuple[str, str, str, int, int]
"""Provider, subject, name there, and when the tie was made and asked about last (microseconds since the epoch)."""

_OF_USER = query(
    select(
        user_identities.c.provider,
        user_identities.c.subject,
        user_identities.c.name,
        user_identities.c.created_at,
        user_identities.c.checked_at,
    )
    .where(user_identities.c.user_id == bindparam("user_id"))
    .order_by(user_identities.c.provider)
)
_GROUPS_OF = query(
    select(groups.c.name)
    .select_from(group_users.join(groups, groups.c.id == group_users.c.group_id))
    .where(group_users.c.user_id == bindparam("user_id"))
    .order_by(groups.c.name)
)


async def of_user(database: Database, user_id: int) -> list[Row]:
    """An account's ties, by the provider's name."""
    return [(row[0], row[1], row[2], row[3], row[4]) for row in await database.all(_OF_USER, user_id=user_id)]


async def groups_of(database: Database, user_id: int) -> list[str]:
    """The names of the groups that an account is in."""
    return [row[0] for row in await database.all(_GROUPS_OF, user_id=user_id)]
