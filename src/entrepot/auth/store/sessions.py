"""Sessions: their rows. A row knows the cookie only by its SHA-256."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import bindparam, delete, insert, select, update

from entrepot.auth.tables import sessions
from entrepot.database import Database, Transaction, query

_EXPIRED_AT_ONCE = 1000


class SessionRow(msgspec.Struct, frozen=True):
    """A session as it is kept; times in microseconds since the epoch."""

    user_id: int
    credential_version: int
    used_at: int
    provider: str
    id_token: bytes | None


_FIND = query(
    select(
        sessions.c.user_id, sessions.c.credential_version, sessions.c.used_at, sessions.c.provider, sessions.c.id_token
    ).where(sessions.c.id == bindparam("id"))
)
_ADD = query(insert(sessions).values({c.name: bindparam(c.name) for c in sessions.columns}))
_DELETE = query(delete(sessions).where(sessions.c.id == bindparam("id")))
_TRIM = query(
    delete(sessions).where(
        sessions.c.user_id == bindparam("owner"),
        sessions.c.id.not_in(
            select(sessions.c.id)
            .where(sessions.c.user_id == bindparam("owner"))
            .order_by(sessions.c.used_at.desc())
            .limit(bindparam("most"))
        ),
    )
)
_SET_USED = query(
    update(sessions)
    .where(sessions.c.id == bindparam("session_id"), sessions.c.used_at < bindparam("at"))
    .values(used_at=bindparam("at"))
)
_EXPIRE = query(
    delete(sessions).where(
        sessions.c.id.in_(
            select(sessions.c.id).where(sessions.c.used_at < bindparam("before")).limit(bindparam("most"))
        )
    )
)


async def find(database: Database, session_id: bytes) -> SessionRow | None:
    """The session with this id."""
    row = await database.one(_FIND, id=session_id)
    return SessionRow(*row) if row else None


async def add(
    tx: Transaction,
    session_id: bytes,
    user_id: int,
    credential_version: int,
    now: int,
    *,
    provider: str = "",
    id_token: bytes | None = None,
) -> None:
    """Begin a session; one that a provider vouches for keeps the sealed token that ends it there too."""
    values: dict[str, Any] = {"id": session_id, "user_id": user_id, "credential_version": credential_version}
    await tx.run(_ADD, **values, created_at=now, used_at=now, provider=provider, id_token=id_token)


async def trim(tx: Transaction, user_id: int, most: int) -> None:
    """Keep the ``most`` sessions of a user that were used last."""
    await tx.run(_TRIM, owner=user_id, most=most)


async def end(tx: Transaction, session_id: bytes) -> bool:
    """End a session; ``False`` if there is none."""
    return await tx.run(_DELETE, id=session_id) > 0


async def set_used(tx: Transaction, uses: dict[bytes, int]) -> None:
    """Note when sessions were used last."""
    await tx.many(_SET_USED, [{"session_id": id_, "at": at} for id_, at in uses.items()])


async def expire(tx: Transaction, before: int) -> bool:
    """Delete some of the sessions that were not used since ``before``; whether there may be more."""
    return await tx.run(_EXPIRE, before=before, most=_EXPIRED_AT_ONCE) == _EXPIRED_AT_ONCE
