"""Logins that are not over: their rows. A row is known by a SHA-256, and what it holds is sealed."""

from __future__ import annotations

import msgspec
from sqlalchemy import bindparam, delete, func, insert, select

from entrepot.auth.tables import pending_logins
from entrepot.database import Database, Transaction, query

_EXPIRED_AT_ONCE = 1000


class PendingRow(msgspec.Struct, frozen=True):
    """A login as it is kept; times in microseconds since the epoch."""

    kind: str
    provider: str
    sealed: bytes
    created_at: int


_COLUMNS = tuple(pending_logins.c[name] for name in PendingRow.__struct_fields__)
_ID = pending_logins.c.id == bindparam("pending_id")

_FIND = query(select(*_COLUMNS).where(_ID))
_TAKE = query(delete(pending_logins).where(_ID).returning(*_COLUMNS))
_ADD = query(insert(pending_logins).values({c.name: bindparam(c.name) for c in pending_logins.columns}))
_EXPIRE = query(
    delete(pending_logins).where(
        pending_logins.c.id.in_(
            select(pending_logins.c.id)
            .where(pending_logins.c.created_at < bindparam("before"))
            .limit(bindparam("most"))
        )
    )
)
_COUNT = query(select(func.count()).select_from(pending_logins))
_TRIM = query(
    delete(pending_logins).where(
        pending_logins.c.id.in_(
            select(pending_logins.c.id).order_by(pending_logins.c.created_at).limit(bindparam("most"))
        )
    )
)


async def find(database: Database, pending_id: bytes) -> PendingRow | None:
    """The login with this id."""
    row = await database.one(_FIND, pending_id=pending_id)
    return PendingRow(row[0], row[1], bytes(row[2]), row[3]) if row else None


async def take(tx: Transaction, pending_id: bytes) -> PendingRow | None:
    """The login with this id, which is no more: of two who ask, one gets it."""
    row = await tx.one(_TAKE, pending_id=pending_id)
    return PendingRow(row[0], row[1], bytes(row[2]), row[3]) if row else None


async def add(tx: Transaction, pending_id: bytes, row: PendingRow) -> None:
    """Keep a login."""
    await tx.run(_ADD, id=pending_id, **msgspec.structs.asdict(row))


async def expire(tx: Transaction, before: int) -> bool:
    """Delete some of the logins that began ``before``; whether there may be more."""
    return await tx.run(_EXPIRE, before=before, most=_EXPIRED_AT_ONCE) == _EXPIRED_AT_ONCE


async def trim(tx: Transaction, most: int) -> bool:
    """Delete some of the oldest logins if there are more than ``most``; whether there may be more to delete."""
    row = await tx.one(_COUNT)
    surplus = int(row[0]) - most if row else 0
    if surplus <= 0:
        return False
    await tx.run(_TRIM, most=min(surplus, _EXPIRED_AT_ONCE))
    return surplus > _EXPIRED_AT_ONCE
